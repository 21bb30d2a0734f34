"""Networks quantised by other tools, converted to our quantisers."""
from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from ..representation.naming import names_remembered
from .import_dynamic import import_dynamic
from .import_qdq import import_qdq
from .import_qlinear import import_qlinear
from .import_recurrent import import_recurrent

__all__ = ["import_integers"]

MARKS = ("Linear", "Integer", "QGemm", "QuantizeLSTM")


def import_integers(model: ir.Model) -> None:
    """Operators on integers become quantisers and float operators, in place; everything else is left unchanged."""
    if not any(mark in node.op_type for node in model.graph for mark in MARKS):
        return
    with names_remembered():
        import_recurrent(model)
        import_dynamic(model)
        import_qlinear(model)
        import_qdq(model)
    RemoveUnusedNodesPass()(model)
