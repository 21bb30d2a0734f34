"""A graph made ready to be run as a program."""
from __future__ import annotations

import os
from typing import Any

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from .files.reader import load
from .interpreter.run import Interpreter
from .interpreter.values import tied_axes, wanted
from .passes.constants import complete_types
from .passes.sizes import fold_sizes
from .program.document import Document
from .program.lower import lower

__all__ = ["Compiled", "restored"]


class Compiled:
    """A program, and the interpreter for what has no kernel.

    Args:
        model: what `load` takes.

    Raises:
        GraphError: as `load`, or a node that cannot be run.
    """

    def __init__(self, model: str | os.PathLike[str] | bytes | onnx.ModelProto | ir.Model) -> None:
        self.model = load(model)
        complete_types(self.model)
        if any(node.op_type == "Shape" for node in self.model.graph) and fold_sizes(self.model):
            RemoveUnusedNodesPass()(self.model)
            complete_types(self.model)
        self.interpreter = Interpreter(self.model)
        graph = self.model.graph
        self.document = Document(lower(self.interpreter), [wanted(value) for value in graph.inputs],
                                 [wanted(value) for value in graph.outputs], tied_axes(graph))

    def __reduce__(self) -> tuple[Any, ...]:
        return restored, (ir.to_proto(self.model).SerializeToString(),)


def restored(data: bytes) -> Compiled:
    """A pickled one."""
    return Compiled(onnx.load_model_from_string(data))
