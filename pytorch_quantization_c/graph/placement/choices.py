"""Which layers are quantised, and how each: `exclude`, `overrides` and the two descriptors of `quantize`."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from ..._core.blocks import Blocks
from ..._core.descriptor import QuantDescriptor
from ..._core.errors import shown
from ...model.patterns import chosen_by, patterns_of
from ..nodes import QuantizerSpec
from ..passes.editing import constant, is_op
from ..passes.layers import PRODUCTS, RECURRENT

Patterns = str | Iterable[str]
Override = QuantDescriptor | Mapping[str, QuantDescriptor | None] | None


def node_matcher(argument: str, patterns: Patterns, nodes: list[ir.Node]) -> Callable[[ir.Node], bool]:
    """A test whether a pattern (a glob, or `re:` and an expression) matches a node's name or its operator.

    Raises:
        ValueError: a bad expression, or a pattern that matches none of `nodes`.
    """
    names = sorted({text for node in nodes for text in (node.name or "", node.op_type)})
    chosen = chosen_by(patterns_of(argument, patterns, names))
    return lambda node: (node.name or "") in chosen or node.op_type in chosen


class Choices:
    """What `quantize` was asked for, layer by layer.

    Args:
        layers: the nodes that could run on integers.
        input, weight: descriptors of all layers; axis 0 of `weight` stands for the axis of output channels, blocks of
            it for groups of inputs of Gemm and MatMul.
        exclude: patterns of layers that stay float.
        overrides: by pattern, descriptors {"input": ..., "weight": ...} of the layers that match; one descriptor is
            for both (a weight keeps its axis, 0 where it is in groups), None leaves the layer, or that input, float.
            The last that matches wins.
    """

    def __init__(self, layers: list[ir.Node], input: QuantDescriptor, weight: QuantDescriptor, exclude: Patterns,
                 overrides: Mapping[str, Override]) -> None:
        self._default = {"input": _checked("input", "input", input), "weight": _checked("weight", "weight", weight)}
        if not isinstance(overrides, Mapping):
            raise TypeError(f"Expected `overrides` to be a dict from patterns to descriptors, got {shown(overrides)}")
        self._excluded = node_matcher("exclude", exclude, layers) if exclude else lambda node: False
        self._overrides = [(node_matcher("overrides", pattern, layers), self._one(pattern, override))
                           for pattern, override in overrides.items()]

    def _one(self, pattern: str, override: Override) -> dict[str, QuantDescriptor | None]:
        if override is None:
            return {"input": None, "weight": None}
        if isinstance(override, QuantDescriptor):
            checked = _checked("input", f"overrides[{pattern!r}]", override)
            default = self._default["weight"]
            weight = checked.dict() | {"axis": default.axis if default.blocks is None else 0}
            return {"input": checked, "weight": QuantDescriptor(**weight)}  # pyright: ignore
        if not isinstance(override, Mapping) or set(override) - {"input", "weight"}:
            raise TypeError(f"Expected `overrides[{pattern!r}]` to be a QuantDescriptor, None, or a dict with the keys "
                            f"'input' and 'weight', got {shown(override)}")
        return {key: None if each is None else _checked(key, f"overrides[{pattern!r}][{key!r}]", each)
                for key, each in override.items()}

    def _chosen(self, node: ir.Node, kind: str) -> QuantDescriptor | None:
        chosen: QuantDescriptor | None = self._default[kind]
        for matches, override in self._overrides:
            if kind in override and matches(node):
                chosen = override[kind]
        return chosen

    def wanted(self, node: ir.Node) -> bool:
        """Whether the layer is quantised: both its input and its weight, or it would not run on integers."""
        return not self._excluded(node) and self._chosen(node, "input") is not None and \
            self._chosen(node, "weight") is not None

    def descriptor(self, node: ir.Node, kind: str) -> QuantDescriptor:
        """The descriptor of a wanted layer's "input" or "weight"."""
        found = self._chosen(node, kind)
        assert found is not None
        return found


