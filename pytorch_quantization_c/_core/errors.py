"""Exceptions whose type the original or torch fixed although another one would say more."""
from __future__ import annotations


class UnsupportedFormatError(NotImplementedError, ValueError):
    """A floating format other than E4M3: a ValueError, of the type that callers written for the original catch."""


class ShapeError(ValueError, RuntimeError):
    """A shape or a size that does not fit."""


class DTypeError(TypeError, RuntimeError):
    """An array of a type that is not taken, or of another type than its partner."""
