"""The packages that networks from ONNX files need."""
from __future__ import annotations

from importlib.util import find_spec

__all__ = ["require_extra"]

EXTRA = ("onnx_ir", "onnx", "onnxscript")


def require_extra(name: str) -> None:
    """ImportError that says how to install them, for a function of `graph`, if they are not there."""
    missing = [package for package in EXTRA if find_spec(package) is None]
    if missing:
        raise ImportError(f"`graph.{name}` needs the extra `onnx`, of which {', '.join(missing)} is missing: "
                          "pip install 'pytorch-quantization-c[onnx]'")
