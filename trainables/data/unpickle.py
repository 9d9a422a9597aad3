"""Reads pickled dictionaries of integer arrays, CIFAR's format, without running what they ask for.

An array in a pickle is a call of NumPy's constructor and its state.  Both meet a stand-in here, so
nothing of NumPy is called with arguments out of a file, whichever NumPy or Python wrote it.
"""

import io
import pickle
import re
import struct
from typing import Any

import numpy as np


class _Type:
    """Stands in for numpy.dtype: whole numbers only."""

    def __init__(self, code: str, *_flags: object) -> None:
        if not re.fullmatch("[iu][1248]", code):
            raise pickle.UnpicklingError(f"it has an array of {code!r}, not of whole numbers")
        self._code = code
        self._order = "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("|", "<", ">", "="):
            raise pickle.UnpicklingError(f"it has numbers in the byte order {state[1]!r}")
        self._order = state[1]

    def array(self, values: bytes | str, shape: tuple[int, ...], order: str) -> np.ndarray:
        """The bytes as an array; Python 2 wrote them as text in Latin-1."""
        raw = values.encode("latin1") if isinstance(values, str) else values
        flat = np.frombuffer(raw, dtype=self._order + self._code)
        return flat.reshape(tuple(shape), order="F" if order == "F" else "C")


class _Array:
    """Stands in for numpy.ndarray until its state arrives."""

    value: np.ndarray

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, kind, fortran, values = state
        self.value = kind.array(values, shape, "F" if fortran else "C")


def _reconstruct(*_arguments: object) -> _Array:
    return _Array()


def _from_buffer(values: bytes, kind: _Type, shape: tuple[int, ...], order: str) -> _Array:
    array = _Array()
    array.value = kind.array(values, shape, order)
    return array


def _encode(text: str, _encoding: str) -> bytes:
    return text.encode("latin1")  # how Python 3 writes bytes in the old protocols


_STAND_INS: dict[tuple[str, str], object] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
}


def _load_bytearray(unpickler: Any) -> None:  # noqa: ANN401 - no type is published for its stack
    """Python's own allocates the announced length before it looks at what there is."""
    (length,) = struct.unpack("<Q", unpickler.read(8))
    unpickler.append(bytearray(unpickler.read(length)))


class _Unpickler(pickle._Unpickler):  # noqa: SLF001 - C's allocates what a damaged file asks for
    def find_class(self, module: str, name: str) -> object:
        """What stands in for the class or function that the pickle asks for."""
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no image needs")
        return _STAND_INS[module, name]

    dispatch = {**pickle._Unpickler.dispatch, pickle.BYTEARRAY8[0]: _load_bytearray}  # noqa: RUF012, SLF001


def load_arrays(data: bytes) -> object:
    """The pickled object, with arrays in a dictionary as NumPy arrays and its keys as text.

    Raises ValueError with the cause when `data` is not a pickle, or asks for more than arrays.
    """
    try:
        loaded = _Unpickler(io.BytesIO(data), encoding="latin1").load()
        if not isinstance(loaded, dict):
            return loaded
        return {
            key.decode("latin1") if isinstance(key, bytes) else key: (
                value.value if isinstance(value, _Array) else value
            )
            for key, value in loaded.items()
        }
    except pickle.UnpicklingError as error:
        raise ValueError(str(error)) from error
    except _DAMAGE as error:
        raise ValueError(f"not a pickle of arrays: {type(error).__name__}") from error


_DAMAGE = (
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)
"""What unpickling raises on bytes that are not a pickle of arrays."""