def _checked(kind: str, name: str, descriptor: Any) -> QuantDescriptor:
    """A descriptor of layers' "input" or "weight", by its name in messages; ValueError for what has no effect."""
    if not isinstance(descriptor, QuantDescriptor):
        raise TypeError(f"Expected `{name}` to be a QuantDescriptor, got {shown(descriptor)}")
    if not isinstance(descriptor.num_bits, tuple) and not 2 <= descriptor.num_bits <= 16:
        raise ValueError(f"Expected `{name}` with `num_bits` from 2 to 16, or those of a small float, got "
                         f"{descriptor.num_bits}")
    _check_carried(name, descriptor)
    if kind == "input":
        _check_input(name, descriptor)
    elif descriptor.blocks is not None:
        _check_groups(name, descriptor, descriptor.blocks)
    elif descriptor.axis not in (None, 0):
        raise ValueError(f"Expected `{name}` with axis None, or 0 for one range each output channel, got axis "
                         f"{descriptor.axis}")
    return descriptor


def _check_carried(name: str, descriptor: QuantDescriptor) -> None:
    """ValueError for a field that no quantiser of a graph has."""
    if not descriptor.fake_quant:
        raise ValueError(f"Expected `{name}` with `fake_quant` True, as a graph's quantisers are, got False")
    if descriptor.learn_amax:
        raise ValueError(f"Expected `{name}` without `learn_amax`, as a graph learns nothing, got True")
    if descriptor.scale_amax is not None:
        raise ValueError(f"Expected `{name}` without `scale_amax`, got {descriptor.scale_amax}: `set_amax` of "
                         "graph.nodes changes a range afterwards")
    if descriptor.calib_method != "max":
        raise ValueError(f"Expected `{name}` with `calib_method` 'max', got {descriptor.calib_method!r}: the argument "
                         "`method` says how ranges are found")
    if descriptor.zero_point:
        raise ValueError(f"Expected `{name}` without `zero_point`, got True: weights have none, and of activations the "
                         "argument `zero_point` decides")


def _check_input(name: str, descriptor: QuantDescriptor) -> None:
    if descriptor.axis is not None:
        raise ValueError(f"Expected `{name}` with axis None, as integer layers have one range for it, got axis "
                         f"{descriptor.axis}")
    if descriptor.amax is not None:
        raise ValueError(f"Expected `{name}` without a fixed amax, as `quantize` finds ranges, got {descriptor.amax}: "
                         "`set_amax` of graph.nodes changes one afterwards")
    if descriptor.blocks is not None:
        raise ValueError(f"Expected `{name}` without `block_sizes`, as layers have one range for it, got "
                         f"{descriptor.blocks}")


def _check_groups(name: str, descriptor: QuantDescriptor, blocks: Blocks) -> None:
    if isinstance(descriptor.num_bits, tuple) or blocks.is_dynamic or blocks.scale_bits is not None:
        raise ValueError(f"Expected `{name}` with `block_sizes` of integers with a range each, as {{-1: 32}}, got "
                         f"{blocks} of {descriptor.num_bits} bits: `trace` takes layers in other formats")
    if descriptor.amax is not None:
        raise ValueError(f"Expected `{name}` without a fixed `amax` beside `block_sizes`, got {shown(descriptor.amax)}")


def nothing_left(model: ir.Model, eligible: list[ir.Node]) -> str:
    """Why no layer of a model would be quantised, for an error."""
    text = ("Expected `model` to have layers to quantise (Conv, ConvTranspose, Gemm, MatMul, LSTM or GRU with constant "
            "weights of float32), ")
    if eligible:
        return f"{text}got none of {len(eligible)} left by `exclude` and `overrides`"
    for node in model.graph:
        weight = constant(node.inputs[1]) if is_op(node, *PRODUCTS, *RECURRENT) and len(node.inputs) > 1 else None
        if weight is not None and weight.dtype != np.float32:
            return f"{text}got weights of {weight.dtype} in node {node.name!r}: convert the model to float32 first"
    return f"{text}got none"


def spec_of(descriptor: QuantDescriptor, axis: int | None = None) -> QuantizerSpec:
    """The quantiser that a descriptor asks for."""
    bits: Any = descriptor.num_bits
    if bits == (4, 3):
        return QuantizerSpec(bits, axis=axis)
    return QuantizerSpec(bits, descriptor.unsigned, descriptor.narrow_range, 0 if descriptor.unsigned else None, axis)
