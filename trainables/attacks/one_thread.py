"""Keeps scikit-learn's trees to one thread: its threads wait for each other in a loop.

They do so thousands of times a fit.  On two cores that did other work, as trials, two threads took
7 to 29 times as long as one for 600 to 30,000 rows of 12 features, and the trees are the same.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

P = ParamSpec("P")
T = TypeVar("T")


def one_thread(function: Callable[P, T]) -> Callable[P, T]:
    """`function`, during which OpenMP has one thread in this process."""

    @functools.wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> T:
        with _threads().limit(limits=1, user_api="openmp"):
            return function(*args, **kwargs)

    return limited


@functools.cache
def _threads() -> ThreadpoolController:
    """Found once: looking through the libraries of a process takes milliseconds."""
    return ThreadpoolController()
