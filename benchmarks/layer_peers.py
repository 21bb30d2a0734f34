"""torch and onnxruntime on the layers of bench_layers.py: calls that take the float32 input and return the output."""
from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from harness import Call
from layer_shapes import Shape


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


def torch_dynamic(shape: Shape, batch: int, threads: int) -> Iterator[Call]:
    """What quantize_dynamic makes of a linear layer, in each of torch's engines for x86."""
    import torch

    if not shape.rows:
        return
    warnings.simplefilter("ignore")  # quantised tensors are deprecated
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    x, weight, bias = map(torch.from_numpy, shape.data(batch))
    for engine in ("fbgemm", "onednn"):
        if engine not in torch.backends.quantized.supported_engines:
            continue
        torch.backends.quantized.engine = engine
        steps = weight.abs().amax(1).double() / 127
        quantised = torch.quantize_per_channel(weight, steps, torch.zeros(len(steps), dtype=torch.int64), 0,
                                                torch.qint8)
        packed = torch.ops.quantized.linear_prepack(quantised, bias)
        yield lambda packed=packed: torch.ops.quantized.linear_dynamic(x, packed, True)


def model(nodes: list[Any], constants: dict[str, Any], x: Any) -> Any:
    """An ONNX model from "x" to "y"."""
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(nodes, "layer", [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 9
    return made


def session(made: Any, x: Any, threads: int) -> Call:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    ready = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: ready.run(None, {"x": x})[0]


def product_node(shape: Shape, x: str, w: str, b: str, y: str) -> Any:
    from onnx import helper

    if shape.rows:
        return helper.make_node("Gemm", [x, w, b], [y], transB=1)
    return helper.make_node("Conv", [x, w, b], [y], strides=[shape.stride] * 2, pads=[shape.padding] * 4,
                            group=shape.groups)


def ort_float(shape: Shape, batch: int, threads: int) -> Iterator[Call]:
    x, weight, bias = shape.data(batch)
    yield session(model([product_node(shape, "x", "w", "b", "y")], {"w": weight, "b": bias}, x), x, threads)


def quantised_model(shape: Shape, batch: int, zero: Any) -> Any:
    """Calibrated Q and DQ around the layer and after it; `zero` is the zero point of activations, in their type."""
    from onnx import helper

    x, x_step, values, steps, bias = shape.quantised(batch)
    constants = {"xs": x_step, "xz": zero, "w": values, "ws": steps, "wz": np.zeros(len(steps), np.int8),
                 "b": np.rint(bias / (x_step * steps)).astype(np.int32), "bs": x_step * steps,
                 "bz": np.zeros(len(steps), np.int32), "yz": zero,
                 "ys": np.float32(np.abs(shape.reference(batch)).max() / 127)}
    return model([helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
                  helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
                  helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
                  helper.make_node("DequantizeLinear", ["b", "bs", "bz"], ["bd"], axis=0),
                  product_node(shape, "xd", "wd", "bd", "yd"),
                  helper.make_node("QuantizeLinear", ["yd", "ys", "yz"], ["yq"]),
                  helper.make_node("DequantizeLinear", ["yq", "ys", "yz"], ["y"])], constants, x)


def ort_int8(shape: Shape, batch: int, threads: int) -> Iterator[Call]:
    """QDQ with signed and with unsigned activations, calibrated, and dynamic quantisation of linear layers."""
    from onnx import helper

    x, _, values, steps, bias = shape.quantised(batch)
    for zero in (np.int8(0), np.uint8(128)):
        yield session(quantised_model(shape, batch, zero), x, threads)
    if shape.rows:
        constants = {"w": np.ascontiguousarray(values.T), "wz": np.int8(0), "ws": steps, "b": bias}
        dynamic = model([helper.make_node("DynamicQuantizeLinear", ["x"], ["xq", "xs", "xz"]),
                         helper.make_node("MatMulInteger", ["xq", "w", "xz", "wz"], ["yi"]),
                         helper.make_node("Cast", ["yi"], ["yf"], to=1),
                         helper.make_node("Mul", ["xs", "ws"], ["s"]),
                         helper.make_node("Mul", ["yf", "s"], ["ym"]),
                         helper.make_node("Add", ["ym", "b"], ["y"])], constants, x)
        yield session(dynamic, x, threads)
