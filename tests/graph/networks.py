"""Small networks for tests, written in onnx's own text form."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
from numpy.typing import NDArray


def network(body: str, inputs: str = "float[N,4,9,9] x", outputs: str = "float y", opset: int = 21,
            **constants: Any) -> ir.Model:
    """A model of these nodes; arrays and numbers as constants of float32, arrays of integers as they are."""
    text = f'<ir_version: 10, opset_import: ["" : {opset}]> g ({inputs}) => ({outputs}) {{ {body} }}'
    proto = onnx.parser.parse_model(text)
    for number, node in enumerate(proto.graph.node):
        node.name = node.name or f"{node.op_type.lower()}{number}"
    for name, value in constants.items():
        array = np.asarray(value)
        array = array.astype(np.float32) if array.dtype.kind == "f" else array
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto))


def operators(model: ir.Model) -> list[str]:
    """The operators of the main graph in order, quantisers left out."""
    return [node.op_type for node in model.graph if not node.domain]


def normal(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return rng.standard_normal(shape).astype(np.float32)


def convolutional(rng: np.random.Generator, classes: int = 5) -> ir.Model:
    """A residual network: stem with BatchNorm, depthwise block with an Add, pool, classifier."""
    def scaled(*shape: int) -> NDArray[np.float32]:
        return normal(rng, *shape) * np.float32(1.5 / np.sqrt(np.prod(shape[1:])))

    return network(
        """c1 = Conv <pads = [1, 1, 1, 1]> (x, w1)
           n1 = BatchNormalization (c1, gamma, beta, mean, variance)
           r1 = Relu (n1)
           c2 = Conv <pads = [1, 1, 1, 1], group = 8> (r1, w2, b2)
           r2 = Relu (c2)
           c3 = Conv (r2, w3, b3)
           s = Add (r1, c3)
           r3 = Relu (s)
           p = GlobalAveragePool (r3)
           f = Flatten (p)
           y = Gemm <transB = 1> (f, w4, b4)""",
        "float[N,3,16,16] x", f"float[N,{classes}] y",
        w1=scaled(8, 3, 3, 3), gamma=rng.uniform(0.5, 2, 8), beta=normal(rng, 8), mean=normal(rng, 8),
        variance=rng.uniform(0.5, 2, 8), w2=scaled(8, 1, 3, 3), b2=normal(rng, 8), w3=scaled(8, 8, 1, 1),
        b3=normal(rng, 8), w4=scaled(classes, 8), b4=normal(rng, classes))


def images(rng: np.random.Generator, count: int, size: int = 16) -> NDArray[np.float32]:
    return normal(rng, count, 3, size, size)


def sqnr(expected: Any, got: Any) -> float:
    """dB of an array against what it should be."""
    expected, got = np.asarray(expected, np.float64), np.asarray(got, np.float64)
    return float(10 * np.log10(np.square(expected).sum() / np.square(expected - got).sum()))
