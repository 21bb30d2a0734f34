"""The same arithmetic in other libraries, each as a function without arguments; those not installed are left out.

All take float32 (or half) inputs and an amax known beforehand, 8 bits, signed, narrow range; they return or fill an
array.
"""
from __future__ import annotations

import ctypes
from typing import Any

import harness
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
BOUND = 127
HAVE_TORCH = harness.version("torch") is not None
HAVE_ORT = harness.version("onnxruntime") is not None and harness.version("onnx") is not None


def set_threads(count: int) -> None:
    if HAVE_TORCH:
        import torch

        torch.set_num_threads(count)


def as_torch(x: Array) -> Any:
    import torch

    if x.dtype.name == "bfloat16":
        return torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(x)


def numpy_formula(x: Array, amax: Array) -> harness.Call:
    """The formula in five ufunc calls into one buffer: no allocation, one read and one write of the array each."""
    out = np.empty_like(x)
    scale = np.float32(BOUND) / amax

    def call() -> Array:
        np.multiply(x, scale, out=out)
        np.rint(out, out=out)
        np.clip(out, -BOUND, BOUND, out=out)
        return np.divide(out, scale, out=out)

    return call


def torch_sequence(x: Array, amax: Array) -> harness.Call:
    """What fake quantising costs as separate torch operations: find the smallest amax, make the scale, guard tiny amax,
    multiply, round, clamp, divide; half precision by way of float32 (bfloat16 stays as it is)."""
    import torch

    inputs, limit = as_torch(x), torch.from_numpy(np.asarray(amax))
    tiny = 2.0 ** -24

    def call() -> Any:
        smallest = limit.min()
        if smallest < 0:
            raise ValueError("amax is negative")
        bound = torch.tensor(2.0 ** 7 - 1.0)
        scale = bound / limit
        if smallest <= tiny:
            scale[limit <= tiny] = 0
        wide = inputs.float() if inputs.dtype == torch.half else inputs
        steps = torch.clamp((wide * scale).round_(), -bound, bound)
        if smallest <= tiny:
            scale[limit <= tiny] = 1.0
        return steps.to(inputs.dtype) / scale.to(inputs.dtype)

    return call


def torch_fake_quantize(x: Array, amax: Array) -> harness.Call:
    import torch

    inputs, step = as_torch(x), torch.from_numpy(np.atleast_1d(amax).reshape(-1) / np.float32(BOUND))
    if step.numel() == 1:
        number = step.item()
        return lambda: torch.fake_quantize_per_tensor_affine(inputs, number, 0, -BOUND, BOUND)
    zeros = torch.zeros(step.numel(), dtype=torch.int32)
    axis = amax.shape.index(step.numel())
    return lambda: torch.fake_quantize_per_channel_affine(inputs, step, zeros, axis, -BOUND, BOUND)


def onnxruntime_pair(x: Array, amax: Array, threads: int) -> harness.Call:
    """QuantizeLinear and DequantizeLinear, input and output bound beforehand, graph rewriting off so that both run."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    step = np.squeeze(amax / np.float32(BOUND)).astype(np.float32)
    axis = {"axis": amax.shape.index(amax.size)} if step.ndim else {}
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "step", "zero"], ["q"], **axis),
            helper.make_node("DequantizeLinear", ["q", "step", "zero"], ["y"], **axis),
        ],
        "pair",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, x.shape)],
        [numpy_helper.from_array(step, "step"), numpy_helper.from_array(np.zeros(step.shape, np.int8), "zero")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.add_session_config_entry("session.intra_op.allow_spinning", "1")
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    arrays = (x, np.empty_like(x))  # an OrtValue borrows the memory of its array
    source, target = map(onnxruntime.OrtValue.ortvalue_from_numpy, arrays)
    binding.bind_ortvalue_input("x", source)
    binding.bind_ortvalue_output("y", target)

    def call(arrays: tuple[Array, Array] = arrays) -> Array:
        session.run_with_iobinding(binding)
        return arrays[1]

    return call


def fake_quantizers(x: Array, amax: Array, threads: int) -> dict[str, harness.Call]:
    """Every peer that can fake-quantise this array."""
    found: dict[str, harness.Call] = {}
    if x.dtype == np.float32:
        found["NumPy out="] = numpy_formula(x, amax)
        if HAVE_ORT:
            found["ORT Q+DQ"] = onnxruntime_pair(x, amax, threads)
    if HAVE_TORCH:
        found["torch sequence"] = torch_sequence(x, amax)
        found["torch fake_quantize"] = torch_fake_quantize(x, amax)
    return found


def read_bandwidth(nbytes: int) -> harness.Call:
    """memchr for a byte that is not there: reads as fast as the C library knows how, one thread."""
    memchr = ctypes.CDLL(None).memchr
    memchr.argtypes, memchr.restype = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t], ctypes.c_void_p
    block = np.full(nbytes, 1, np.uint8)
    address = block.ctypes.data

    def call(keep: Array = block) -> Any:
        return memchr(address, 2, keep.nbytes)

    return call


def absolute_maxima(x: Array) -> dict[str, harness.Call]:
    found: dict[str, harness.Call] = {
        "NumPy max, min": lambda: max(x.max(), -x.min()),
        "NumPy abs.max": lambda: np.abs(x).max(),
    }
    if HAVE_TORCH:
        inputs = as_torch(x)
        found["torch abs.max"] = lambda: inputs.abs().max()
        found["torch aminmax"] = lambda: inputs.aminmax()
    return found
