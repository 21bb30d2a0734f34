"""Refusals of what cannot be traced, with the place in the user's code."""
from __future__ import annotations

import os
import sys
from typing import NoReturn

import numpy as np

from ..errors import GraphError

__all__ = ["TraceError", "place", "refuse"]

_FOREIGN = tuple(os.path.dirname(os.path.abspath(file)) + os.sep for file in
                 (sys.modules["pytorch_quantization_c"].__file__ or "", np.__file__))


class TraceError(GraphError):
    """A model that cannot be traced; says where in its code, and what to write instead."""


def place() -> str:
    """File and line of the innermost frame outside this package and NumPy."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_FOREIGN) and not file.startswith("<"):
            return f"{file}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "the library"


def refuse(what: str, remedy: str = "") -> NoReturn:
    """Raises the TraceError about `what` at the place in the user's code."""
    raise TraceError(f"{place()}: cannot trace {what}" + (f": {remedy}" if remedy else ""))
