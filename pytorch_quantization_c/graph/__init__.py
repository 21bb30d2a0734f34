"""Whole networks from ONNX files: loaded, run operator by operator, and saved with quantisers in them.

In memory a network is an `onnx_ir.Model`, and a quantiser one node of it (see `nodes`). The functions are imported on
first use and need the extra `onnx`; nothing here is imported with the package itself.
"""
from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what `__getattr__` imports on first use
    from .calibrating import calibrate
    from .comparison import Comparison, ComparisonRow, compare
    from .errors import GraphError
    from .interpreter.run import Interpreter, interpret
    from .node_summary import SummaryRow, summary
    from .quantizing import quantize
    from .reader import load
    from .session import Session, compile
    from .tracing import trace
    from .writer import save

__all__ = ["Comparison", "ComparisonRow", "GraphError", "Interpreter", "Session", "SummaryRow", "calibrate", "compare",
           "compile", "interpret", "load", "quantize", "save", "summary", "trace"]

_HOMES = {"calibrating": ("calibrate",), "comparison": ("Comparison", "ComparisonRow", "compare"),
          "errors": ("GraphError",), "interpreter.run": ("Interpreter", "interpret"),
          "node_summary": ("SummaryRow", "summary"), "quantizing": ("quantize",), "reader": ("load",),
          "session": ("Session", "compile"), "tracing": ("trace",), "writer": ("save",)}
_FUNCTIONS = {name: home for home, names in _HOMES.items() for name in names}
_EXTRA = ("onnx_ir", "onnx", "onnxscript")


def _require_extra(name: str) -> None:
    missing = [package for package in _EXTRA if find_spec(package) is None]
    if missing:
        raise ImportError(f"`graph.{name}` needs the extra `onnx`, of which {', '.join(missing)} is missing: "
                          "pip install 'pytorch-quantization-c[onnx]'")


def __getattr__(name: str) -> Any:
    home = _FUNCTIONS.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _require_extra(name)
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__})
