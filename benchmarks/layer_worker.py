"""One library, alone in a process, on all shapes: prints the seconds of a call as JSON. Started by bench_layers.py."""
from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from harness import Call, calls_in_a_block, timed
from layer_shapes import Shape, shapes


def ours(shape: Shape, batch: int, threads: int) -> Iterator[Call]:
    from pytorch_quantization_c import nn, quant_modules
    from pytorch_quantization_c import threads as ours_threads

    ours_threads.set_num_threads(threads)
    x, weight, bias = shape.data(batch)
    layer: Any = nn.QuantLinear(shape.inputs, shape.outputs) if shape.rows else nn.QuantConv2d(
        shape.inputs, shape.outputs, shape.kernel, shape.stride, shape.padding, groups=shape.groups)
    layer.weight[...], layer.bias[...] = weight, bias
    quant_modules.freeze(layer)
    layer(x)
    assert layer.execution == "int8", layer.execution
    yield lambda: layer(x)


def torch_float(shape: Shape, batch: int, threads: int) -> Iterator[Call]:
    import torch

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    x, weight, bias = map(torch.from_numpy, shape.data(batch))
    if shape.rows:
        yield lambda: torch.nn.functional.linear(x, weight, bias)
        return
    for layout in (torch.contiguous_format, torch.channels_last):
        xl, wl = x.to(memory_format=layout), weight.to(memory_format=layout)
        yield lambda xl=xl, wl=wl: torch.nn.functional.conv2d(xl, wl, bias, shape.stride, shape.padding,
                                                              groups=shape.groups)


def session(nodes: list[Any], constants: dict[str, Any], x: Any, threads: int) -> Call:
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(nodes, "layer", [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(value, name) for name, value in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    made = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: made.run(None, {"x": x})


def product_node(shape: Shape, x: str, w: str, b: str, y: str) -> Any:
    from onnx import helper

    if shape.rows:
        return helper.make_node("Gemm", [x, w, b], [y], transB=1)
    return helper.make_node("Conv", [x, w, b], [y], strides=[shape.stride] * 2, pads=[shape.padding] * 4,
                            group=shape.groups)


def ort_float(shape: Shape, batch: int, threads: int) -> Iterator[Call]:
    x, weight, bias = shape.data(batch)
    yield session([product_node(shape, "x", "w", "b", "y")], {"w": weight, "b": bias}, x, threads)


def ort_int8(shape: Shape, batch: int, threads: int) -> Iterator[Call]:
    """QDQ with signed and with unsigned activations, calibrated, and dynamic quantisation of linear layers."""
    from onnx import helper

    x, weight, bias = shape.data(batch)
    scale = (np.abs(weight).reshape(len(weight), -1).max(1) / 127).astype(np.float32)
    values = np.rint(weight / scale.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.int8)
    x_scale = np.float32(np.abs(x).max() / 127)
    for zero in (np.int8(0), np.uint8(128)):
        constants = {"xs": x_scale, "xz": zero, "w": values, "ws": scale, "wz": np.zeros(len(scale), np.int8),
                     "b": np.rint(bias / (x_scale * scale)).astype(np.int32), "bs": x_scale * scale,
                     "bz": np.zeros(len(scale), np.int32), "ys": np.float32(1), "yz": zero}
        yield session([helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
                       helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
                       helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
                       helper.make_node("DequantizeLinear", ["b", "bs", "bz"], ["bd"], axis=0),
                       product_node(shape, "xd", "wd", "bd", "yd"),
                       helper.make_node("QuantizeLinear", ["yd", "ys", "yz"], ["yq"]),
                       helper.make_node("DequantizeLinear", ["yq", "ys", "yz"], ["y"])],
                      {name: np.asarray(value) for name, value in constants.items()}, x, threads)
    if shape.rows:
        constants = {"w": np.ascontiguousarray(values.T), "wz": np.int8(0), "ws": scale, "b": bias}
        yield session([helper.make_node("DynamicQuantizeLinear", ["x"], ["xq", "xs", "xz"]),
                       helper.make_node("MatMulInteger", ["xq", "w", "xz", "wz"], ["yi"]),
                       helper.make_node("Cast", ["yi"], ["yf"], to=1),
                       helper.make_node("Mul", ["xs", "ws"], ["s"]),
                       helper.make_node("Mul", ["yf", "s"], ["ym"]),
                       helper.make_node("Add", ["ym", "b"], ["y"])],
                      {name: np.asarray(value) for name, value in constants.items()}, x, threads)


LIBRARIES = {"ours": ours, "torch fp32": torch_float, "ORT fp32": ort_float, "ORT int8": ort_int8}


def best(call: Call, seconds: float) -> float:
    times = calls_in_a_block(call)
    least, spent = float("inf"), 0.0
    while spent < seconds:
        once = timed(call, times)
        least, spent = min(least, once), spent + once * times
    return least


def main() -> None:
    library, batch, threads, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    wanted = sys.argv[5:]
    found = {}
    for shape in shapes(batch):
        if not wanted or any(text in shape.name for text in wanted):
            calls = list(LIBRARIES[library](shape, batch, threads))
            found[shape.name] = min(best(call, seconds / len(calls)) for call in calls)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
