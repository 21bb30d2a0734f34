"""Products with 4-bit weights in groups, as each library does them: functions that make a call of float32."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["CALLS", "Product", "Weights", "matmul_nbits", "weights_of"]

Call = Callable[[], NDArray[np.float32]]


class Product(NamedTuple):
    """x (rows, inputs) times weights (outputs, inputs) with a scale for each `group` of inputs."""

    inputs: int
    outputs: int
    group: int
    rows: int


class Weights(NamedTuple):
    """Codes from 0 to 15, (outputs, inputs), of which 8 is the value 0, and float32 scales (outputs, groups)."""

    codes: NDArray[np.uint8]
    scale: NDArray[np.float32]


def weights_of(product: Product) -> tuple[Weights, NDArray[np.float32]]:
    """Seeded weights, and an input."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 16, (product.outputs, product.inputs), dtype=np.uint8)
    scale = rng.uniform(0.001, 0.002, (product.outputs, product.inputs // product.group)).astype(np.float32)
    return Weights(codes, scale), rng.standard_normal((product.rows, product.inputs)).astype(np.float32)


def ours(product: Product, threads: int) -> Call:
    """`integer.PackedInt4`, each row quantised by its own range."""
    from pytorch_quantization_c import threads as pool
    from pytorch_quantization_c.integer import Int, PackedInt4

    pool.set_num_threads(threads)
    weights, x = weights_of(product)
    packed = PackedInt4((weights.codes - np.uint8(8)).view(np.int8), weights.scale, Int(8, narrow=True),
                        group=product.group, steps=True)
    return lambda: packed(x, by_row=True)


def matmul_nbits(name: str, weights: Weights, group: int) -> tuple[Any, list[Any]]:
    """onnxruntime's node, whose inputs are quantised to 8 bits in groups, and its constants: y = x `name`."""
    from onnx import helper, numpy_helper

    outputs, inputs = weights.codes.shape
    pairs = weights.codes.reshape(outputs, inputs // group, group // 2, 2)
    packed = pairs[..., 0] | pairs[..., 1] << 4
    node = helper.make_node("MatMulNBits", [f"{name}.x", f"{name}.b", f"{name}.s"], [f"{name}.y"], name,
                            domain="com.microsoft", K=inputs, N=outputs, bits=4, block_size=group, accuracy_level=4)
    return node, [numpy_helper.from_array(packed, f"{name}.b"),
                  numpy_helper.from_array(weights.scale.reshape(-1), f"{name}.s")]


def onnxruntime(product: Product, threads: int) -> Call:
    """MatMulNBits, accuracy_level 4."""
    import onnxruntime as ort
    from onnx import TensorProto, helper

    weights, x = weights_of(product)
    node, constants = matmul_nbits("m", weights, product.group)
    shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [product.rows, size])
              for name, size in (("m.x", product.inputs), ("m.y", product.outputs))]
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(helper.make_graph([node], "g", shapes[:1], shapes[1:], constants), opset_imports=opsets,
                              ir_version=10)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(model.SerializeToString(), options)
    return lambda: session.run(None, {"m.x": x})[0]


def openvino(product: Product, threads: int) -> Call:
    """A 4-bit constant in groups behind a MatMul; the plugin quantises inputs to 8 bits as it sees fit."""
    import openvino as ov
    from openvino import opset13 as op

    weights, x = weights_of(product)
    shape = product.outputs, product.inputs // product.group, product.group
    pairs = weights.codes.reshape(-1, 2)
    packed = (pairs[:, 0] | pairs[:, 1] << 4).astype(np.uint8)
    codes = op.constant(ov.Tensor(packed, ov.Shape(shape), ov.Type.u4))
    zero = op.constant(ov.Tensor(np.full(1, 0x88, np.uint8), ov.Shape([1, 1, 1]), ov.Type.u4))
    half = ov.Type.f16
    centred = op.subtract(op.convert(codes, half), op.convert(zero, half))
    scaled = op.multiply(centred, op.constant(weights.scale.astype(np.float16)[:, :, None]))
    flat = op.reshape(scaled, op.constant(np.array([product.outputs, product.inputs])), False)
    given = op.parameter(list(x.shape), ov.Type.f32)
    model = ov.Model([op.matmul(given, op.convert(flat, ov.Type.f32), False, True)], [given])
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = ov.Core().compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()
    return lambda: request.infer([x], share_inputs=True, share_outputs=True)[0]


def torchao(product: Product, threads: int) -> Call:
    """Weights that torchao's CPU kernel unpacks to bfloat16, as are inputs: its int8 one is not in the wheel."""
    import torch
    from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig
    from torchao.quantization import quantize_

    torch.set_num_threads(threads)
    weights, x = weights_of(product)
    values = (weights.codes.astype(np.float32) - 8) * np.repeat(weights.scale, product.group, 1)
    layer = torch.nn.Sequential(torch.nn.Linear(product.inputs, product.outputs, False, dtype=torch.bfloat16))
    layer[0].weight = torch.nn.Parameter(torch.from_numpy(values).bfloat16(), requires_grad=False)
    quantize_(layer, PrototypeInt4WeightOnlyConfig(group_size=product.group, set_inductor_config=False))
    given = torch.from_numpy(x).bfloat16()

    def call() -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(layer(given).float().numpy())
    return call


CALLS: dict[str, Callable[[Product, int], Call]] = {"ours": ours, "onnxruntime": onnxruntime, "OpenVINO": openvino,
                                                    "torchao": torchao}
