"""`TensorQuantizer`: the layer that quantises what passes through it."""
from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Module, Parameter

from ...._arrays import number_array
from ...._core.block_quant import codes_of
from ...._core.quantization import Quantization
from ...._core.quantizer import QuantizerRules
from ...._core.quantizer_parts import STATE, new_calibrator
from ... import _formulas, _native, _onnx, _onnx_nodes, calib
from ... import utils as quant_utils
from ..._convert import as_array, as_tensor
from ..._kernels import checked
from ...formats import fake_block_quant, fake_range_quant, scaled_float
from ...learned_steps import learned_step_quant
from ...tensor_quant import QuantDescriptor, ScaledQuantDescriptor, fake_tensor_quant, scaled_e4m3, tensor_quant
from .clip import Clip

__all__ = ["Clip", "QuantDescriptor", "TensorQuantizer", "calib", "fake_tensor_quant", "quant_utils", "scaled_e4m3",
           "tensor_quant"]

DEFAULT = QuantDescriptor()


def _cut_off(amax: Tensor) -> Tensor:
    """amax as a constant: without its gradient, and, where a model is traced, without how it was computed."""
    return amax.detach() if _onnx_nodes.exporting() else amax.data


class TensorQuantizer(QuantizerRules[Tensor], Module):
    """Quantises tensors with a fixed, a calibrated, a learnt or each tensor's own range.

    The stages of a forward, each with its switch: `pre_quant_scale` multiplies, the calibrator collects, the range
    is clipped to and learnt (`learn_amax`), and the tensor is quantised. Gradients pass straight through where the
    input is within the range.

    Args:
        quant_desc: how to quantise; the default is 8 bits, signed, one amax, taken from each tensor.
        disabled: pass everything through.
        if_quant: quantise.
        if_clip: clip to a learnt range; needs `learn_amax` in the descriptor.
        if_calib: collect what passes for calibration.

    Raises:
        TypeError: `quant_desc` is not a descriptor.
        ValueError: `if_clip` without `learn_amax`; a learnt amax of several elements.
    """

    _learn_step = False     # set by learn_steps: the range is a parameter that LSQ learns

    def __init__(self, quant_desc: ScaledQuantDescriptor = DEFAULT, disabled: bool = False, if_quant: bool = True,
                 if_clip: bool = False, if_calib: bool = False) -> None:
        super().__init__()
        self._set_up(quant_desc, disabled, if_quant, if_clip, if_calib)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The original's objects may have a range that is no buffer."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        plain = vars(self)
        for name in STATE:
            if plain.get(name) is not None:
                setattr(self, name, plain.pop(name))

    def _new_buffer(self, value: Any, name: str = "value") -> Tensor:
        if not isinstance(value, Tensor):
            value = as_tensor(number_array(value, name).copy())
        fresh: Tensor = value.detach().clone()
        return fresh if fresh.is_floating_point() else fresh.float()

    def _is_array(self, value: Any) -> bool:
        return isinstance(value, Tensor) and value.is_floating_point()

    def _is_parameter(self, value: Any) -> bool:
        return isinstance(value, Parameter)

    def _fill(self, target: Tensor, value: Any) -> None:
        target.data.copy_(value)

    def _numbers(self, array: Any) -> NDArray[Any]:
        return as_array(array)

    def _as_inputs(self, inputs: Any) -> Tensor:
        _onnx.check_switched_on(self)
        return checked(inputs, "inputs")

    def _scaled_inputs(self, inputs: Tensor, scale: Tensor) -> Tensor:
        return (inputs * scale).to(inputs.dtype)

    def _is_empty(self, inputs: Tensor) -> bool:
        return torch._C._get_tracing_state() is None and inputs.numel() == 0

    def _dynamic_amax(self, inputs: Tensor, axes: list[int] | None) -> Tensor:
        if _onnx_nodes.exporting_program():
            largest = inputs.detach().abs()
            return largest.max() if axes is None else largest.amax(axes, keepdim=True)
        _onnx.check_traced_range(self, inputs)
        return quant_utils.reduce_amax(inputs, axes)

    def _as_float(self, amax: Tensor) -> Tensor:
        return _cut_off(amax if amax.dtype in (torch.float32, torch.float64) else amax.float())

    def _learned_amax(self) -> Tensor:
        return _cut_off(torch.maximum(-self.clip.clip_value_min, self.clip.clip_value_max))

    def _quantize(self, inputs: Tensor, amax: Tensor) -> tuple[Tensor, Tensor]:
        outputs, scale = tensor_quant(inputs, _cut_off(amax), self._num_bits, self._unsigned)
        return outputs, scale.detach()

    def _fake_quantize(self, inputs: Tensor, amax: Tensor) -> Tensor:
        if self._exports_onnx() and _onnx_nodes.exporting():
            return _onnx_nodes.integer_nodes(inputs, amax, self._num_bits, self._unsigned)  # type: ignore[arg-type]
        if _onnx_nodes.exporting_program():
            return _formulas.fake_quantize(inputs, amax, self._num_bits, self._unsigned,  # type: ignore[arg-type]
                                           self._narrow_range, check=False)
        if self.use_fb_fake_quant and torch._C._get_tracing_state() is not None and not self._exports_onnx():
            return self._fb_fake_quant(inputs, amax)
        if self._learn_step and isinstance(self.amax, Parameter):
            return learned_step_quant(inputs, self.amax, int(self._num_bits), bool(self._unsigned),  # type: ignore[arg-type]
                                      bool(self._narrow_range))
        return fake_tensor_quant(inputs, _cut_off(amax), self._num_bits, self._unsigned, self._narrow_range)

    def _fb_fake_quant(self, inputs: Tensor, amax: Tensor) -> Tensor:
        """Fake quantisation by torch's own operators, which saved TorchScript may hold; the original's name for it."""
        return _native.fake_quantize(inputs, amax, self._num_bits, self._unsigned,  # type: ignore[arg-type]
                                     self._narrow_range)

    def _e4m3(self, inputs: Tensor, amax: Tensor) -> Tensor:
        if self._exports_onnx() and _onnx_nodes.exporting():
            return _onnx_nodes.e4m3_nodes(inputs, amax, _onnx.float8_is_standard())
        if _onnx_nodes.exporting_program():
            return _formulas.e4m3(inputs, amax)
        return scaled_e4m3(inputs, _cut_off(amax))

    def _float_quantize(self, inputs: Tensor, amax: Tensor) -> Tensor:
        return scaled_float(inputs, _cut_off(amax), *self._num_bits)  # type: ignore[misc]

    def _block_quantize(self, inputs: Tensor, amax: Tensor | None) -> Tensor:
        return fake_block_quant(inputs, self._num_bits, self._block_sizes, None if amax is None else _cut_off(amax),
                                self._unsigned, self._narrow_range, self._scale_amax)

    def _range_quantize(self, inputs: Tensor, amin: Tensor, amax: Tensor) -> Tensor:
        return fake_range_quant(inputs, _cut_off(amin), _cut_off(amax), self._num_bits)

    def _codes(self, inputs: Tensor, amin: Tensor | None, amax: Tensor | None) -> tuple[Tensor, Quantization]:
        low, high = (None if each is None else as_array(each) for each in (amin, amax))
        codes, quantization = codes_of(as_array(inputs), self.format, self._block_sizes,
                                       self._axis, low, high, self._scale_amax)  # type: ignore[arg-type]
        return as_tensor(codes, None if inputs.is_cpu else inputs.device), quantization

    def _dynamic_amin(self, inputs: Tensor, axes: list[int] | None) -> Tensor:
        values = inputs.detach()
        return (values.min() if axes is None else values.amin(axes, keepdim=True)).clamp(max=0)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool,
                              missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str]) -> None:
        for name, buffer in self._buffers.items():
            given = state_dict.get(prefix + name)
            if buffer is not None and given is not None and buffer.dim() == 0 and given.dim() == 1 and len(given) != 1:
                # torch before 2.6 would take the first element.
                error_msgs.append(f"Expected {prefix}{name} of shape (), got {tuple(given.shape)}")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
                                      error_msgs)

    def _exports_onnx(self) -> bool:
        return self._enable_onnx_export or (self.use_fb_fake_quant and _onnx_nodes.onnx_exporting())

    def _check_onnx_readiness(self, inputs: Tensor) -> None:
        """Refuses, by the quantiser's name, what cannot be exported."""
        _onnx.check_ready(self)

    def _make_clip(self, limit: float) -> Clip:
        return Clip(-limit, limit, learn_min=True, learn_max=True)

    def _make_calibrator(self, method: str) -> Any:
        return new_calibrator(calib, self, method)
