"""What a field's annotation says of its values."""

import types
import typing
from typing import Any


def without_none(annotation: Any) -> Any:  # noqa: ANN401 - annotations have no common type
    """The type of a field's values where there is one.

    >>> without_none(int | None), without_none(list[str])
    (<class 'int'>, list[str])
    """
    if isinstance(annotation, types.UnionType):
        return next(kind for kind in typing.get_args(annotation) if kind is not type(None))
    return annotation
