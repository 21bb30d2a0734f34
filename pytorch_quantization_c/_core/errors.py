"""Exceptions that keep the type which the original or torch raises, and values in messages."""
from __future__ import annotations

import reprlib


class UnsupportedFormatError(NotImplementedError, ValueError):
    """A floating format other than E4M3: a ValueError, of the type that callers written for the original catch."""


class ShapeError(ValueError, RuntimeError):
    """A shape or a size that does not fit."""


class NotFiniteError(ValueError, RuntimeError):
    """A NaN or an infinity in data that must be finite; the original raises one or the other, by kind of histogram."""


class DTypeError(TypeError, RuntimeError):
    """An array of an unsupported type, or of a different type than its counterpart."""


class _Shown(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxother, self.maxstring = 2, 60, 60

    def repr_int(self, x: int, level: int) -> str:
        return super().repr_int(x, level) if x.bit_length() < 256 else f"an integer of {x.bit_length()} bits"


def shown(value: object) -> str:
    """`value` for a message: short, however large, deep or tangled it is."""
    text = _Shown().repr(value)
    return text if len(text) <= 120 else text[:117] + "..."


def is_raised_in_python(error: BaseException) -> bool:
    """Whether Python code that the catching function called raised `error`: an object's own `__array__` or `__float__`.

    An exception of C code, such as NumPy's or torch's, has no frame of its own.
    """
    return error.__traceback__ is not None and error.__traceback__.tb_next is not None
