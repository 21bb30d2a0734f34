"""Files into graphs."""
from __future__ import annotations

import os

import onnx
import onnx_ir as ir

from .._core.files import read_file

__all__ = ["load"]


def load(model: str | os.PathLike[str] | bytes | onnx.ModelProto | ir.Model) -> ir.Model:
    """A network as an `onnx_ir.Model`.

    Args:
        model: a path, the contents of a file, an `onnx.ModelProto`, or an `onnx_ir.Model`, which is copied.
    """
    if isinstance(model, ir.Model):
        return model.clone()
    if isinstance(model, str | os.PathLike):
        model = read_file(model)
    if isinstance(model, bytes):
        model = onnx.load_model_from_string(model)
    return ir.from_proto(model)
