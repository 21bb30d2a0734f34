"""How nodes that are not integer layers are computed."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..representation.arithmetic import fake_quantize
from ..representation.spec import QuantizerSpec
from .record import Compute, NodeLike
from .table import Array, Function, function_of

__all__ = ["Plain", "Rounding", "plain"]

ELSEWHERE = "a saved program cannot compute inputs of these types, which only `onnx.reference` knows"


class Rounding:
    """A quantiser; `amax` is None of a dynamic one."""

    def __init__(self, spec: QuantizerSpec, amax: Array | None) -> None:
        self.spec, self.amax = spec, amax

    def __call__(self, arrays: Sequence[Any]) -> list[Array]:
        return [fake_quantize(arrays[0], self.amax, self.spec)]


class Plain:
    """An operator of the standard by a function of our own.

    Args:
        node, opset: what the function was made of.
        function: of the inputs; NotImplemented where it does not know them.
        floats: it knows float32 and float64 alone.
        others: computes what the function does not know.
    """

    def __init__(self, node: NodeLike, opset: int, function: Function, floats: bool, others: Compute | None) -> None:
        self.node, self.opset, self.function, self.floats, self.others = node, opset, function, floats, others
        self.needs_others = False  # in some call

    def __call__(self, arrays: Sequence[Any]) -> Sequence[Any]:
        if not (self.floats and arrays[0].dtype.char not in "fd"):
            found = self.function(*arrays)
            if found is not NotImplemented:
                return found if isinstance(found, tuple | list) else (np.asarray(found),)
        self.needs_others = True
        if self.others is None:
            raise ValueError(ELSEWHERE)
        return self.others(arrays)


def plain(node: NodeLike, opset: int, others: Compute | None) -> Plain | None:
    """A node by a function of our own; None if there is none."""
    own = function_of(node, opset)
    return None if own is None else Plain(node, opset, *own, others)
