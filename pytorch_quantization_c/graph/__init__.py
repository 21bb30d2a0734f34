"""Whole networks from ONNX files: loaded, run operator by operator, and saved with quantisers in them.

In memory a network is an `onnx_ir.Model`, and a quantiser one node of it (see `nodes`). The functions are
imported on first use; all but `load_session` need the extra `onnx`. Nothing here is imported with the package itself.
"""
from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .extra import require_extra

if TYPE_CHECKING:  # what `__getattr__` imports on first use
    from .analysis.comparison import Comparison, ComparisonRow, compare
    from .analysis.node_summary import SummaryRow, summary
    from .automatic import auto_quantize
    from .calibration.calibrating import calibrate
    from .errors import GraphError
    from .files.calibration_cache import save_calibration_cache
    from .files.reader import load
    from .files.writer import save
    from .interpreter.custom import custom_operator
    from .interpreter.run import Interpreter, interpret
    from .methods.method_steps import gains
    from .quantizing import quantize
    from .search.budgets import Decisions, decisions
    from .session import Session, compile, load_session
    from .tracing import trace

__all__ = ["Comparison", "ComparisonRow", "Decisions", "GraphError", "Interpreter", "Session", "SummaryRow",
           "auto_quantize", "calibrate", "compare", "compile", "custom_operator", "decisions", "gains", "interpret",
           "load", "load_session", "quantize", "save", "save_calibration_cache", "summary", "trace"]

_HOMES = {"analysis.comparison": ("Comparison", "ComparisonRow", "compare"),
          "analysis.node_summary": ("SummaryRow", "summary"), "automatic": ("auto_quantize",),
          "calibration.calibrating": ("calibrate",), "errors": ("GraphError",),
          "files.calibration_cache": ("save_calibration_cache",), "files.reader": ("load",), "files.writer": ("save",),
          "interpreter.custom": ("custom_operator",), "interpreter.run": ("Interpreter", "interpret"),
          "methods.method_steps": ("gains",), "quantizing": ("quantize",),
          "search.budgets": ("Decisions", "decisions"), "session": ("Session", "compile", "load_session"),
          "tracing": ("trace",)}
_FUNCTIONS = {name: home for home, names in _HOMES.items() for name in names}
_WITHOUT_EXTRA = ("GraphError", "Session", "custom_operator", "load_session")


def __getattr__(name: str) -> Any:
    home = _FUNCTIONS.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name not in _WITHOUT_EXTRA:
        require_extra(name)
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__})
