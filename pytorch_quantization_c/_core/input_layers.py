"""The constructors of the layers that have no weight, for any host. Each stands before the host's float layer."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .layer_rules import QuantInputRules, Sizes, pop_quant_desc_in_kwargs

__all__ = ["AdaptiveAvgPoolRules", "AvgPool1dRules", "AvgPoolRules", "InputLayerRules", "InstanceNormRules",
           "MaxPoolRules"]


class InputLayerRules(QuantInputRules):
    """A layer that quantises its input and then does what the float layer does."""

    def forward(self, input: Any) -> Any:
        """The float layer's result for the quantised input; shapes and errors are the float layer's."""
        return super().forward(self._input_quantizer(input))


class MaxPoolRules(InputLayerRules):
    """Maximum over windows. Quantisation creates ties: `return_indices` gives the first."""

    def __init__(self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, dilation: Sizes = 1,
                 return_indices: bool = False, ceil_mode: bool = False, **kwargs: Any) -> None:
        super().__init__(kernel_size, stride, padding, dilation, return_indices, ceil_mode)
        self.init_quantizer(pop_quant_desc_in_kwargs(type(self), input_only=True, **kwargs))


class AvgPool1dRules(InputLayerRules):
    """Mean over windows of one dimension."""

    def __init__(self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, ceil_mode: bool = False,
                 count_include_pad: bool = True, **kwargs: Any) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        self.init_quantizer(pop_quant_desc_in_kwargs(type(self), input_only=True, **kwargs))


class AvgPoolRules(InputLayerRules):
    """Mean over windows of two or three dimensions."""

    def __init__(self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, ceil_mode: bool = False,
                 count_include_pad: bool = True, divisor_override: int | None = None, **kwargs: Any) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
        self.init_quantizer(pop_quant_desc_in_kwargs(type(self), input_only=True, **kwargs))


class AdaptiveAvgPoolRules(InputLayerRules):
    """Mean over as many windows as the output has elements."""

    def __init__(self, output_size: int | Sequence[int | None] | None, **kwargs: Any) -> None:
        super().__init__(output_size)
        self.init_quantizer(pop_quant_desc_in_kwargs(type(self), input_only=True, **kwargs))


class InstanceNormRules(InputLayerRules):
    """Normalisation of each channel of each example."""

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
                 track_running_stats: bool = False, **kwargs: Any) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats)
        self.init_quantizer(pop_quant_desc_in_kwargs(type(self), input_only=True, **kwargs))
