"""Export to ONNX: the switch, what is refused, and the nodes for the TorchScript exporter.

The nodes for the other exporter are in `_onnx_nodes`.
"""
from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Module, Parameter
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils._python_dispatch import _disable_current_modes

from .._core import onnx as nodes
from .._core.quantizer import QuantizerRules
from .._core.replacement import onnx_export
from .._core.switches import Block, Switch
from ._convert import as_array, as_tensor, untraced
from ._onnx_nodes import exporting, exporting_program, onnx_exporting

__all__ = ["check_ready", "check_switched_on", "check_traced_range", "e4m3_symbolic", "export",
           "float8_is_standard", "integer_symbolic"]

logger = logging.getLogger(__name__)

EXPORTERS = ("torch.jit", "torch.export", "torch._export", "torch.fx")    # whose modules wrap the one exported
FLOAT8_NODES = ("trt", "onnx")
OPSET_FLOAT8, OPSET_OTHER_BITS = 19, 21

_names: dict[int, str] = {}     # while exporting: quantisers' full names by their id
_float8 = [FLOAT8_NODES[0]]     # while exporting: which nodes E4M3 becomes

_switch = Switch(functools.partial(_float8.__setitem__, 0), _float8[0])


def _name_quantizers(module: Module, inputs: Any) -> None:
    """Before the forward of any module: the outermost one, the exporter's own aside, knows its quantisers' names."""
    if id(module) not in _names and not type(module).__module__.startswith(EXPORTERS):
        for name, each in module.named_modules():
            if isinstance(each, QuantizerRules):
                _names.setdefault(id(each), name)


@contextmanager
def export(quantizer_class: type[Any], float8: str) -> Iterator[None]:
    """See `quant_modules.enable_onnx_export`."""
    if float8 not in FLOAT8_NODES:
        raise ValueError(f"Expected `float8` to be 'trt' or 'onnx', got {float8!r}")
    block, hook = Block(), register_module_forward_pre_hook(_name_quantizers)
    try:
        _switch.enter(block, float8)
        with onnx_export(quantizer_class):
            yield
    finally:
        hook.remove()
        _switch.leave(block)
        if not _switch.is_asked:
            _names.clear()


def float8_is_standard() -> bool:
    """Whether E4M3 is to become the standard's nodes instead of TensorRT's."""
    return _float8[0] == "onnx"


def _shown(quantizer: Any) -> str:
    """The quantiser's full name in the outermost module that is being called, or the name that it has itself."""
    name = _names.get(id(quantizer))
    frame = None if name else sys._getframe(1)
    while frame is not None:
        module = frame.f_locals.get("self")
        if isinstance(module, Module) and not type(module).__module__.startswith(EXPORTERS):
            name = next((found for found, each in module.named_modules() if each is quantizer), None) or name
        frame = frame.f_back
    name = name or quantizer.name
    return f"quantiser {name!r}" if name else "a quantiser without a name"


def check_traced_range(quantizer: Any, inputs: Tensor) -> None:
    """RuntimeError where torch.jit.trace would take the range of its example for a constant. A parameter's is one."""
    tracer: Any = torch._C
    if not exporting() and tracer._get_tracing_state() is not None and not isinstance(inputs, Parameter):
        raise RuntimeError(f"The range of {_shown(quantizer)} is dynamic, and a trace would freeze that of the example "
                           "inputs as a constant. Calibrate first: `with calibrating(model, load_amax=True)`")


def _real(tensor: Tensor) -> Tensor | None:
    """The tensor itself; of one that torch.export has put a fake in the place of, the one with values, if found."""
    mode = getattr(tensor, "fake_mode", None)
    if mode is None:
        return tensor
    try:
        memo = mode.fake_tensor_converter.meta_converter
        return next((real for real, key in memo.describer.lookup_tensor.items() if memo.tensor_memo.get(key) is tensor),
                    None)
    except AttributeError:
        return None


def _numbers(values: Tensor) -> NDArray[Any]:
    """As an array, read past torch.export, which would record each operation instead."""
    with _disable_current_modes():
        return as_array(values.detach().float())


def _check_finite(quantizer: Any, shown: str) -> None:
    amax = quantizer._learned_amax() if quantizer._learn_amax else quantizer.amax
    values = _real(amax)
    if values is not None and not np.isfinite(_numbers(values)).all():
        raise ValueError(f"Expected a finite amax for ONNX export, but that of {shown} holds NaN or infinity: "
                         "calibrate again, without such values in the batches")


