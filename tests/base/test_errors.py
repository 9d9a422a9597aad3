"""A cause is the whole last exception, on one line, however it was told."""

import traceback
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.exceptions import RayTaskError

from trainables.base.errors import LONGEST_CAUSE, final_exception

STATE = (
    "Error(s) in loading state_dict for Net:\n\tsize mismatch for fc.weight\n\tunexpected key: b"
)
ON_ONE_LINE = "RuntimeError: " + " ".join(STATE.split())


def fails() -> None:
    raise RuntimeError(STATE)


def fails_of_that() -> None:
    try:
        fails()
    except RuntimeError as error:
        raise ValueError("the model cannot be read") from error


def fails_and_says_of_what() -> None:
    try:
        fails()
    except RuntimeError as error:
        raise ValueError(f"the model cannot be read: {error}") from error


def fails_while_handling() -> None:
    try:
        fails()
    except RuntimeError:
        {}["a"]


def fails_with_a_note() -> None:
    error = OSError("the disk is full")
    error.add_note("/data has 0 bytes left")
    raise error


def fails_with_a_quoted_frame() -> None:
    raise ValueError('in the file of a user:\n  File "net.py", line 3\nis wrong')


def fails_as_a_group() -> None:
    raise ExceptionGroup("two ways", [ValueError("one"), TypeError("another")])


def fails_to_compile() -> None:
    compile("def (", "net.py", "exec")


FAILURES = (RuntimeError, ValueError, KeyError, OSError, SyntaxError, ExceptionGroup, RayTaskError)


def traceback_of(failing: Callable[[], None]) -> str:
    with pytest.raises(FAILURES) as caught:
        failing()
    return "".join(traceback.format_exception(caught.value))


def as_ray_says_it(text: str) -> str:
    """Of a trial's actor; Ray writes no line that says `Traceback`."""
    error = RayTaskError(
        "train", text, RuntimeError(), proctitle="ray::Trial.train", pid=7, ip="10.0.0.1"
    )
    return str(error)


def as_tune_says_it(text: str) -> str:
    """The same raised in the program, its text within another traceback."""

    def fails_for_good() -> None:
        raise RayTaskError("t", text, RuntimeError(), proctitle="ray::T.t", pid=7, ip="10.0.0.1")

    return f"Failure # 1 (occurred at noon)\n{traceback_of(fails_for_good)}"


@pytest.mark.parametrize("told", [str, as_ray_says_it, as_tune_says_it])
@pytest.mark.parametrize(
    ("failing", "cause"),
    [
        (fails, ON_ONE_LINE),
        (fails_of_that, f"ValueError: the model cannot be read (caused by {ON_ONE_LINE})"),
        (
            fails_and_says_of_what,
            f"ValueError: the model cannot be read: {' '.join(STATE.split())}",
        ),
        (fails_while_handling, "KeyError: 'a'"),
        (fails_with_a_note, "OSError: the disk is full /data has 0 bytes left"),
        (
            fails_with_a_quoted_frame,
            'ValueError: in the file of a user: File "net.py", line 3 is wrong',
        ),
        (fails_to_compile, "SyntaxError: invalid syntax"),
    ],
)
def test_a_cause_is_the_whole_last_exception(
    told: Callable[[str], str], failing: Callable[[], None], cause: str
) -> None:
    assert final_exception(told(traceback_of(failing))) == cause


def test_a_group_of_exceptions_is_told_whole() -> None:
    assert final_exception(traceback_of(fails_as_a_group)) == (
        "ExceptionGroup: two ways (2 sub-exceptions) ValueError: one TypeError: another"
    )


@pytest.mark.parametrize(("text", "cause"), [("", ""), ("plain\n words", "plain words")])
def test_a_text_without_a_traceback_is_its_own_cause(text: str, cause: str) -> None:
    assert final_exception(text) == cause


@given(st.text())
def test_any_text_gives_one_printable_line_of_bounded_length(text: str) -> None:
    said = final_exception(
        f"Traceback (most recent call last):\n  File x\nError: {text}" + "y" * 500
    )
    assert said.isprintable()
    assert len(said) == LONGEST_CAUSE
    assert said.endswith("...")
    assert final_exception(text).isprintable()
