"""Small networks with what quantisers treat specially: residuals, SiLU, a clip, pools, concats, linear layers."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx.helper import make_node

from .models import model_of

__all__ = ["batches", "classifier"]

SHAPE = (3, 16, 16)


def classifier(rng: np.random.Generator, opset: int = 17) -> onnx.ModelProto:
    """x (N, 3, 16, 16) to y (N, 5)."""
    def weight(*shape: int) -> np.ndarray:
        return rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))

    nodes = [
        make_node("Conv", ["x", "w1", "b1"], ["c1"], "stem", pads=[1, 1, 1, 1], strides=[2, 2]),
        make_node("Relu", ["c1"], ["r1"], "relu"),
        make_node("Conv", ["r1", "w2", "b2"], ["c2"], "depthwise", pads=[1, 1, 1, 1], group=8),
        make_node("Clip", ["c2", "zero", "six"], ["r2"], "clip"),
        make_node("Conv", ["r2", "w3"], ["c3"], "pointwise"),
        make_node("Add", ["c3", "r1"], ["sum"], "residual"),
        make_node("MaxPool", ["sum"], ["pooled"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        make_node("Sigmoid", ["pooled"], ["gate"], "sigmoid"),
        make_node("Mul", ["pooled", "gate"], ["silu"], "silu"),
        make_node("Concat", ["silu", "pooled"], ["both"], "concat", axis=1),
        make_node("GlobalAveragePool", ["both"], ["mean"], "mean"),
        make_node("Flatten", ["mean"], ["flat"], "flatten"),
        make_node("Gemm", ["flat", "w4", "b4"], ["fc"], "fc", transB=1),
        make_node("Relu", ["fc"], ["hidden"], "hidden"),
        make_node("MatMul", ["hidden", "w5"], ["product"], "product"),
        make_node("Add", ["product", "b5"], ["y"], "bias"),
    ]
    constants = {"w1": weight(8, 3, 3, 3), "b1": weight(8), "w2": weight(8, 1, 3, 3), "b2": weight(8),
                 "w3": weight(8, 8, 1, 1), "w4": weight(12, 16), "b4": weight(12), "w5": weight(12, 5),
                 "b5": weight(5), "zero": np.float32(0), "six": np.float32(6)}
    return model_of(nodes, {"x": ["N", *SHAPE]}, {"y": ["N", 5]}, constants, opset)


def batches(rng: np.random.Generator, count: int, size: int) -> list[dict[str, Any]]:
    """Feeds of the classifier."""
    return [{"x": rng.normal(size=(size, *SHAPE)).astype(np.float32)} for _ in range(count)]