@untraced
def check_ready(quantizer: Any) -> None:
    """Refuses a quantiser that cannot be exported, naming it: RuntimeError without an amax, else ValueError."""
    shown = _shown(quantizer)
    amax = quantizer.amax
    if quantizer._disabled or not quantizer._if_quant:
        return
    if amax is None and not quantizer._learn_amax:
        raise RuntimeError(f"Quantizer has not been calibrated: expected {shown} to have an amax for ONNX export. "
                           "Calibrate and load amax first.")
    if quantizer._if_calib:
        logger.warning("%s still collects; finish calibration before exporting.", shown)
    _check_finite(quantizer, shown)
    if quantizer.block_sizes is not None or quantizer.zero_point:
        raise ValueError(f"torch.onnx.export writes no blocks and no ranges with two ends: {shown} has "
                         f"{'a zero point' if quantizer.zero_point else f'block_sizes={quantizer.block_sizes}'}")
    bits, shape = quantizer._num_bits, () if amax is None else tuple(amax.shape)
    long = [size for size in shape if size != 1]
    if isinstance(bits, tuple):
        if bits != (4, 3):
            raise ValueError(f"torch.onnx.export writes E4M3 alone of small floats: {shown} has {bits}")
        if long:
            raise ValueError(f"E4M3 is exported per tensor: expected {shown} to have an amax of one element, "
                             f"got shape {shape}")
        return
    if bits not in (4, 8, 16):
        raise ValueError(f"ONNX has integers of 4, 8 and 16 bits: {shown} has {bits}")
    if bits != 8 and not exporting():
        raise ValueError(f"{shown} has {bits} bits, which ONNX has from opset {OPSET_OTHER_BITS} on, and the "
                         "TorchScript exporter none beyond 20: call torch.onnx.export with dynamo=True and that opset")
    if len(long) > 1:
        raise ValueError(f"ONNX has scales along one axis: {shown} has an amax of shape {shape}")
    if quantizer._narrow_range and not quantizer._unsigned:
        raise ValueError(f"ONNX has no narrow signed range: {shown} has narrow_range=True")
    if not quantizer._fake_quant:
        raise ValueError(f"Only fake quantisation is exported: {shown} has fake_quant=False")


def check_switched_on(quantizer: Any) -> None:
    """RuntimeError where the exporter with torch.export would not find the quantiser's nodes."""
    if exporting_program() and onnx_exporting() and not quantizer._exports_onnx():
        raise RuntimeError(f"Expected {_shown(quantizer)} to be exported to ONNX inside `with quant_modules."
                           "enable_onnx_export():`, or after `TensorQuantizer.use_fb_fake_quant = True`")


def _constant(value: Any, name: str) -> NDArray[Any]:
    """The numbers of a bound that is constant in the graph. ValueError for one that is computed there."""
    if not isinstance(value, Tensor | int | float):
        from torch.onnx import symbolic_helper

        value = symbolic_helper._maybe_get_const(value, "t")
    if isinstance(value, Tensor):
        return as_array(value.float())
    if isinstance(value, int | float):
        return np.asarray(value, np.float32)
    raise ValueError(f"Expected `{name}` to be a constant for ONNX export, got one that is computed from the inputs: "
                     "calibrate, and export inside `with quant_modules.enable_onnx_export():`")


def _tensor(array: NDArray[Any]) -> Tensor:
    return as_tensor(np.array(array))


def integer_symbolic(g: Any, inputs: Any, amax: Any, num_bits: int, unsigned: bool, narrow_range: bool) -> Any:
    """QuantizeLinear and DequantizeLinear; see `_core.onnx.int8_symbolic`."""
    return nodes.int8_symbolic(g, inputs, _constant(amax, "amax"), num_bits, unsigned, narrow_range, _tensor)


def _annotated(node: Any, inputs: Any, kind: str) -> Any:
    """`node` with its type; the exporter does not know TensorRT's nodes."""
    return node.setType(inputs.type().with_dtype(getattr(torch, kind)).with_sizes(inputs.type().sizes()))


def e4m3_symbolic(g: Any, inputs: Any, amax: Any) -> Any:
    """TensorRT's FP8 nodes, or the standard's; see `_core.onnx`."""
    bound = None if amax is None else _constant(amax, "amax")
    if not float8_is_standard():
        return nodes.e4m3_symbolic(g, inputs, bound, _tensor, _annotated)
    if g.opset < OPSET_FLOAT8:
        raise ValueError(f"Expected opset {OPSET_FLOAT8} or newer for standard float8 nodes, got {g.opset}")
    return nodes.float8_symbolic(g, inputs, bound, _tensor)
