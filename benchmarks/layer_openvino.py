"""OpenVINO on the layers of bench_layers.py: float32 in and out, input calibrated, 8 bit weights."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from harness import Call
from layer_shapes import Shape


def quantised_model(shape: Shape, batch: int) -> Any:
    """The form its quantisation tools write: FakeQuantize on the input, weights as int8 times a step."""
    import openvino
    from openvino import opset13 as ops

    x, x_step, values, steps, bias = shape.quantised(batch)
    source = ops.parameter(x.shape, np.float32, "x")
    low, high = np.float32(-128 * x_step), np.float32(127 * x_step)
    data = ops.fake_quantize(source, low, high, low, high, 256)
    spread = steps.reshape(-1, *[1] * (values.ndim - 1))
    weight = ops.multiply(ops.convert(ops.constant(values), "f32"), ops.constant(spread))
    if shape.rows:
        product = ops.matmul(data, weight, False, True)
        bias_shape: tuple[int, ...] = (1, -1)
    else:
        strides, pads, dilations = [shape.stride] * 2, [shape.padding] * 2, [1, 1]
        if shape.groups > 1:
            weight = ops.reshape(weight, np.array([shape.groups, -1, *values.shape[1:]]), False)
            product = ops.group_convolution(data, weight, strides, pads, pads, dilations)
        else:
            product = ops.convolution(data, weight, strides, pads, pads, dilations)
        bias_shape = (1, -1, 1, 1)
    return openvino.Model([ops.add(product, ops.constant(bias.reshape(bias_shape)))], [source])


def product_kind(compiled: Any) -> str:
    """How the layer runs, such as "brgemm_avx512_I8"."""
    kinds = {node.get_rt_info()["layerType"].astype(str): node.get_rt_info()["primitiveType"].astype(str)
             for node in compiled.get_runtime_model().get_ordered_ops()}
    return next(kind for layer, kind in kinds.items() if layer in ("Convolution", "FullyConnected", "MatMul"))


def openvino_int8(shape: Shape, batch: int, threads: int) -> Iterator[Call]:
    """Only what really runs on 8 bits counts. Input and output are bound beforehand; that is most of a short call."""
    import openvino

    x = shape.data(batch)[0]
    compiled = openvino.Core().compile_model(quantised_model(shape, batch), "CPU", {
        "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"})
    kind = product_kind(compiled)
    assert kind.lower().endswith("i8"), f"{shape.name} does not run on 8 bits: {kind}"
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(x, shared_memory=True))
    output = request.get_output_tensor(0).data

    def call(keep: Any = x) -> Any:
        request.infer(share_outputs=True)
        return output

    yield call
