"""Raising a model's opset."""
from __future__ import annotations

import onnx
import onnx_ir as ir


def raise_opset(model: ir.Model, version: int) -> None:
    """Makes the model one of at least this opset, in place. ValueError if onnx cannot convert it."""
    if model.opset_imports.get("", 0) >= version:
        return
    proto = ir.serde.serialize_model(model)
    converted = ir.serde.deserialize_model(onnx.version_converter.convert_version(proto, version))
    model.graph = converted.graph
