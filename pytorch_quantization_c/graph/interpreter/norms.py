"""Normalisation."""
from __future__ import annotations

from typing import Any

import numpy as np

from ...float_nn import functional as F
from .table import Array, Function, NodeLike, attribute, operator


def epsilon_of(node: NodeLike) -> float:
    """The number whose shortest decimal the attribute, a float32, is: 1e-5 and not 9.99999975e-06."""
    return float(str(np.float32(attribute(node, "epsilon", 1e-5))))


@operator("BatchNormalization", floats=True)
def _batch_norm(node: NodeLike, opset: int) -> Function | None:
    eps = epsilon_of(node)
    if attribute(node, "training_mode", 0) or len(node.outputs) > 1:
        return None
    return lambda x, weight, bias, mean, variance: F.batch_norm(x, mean, variance, weight, bias, eps=eps)


@operator("InstanceNormalization", floats=True)
def _instance_norm(node: NodeLike, opset: int) -> Function:
    eps = epsilon_of(node)
    return lambda x, weight, bias: F.group_norm(x, x.shape[1], weight, bias, eps)


@operator("LayerNormalization", floats=True)
def _layer_norm(node: NodeLike, opset: int) -> Function | None:
    axis, eps = attribute(node, "axis", -1), epsilon_of(node)
    if len(node.outputs) > 1 or attribute(node, "stash_type", 1) != 1:
        return None

    def run(x: Array, weight: Array, bias: Any = None) -> Any:
        shape = x.shape[axis % x.ndim:]
        if weight.shape != shape or (bias is not None and bias.shape != shape):
            return NotImplemented
        return F.layer_norm(x, shape, weight, bias, eps)
    return run


@operator("GroupNormalization", floats=True)
def _group_norm(node: NodeLike, opset: int) -> Function | None:
    groups, eps = attribute(node, "num_groups"), epsilon_of(node)
    if opset < 21:
        return None  # where scale and bias are those of groups
    return lambda x, weight, bias: F.group_norm(x, groups, weight, bias, eps)


@operator("LpNormalization", floats=True)
def _lp_norm(node: NodeLike, opset: int) -> Function:
    axis, p = attribute(node, "axis", -1), attribute(node, "p", 2)

    def run(x: Array) -> Array:
        total = (np.abs(x) if p == 1 else np.square(x)).sum(axis=axis, keepdims=True)
        norm = total if p == 1 else np.sqrt(total)
        return np.asarray(np.divide(x, norm, out=np.zeros_like(x), where=norm != 0))
    return run


@operator("LRN", floats=True)
def _local_response_norm(node: NodeLike, opset: int) -> Function:
    alpha, beta = attribute(node, "alpha", 1e-4), attribute(node, "beta", 0.75)
    bias, size = attribute(node, "bias", 1.0), attribute(node, "size")

    def run(x: Array) -> Array:
        before = (size - 1) // 2
        amounts = [(0, 0), (before, size - 1 - before), *[(0, 0)] * (x.ndim - 2)]
        squares, total = np.pad(np.square(x), amounts), np.zeros_like(x)
        for start in range(size):
            total += squares[:, start:start + x.shape[1]]
        kind = x.dtype.type
        return np.asarray(x / np.power(kind(bias) + kind(alpha / size) * total, kind(beta)))
    return run
