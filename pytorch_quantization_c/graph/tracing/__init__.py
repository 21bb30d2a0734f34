"""Models of NumPy arrays as graphs, by running them and recording what they do."""
from __future__ import annotations

from .common_graph import trace
from .refusal import TraceError

__all__ = ["TraceError", "trace"]
