"""Models of NumPy arrays as graphs, by running them and recording what they do."""
from __future__ import annotations

from .refusal import TraceError
from .trace import trace

__all__ = ["TraceError", "trace"]
