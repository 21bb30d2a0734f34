"""`TensorQuantizer`: the layer that quantises what passes through it."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import calib
from ... import utils as quant_utils
from ..._arrays import float_array, is_floating, number_array
from ..._core.block_quant import codes_of, fake_blocks
from ..._core.descriptor import QuantDescriptor, ScaledQuantDescriptor
from ..._core.quantization import Quantization
from ..._core.quantizer import QuantizerRules
from ..._core.quantizer_parts import new_calibrator
from ...float_nn.module import Module
from ...float_nn.parameter import Parameter
from ...formats import fake_range_quant, scaled_float
from ...integer.guards import StepsNoted
from ...tensor_quant import fake_tensor_quant, scaled_e4m3, tensor_quant
from .clip import Clip

__all__ = ["TensorQuantizer"]

DEFAULT = QuantDescriptor()


class TensorQuantizer(StepsNoted, QuantizerRules[NDArray[Any]], Module):
    """Quantises arrays with a fixed, a calibrated, a learnt or each array's own range.

    The stages of a forward, each with its switch: `pre_quant_scale` multiplies, the calibrator collects, the range
    is clipped to and learnt (`learn_amax`), and the array is quantised.

    Args:
        quant_desc: how to quantise; the default is 8 bits, signed, one amax, taken from each array.
        disabled: pass everything through.
        if_quant: quantise.
        if_clip: clip to a learnt range; needs `learn_amax` in the descriptor.
        if_calib: collect what passes for calibration.

    Raises:
        TypeError: `quant_desc` is not a descriptor.
        ValueError: `if_clip` without `learn_amax`; a learnt amax of several elements.
    """

    def __init__(self, quant_desc: ScaledQuantDescriptor = DEFAULT, disabled: bool = False, if_quant: bool = True,
                 if_clip: bool = False, if_calib: bool = False) -> None:
        super().__init__()
        self._set_up(quant_desc, disabled, if_quant, if_clip, if_calib)

    def _new_buffer(self, value: Any, name: str = "value") -> NDArray[Any]:
        array = number_array(value, name)
        return np.array(array, array.dtype if is_floating(array.dtype) else np.float32)

    def _is_array(self, value: Any) -> bool:
        return isinstance(value, np.ndarray) and is_floating(value.dtype)

    def _is_parameter(self, value: Any) -> bool:
        return isinstance(value, Parameter)

    def _fill(self, target: Any, value: Any) -> None:
        np.copyto(target, value, casting="same_kind")

    def _as_inputs(self, inputs: Any) -> NDArray[Any]:
        return inputs if isinstance(inputs, np.ndarray) else float_array(inputs, "inputs")

    def _scaled_inputs(self, inputs: Any, scale: Any) -> NDArray[Any]:
        array = float_array(inputs, "inputs")
        return np.asarray(array * scale).astype(array.dtype, copy=False)

    def _dynamic_amax(self, inputs: Any, axes: list[int] | None) -> NDArray[Any]:
        return quant_utils.reduce_amax(inputs, axes)

    def _as_float(self, amax: Any) -> NDArray[Any]:
        return amax if amax.dtype.char in "fd" else amax.astype(np.float32)  # type: ignore[no-any-return]

    def _learned_amax(self) -> NDArray[Any]:
        return np.asarray(np.maximum(-self.clip.clip_value_min, self.clip.clip_value_max))

    def _quantize(self, inputs: Any, amax: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        return tensor_quant(inputs, amax, self._num_bits, self._unsigned)  # type: ignore[arg-type]

    def _fake_quantize(self, inputs: Any, amax: Any) -> NDArray[Any]:
        return fake_tensor_quant(inputs, amax, self._num_bits, self._unsigned,  # type: ignore[arg-type]
                                 self._narrow_range)

    def _e4m3(self, inputs: Any, amax: Any) -> NDArray[Any]:
        return scaled_e4m3(inputs, amax)

    def _float_quantize(self, inputs: Any, amax: Any) -> NDArray[Any]:
        return scaled_float(inputs, amax, *self._num_bits)  # type: ignore[misc]

    def _block_quantize(self, inputs: Any, amax: Any) -> NDArray[Any]:
        return fake_blocks(inputs, self.format, self._block_sizes, amax, self._scale_amax)  # type: ignore[arg-type]

    def _range_quantize(self, inputs: Any, amin: Any, amax: Any) -> NDArray[Any]:
        return fake_range_quant(inputs, amin, amax, self._num_bits)  # type: ignore[arg-type]

    def _codes(self, inputs: Any, amin: Any, amax: Any) -> tuple[Any, Quantization]:
        return codes_of(inputs, self.format, self._block_sizes, self._axis, amin, amax,  # type: ignore[arg-type]
                        self._scale_amax)

    def _dynamic_amin(self, inputs: Any, axes: list[int] | None) -> NDArray[Any]:
        return np.asarray(np.min(inputs, axis=None if axes is None else tuple(axes), keepdims=axes is not None,
                                 initial=inputs.dtype.type(0)))

    def _make_clip(self, limit: float) -> Clip:
        return Clip(-limit, limit, learn_min=True, learn_max=True)

    def _make_calibrator(self, method: str) -> Any:
        return new_calibrator(calib, self, method)
