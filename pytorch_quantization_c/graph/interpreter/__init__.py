"""A graph run operator by operator: the oracle of everything that runs faster."""
from __future__ import annotations

from .run import Interpreter, interpret

__all__ = ["Interpreter", "interpret"]
