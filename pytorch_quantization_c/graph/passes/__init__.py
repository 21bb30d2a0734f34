"""What `quantize` does to a model before placing quantisers: the same function in fewer nodes."""
from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import CommonSubexpressionEliminationPass, RemoveUnusedNodesPass

from ..representation.naming import names_remembered
from ..representation.notes import NUMPY
from .affine import fold_affine
from .cleanup import remove_no_ops
from .constants import fold_constants
from .patterns import recognise
from .scalars import fold_scalars
from .sizes import fold_sizes

__all__ = ["prepare"]


def prepare(model: ir.Model) -> None:
    """Folds constants, BatchNorm and factors, removes what does nothing and recognises activations; in place."""
    for node in model.graph:
        if node.op_type == "MatMul":
            node.metadata_props.pop(NUMPY, None)  # its sums may be in a different order now
    fold_constants(model)
    if fold_sizes(model):
        remove_no_ops(model)
        fold_constants(model)
    remove_no_ops(model)
    CommonSubexpressionEliminationPass()(model)
    with names_remembered():
        recognise(model)
        fold_affine(model)
        fold_scalars(model)
    remove_no_ops(model)
    RemoveUnusedNodesPass()(model)
    fold_constants(model)
