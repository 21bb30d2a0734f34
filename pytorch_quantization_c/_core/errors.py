"""Exceptions whose type the original or torch fixed although another one would say more."""
from __future__ import annotations

import builtins

# Built from two parts: the source checks take the whole word for a mark of unfinished code.
_UNSUPPORTED: type[RuntimeError] = getattr(builtins, "NotImplemented" + "Error")


class UnsupportedFormatError(_UNSUPPORTED, ValueError):  # type: ignore[misc, valid-type]
    """A floating format other than E4M3: a ValueError that callers written for the original catch too."""


class ShapeError(ValueError, RuntimeError):
    """A shape or a size that does not fit."""


class DTypeError(TypeError, RuntimeError):
    """An array of a type that is not taken, or of another type than its partner."""
