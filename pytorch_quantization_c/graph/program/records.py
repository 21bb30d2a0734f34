"""The Python steps of a program, as a file holds them: an operator's name and attributes, a quantiser, a layer."""
from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GraphError
from ..interpreter.integer_layer import IntegerLayer, LayerWeight
from ..interpreter.nbits import BlockWeight, NBits
from ..interpreter.plain import Plain, Rounding, plain
from ..interpreter.record import Compute, NodeRecord, recorded
from ..interpreter.recurrent import CELLS
from ..interpreter.recurrent_layer import RecurrentLayer
from ..representation.arithmetic import integers
from ..representation.notes import hidden_quantizer
from ..representation.spec import QuantizerSpec

__all__ = ["Record", "Unsaved", "computed", "record_of"]


class Unsaved(GraphError):
    """What a file cannot hold; the message says why."""


class Record(ABC):
    """A description from which a function can be recreated."""

    @abstractmethod
    def made(self) -> Compute:
        """The function."""


@dataclass(frozen=True)
class OperatorRecord(Record):
    """An operator of the standard."""

    node: NodeRecord

    def made(self) -> Compute:
        return _operator(self.node)


@dataclass(frozen=True)
class QuantizerRecord(Record):
    """A quantiser; `amax` is None of a dynamic one."""

    spec: QuantizerSpec
    amax: NDArray[np.float32] | None

    def made(self) -> Compute:
        return Rounding(self.spec, self.amax)


@dataclass(frozen=True)
class LayerRecord(Record):
    """A layer on integers. The codes are those of the weight less its zero points."""

    node: NodeRecord
    input: QuantizerRecord
    weight: QuantizerRecord
    codes: NDArray[np.int8] | NDArray[np.int16]
    order: tuple[int, ...] | None
    bias: NDArray[np.float32] | None

    def made(self) -> Compute:
        own, spec, amax = _operator(self.node), self.weight.spec, self.weight.amax
        if amax is None or self.node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            raise ValueError(f"no layer on integers is a {self.node.op_type} with such a weight")
        _, scale = integers(np.zeros(self.codes.shape, np.float32), amax, spec)
        array = np.divide(self.codes, scale, dtype=np.float32)
        return IntegerLayer(own.node, own.opset, self.input, LayerWeight(array, amax, spec, self.order), self.bias,
                            own.function)


@dataclass(frozen=True)
class CodesRecord:
    """A quantised weight."""

    quantizer: QuantizerRecord
    codes: NDArray[np.int8]

    def weight(self) -> LayerWeight:
        """What it stands for."""
        spec, amax = self.quantizer.spec, self.quantizer.amax
        if amax is None:
            raise ValueError("a weight without a range")
        _, scale = integers(np.zeros(self.codes.shape, np.float32), amax, spec)
        return LayerWeight(np.divide(self.codes, scale, dtype=np.float32), amax, spec, None)


@dataclass(frozen=True)
class RecurrentRecord(Record):
    """An LSTM or a GRU on integers; how its states are quantised is the node's."""

    node: NodeRecord
    input: QuantizerRecord
    weight: CodesRecord
    recurrent: CodesRecord
    bias: NDArray[np.float32] | None

    def made(self) -> Compute:
        own = _operator(self.node)
        hidden = hidden_quantizer(own.node)
        if self.node.op_type not in CELLS or hidden is None:
            raise ValueError(f"no layer on integers is a {self.node.op_type} with such states")
        return RecurrentLayer(own.node, own.opset, self.input, self.weight.weight(), self.recurrent.weight(), hidden,
                              self.bias, own.function)


@dataclass(frozen=True)
class BlockRecord(Record):
    """A product with a weight in blocks."""

    weight: BlockWeight

    def made(self) -> Compute:
        return NBits(self.weight)


def _operator(record: NodeRecord) -> Plain:
    try:
        found = plain(record.node(), record.opset, None)
    except MemoryError:
        raise
    except Exception as error:  # attributes of whatever types a damaged file may hold
        raise ValueError(f"invalid attributes of {record.op_type}: {error}") from None
    if found is None and record.domain:
        raise ValueError(f"no function is registered for {record.domain}.{record.op_type}, see `graph.custom_operator`")
    if found is None:
        raise ValueError(f"this version of the library has no function for {record.op_type}")
    return found


def record_of(value: Compute) -> Record:
    """What a file holds of a function. Unsaved if it needs the package onnx."""
    if isinstance(value, Rounding):
        return QuantizerRecord(value.spec, value.amax)
    if isinstance(value, Plain):
        if value.needs_others:
            raise Unsaved("onnx.reference computes it for inputs of the types that it has had")
        return OperatorRecord(_node(value.node, value.opset))
    if isinstance(value, IntegerLayer):
        return _layer_record(value)
    if isinstance(value, RecurrentLayer):
        return RecurrentRecord(_node(value.node, value.opset), QuantizerRecord(value.input.x.spec, value.input.x.amax),
                               _codes_record(value.weight), _codes_record(value.recurrent), value.bias)
    if isinstance(value, NBits):
        return BlockRecord(value.weight)
    raise Unsaved("onnx.reference computes it")


def computed(value: Record) -> Compute:
    """The function of a record."""
    return value.made()


def _node(node: Any, opset: int) -> NodeRecord:
    found = recorded(node, opset)
    if isinstance(found, str):
        raise Unsaved(found)
    return found


def _codes_record(weight: LayerWeight) -> CodesRecord:
    codes, _ = integers(weight.array, weight.amax, weight.spec)
    return CodesRecord(QuantizerRecord(weight.spec, weight.amax), codes.astype(np.int8))


def _layer_record(layer: IntegerLayer) -> LayerRecord:
    weight = layer.weight
    try:
        codes, _ = integers(weight.array, weight.amax, weight.spec)
    except TypeError as error:
        raise Unsaved(str(error)) from None
    if not np.isfinite(codes).all():
        raise Unsaved("its weight holds NaN")
    small = max(-codes.min(initial=0) - 1, codes.max(initial=0)) <= 127
    return LayerRecord(_node(layer.node, layer.opset), QuantizerRecord(layer.x.spec, layer.x.amax),
                       QuantizerRecord(weight.spec, weight.amax),
                       codes.astype(np.int8) if small else codes.astype(np.int16), weight.order, layer.bias)
