"""Normalisation layers."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import functional as F
from . import init
from .checks import Array, ShapeError, factory, float_array, integer, integers
from .module import Module
from .parameter import Parameter

__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "GroupNorm", "InstanceNorm1d", "InstanceNorm2d",
           "InstanceNorm3d", "LayerNorm"]

MAX_AXES = 64  # of a NumPy array


def _reset(weight: Parameter | None, bias: Parameter | None) -> None:
    if weight is not None:
        init.ones_(weight)
    if bias is not None:
        init.zeros_(bias)


class _NormBase(Module):
    """Weight, bias and running statistics of `num_features` channels."""

    _version = 2
    _dimensions: tuple[int, ...]
    weight: Parameter | None
    bias: Parameter | None
    running_mean: NDArray[Any] | None
    running_var: NDArray[Any] | None
    num_batches_tracked: NDArray[Any] | None

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
                 track_running_stats: bool = True, device: Any = None, dtype: DTypeLike | None = None, *,
                 bias: bool = True) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = integer(num_features, "num_features", 0), eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        kind, size = factory(device, dtype), self.num_features
        self.register_parameter("weight", Parameter(np.empty(size, kind)) if affine else None)
        self.register_parameter("bias", Parameter(np.empty(size, kind)) if affine and bias else None)
        self.register_buffer("running_mean", np.zeros(size, kind) if track_running_stats else None)
        self.register_buffer("running_var", np.ones(size, kind) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", np.zeros((), np.int64) if track_running_stats else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forgets all batches: mean 0, variance 1."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.running_mean[...], self.running_var[...], self.num_batches_tracked[...] = 0, 1, 0

    def reset_parameters(self) -> None:
        """Forgets all batches and sets weight to 1 and bias to 0."""
        self.reset_running_stats()
        _reset(self.weight, self.bias)

    def _check_dimensions(self, x: Array) -> None:
        if x.ndim not in self._dimensions:
            wanted = " or ".join(f"{n}D" for n in self._dimensions)
            raise ShapeError(f"expected {wanted} input (got {x.ndim}D input)")

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool,
                              missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str]) -> None:
        """States saved by version 1, or by a plain dictionary, may lack the number of batches."""
        key = prefix + "num_batches_tracked"
        if local_metadata.get("version", 1) < 2 and self.num_batches_tracked is not None and key not in state_dict:
            state_dict = {**state_dict, key: self.num_batches_tracked}
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
                                      error_msgs)

    def extra_repr(self) -> str:
        """As torch prints it."""
        return (f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
                f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}")


class _BatchNorm(_NormBase):
    def forward(self, input: ArrayLike) -> Array:
        """(N, num_features, ...) to the same shape; while training the running statistics follow the batches."""
        x = float_array(input, "input")
        self._check_dimensions(x)
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked += 1
            if self.momentum is None:
                momentum = 1.0 / float(self.num_batches_tracked)
        by_batch = self.training or (self.running_mean is None and self.running_var is None)
        tracked = not self.training or self.track_running_stats
        mean, var = (self.running_mean, self.running_var) if tracked else (None, None)
        return F.batch_norm(x, mean, var, self.weight, self.bias, by_batch, momentum, self.eps)


class BatchNorm1d(_BatchNorm):
    """Each channel of (N, C) or (N, C, L) with mean 0 and variance 1 over the batch, times weight plus bias.

    Args:
        num_features: C.
        eps: added to the variance.
        momentum: how far running statistics move towards each batch's; None: they are the mean over all batches.
        affine: learn weight and bias.
        track_running_stats: keep running statistics, which are used in evaluation.
        device: None or "cpu".
        dtype: type of the parameters, float32 by default.
        bias: learn a bias, if `affine`.
    """

    _dimensions = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of (N, C, H, W); the arguments are those of `BatchNorm1d`."""

    _dimensions = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of (N, C, D, H, W); the arguments are those of `BatchNorm1d`."""

    _dimensions = (5,)


class _InstanceNorm(_NormBase):
    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = False,
                 track_running_stats: bool = False, device: Any = None, dtype: DTypeLike | None = None, *,
                 bias: bool = True) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def _handled(self, input: ArrayLike) -> tuple[Array, bool]:
        """The checked input with a batch dimension, and whether that was missing."""
        x = float_array(input, "input")
        self._check_dimensions(x)
        single = x.ndim == self._dimensions[0]
        if self.affine and x.shape[0 if single else 1] != self.num_features:
            raise ShapeError(f"expected input's size at dim={0 if single else 1} to match num_features "
                             f"({self.num_features}), but got: {x.shape[0 if single else 1]}.")
        return (x[None] if single else x), single

    def _apply_instance_norm(self, input: ArrayLike) -> Array:
        momentum = 0.0 if self.momentum is None else self.momentum
        return F.instance_norm(input, self.running_mean, self.running_var, self.weight, self.bias,
                               self.training or not self.track_running_stats, momentum, self.eps)

    def forward(self, input: ArrayLike) -> Array:
        """(N, num_features, ...) or (num_features, ...) to the same shape."""
        x, single = self._handled(input)
        y = self._apply_instance_norm(x)
        return y[0] if single else y


class InstanceNorm1d(_InstanceNorm):
    """Each channel of each instance of (N, C, L) or (C, L) with mean 0 and variance 1.

    The arguments are those of `BatchNorm1d`; nothing is learned or tracked unless asked for.
    """

    _dimensions = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Instance normalisation of (N, C, H, W) or (C, H, W); the arguments are those of `InstanceNorm1d`."""

    _dimensions = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of (N, C, D, H, W) or (C, D, H, W); the arguments are those of `InstanceNorm1d`."""

    _dimensions = (4, 5)


class LayerNorm(Module):
    """Mean 0 and variance 1 over the last dimensions, times weight plus bias.

    Args:
        normalized_shape: the sizes of those dimensions, or one size.
        eps: added to the variance.
        elementwise_affine: learn a weight for each element, and
        bias: a bias.
        device: None or "cpu".
        dtype: type of the parameters, float32 by default.
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(self, normalized_shape: int | Sequence[int], eps: float = 1e-5, elementwise_affine: bool = True,
                 bias: bool = True, device: Any = None, dtype: DTypeLike | None = None) -> None:
        super().__init__()
        count = len(normalized_shape) if isinstance(normalized_shape, Sequence) else 1
        if count > MAX_AXES:
            raise ValueError(f"Expected `normalized_shape` with at most {MAX_AXES} sizes, got {count}")
        self.normalized_shape = integers(normalized_shape, count, "normalized_shape", 0)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        kind = factory(device, dtype)
        for name, wanted in (("weight", elementwise_affine), ("bias", elementwise_affine and bias)):
            self.register_parameter(name, Parameter(np.empty(self.normalized_shape, kind)) if wanted else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets weight to 1 and bias to 0."""
        _reset(self.weight, self.bias)

    def forward(self, input: ArrayLike) -> Array:
        """(*, *normalized_shape) to the same shape."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """As torch prints it."""
        return (f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
                f"bias={self.bias is not None}")


class GroupNorm(Module):
    """Mean 0 and variance 1 over groups of channels of each instance, times weight plus bias.

    Args:
        num_groups: how many groups the `num_channels` channels are divided into.
        eps: added to the variance.
        affine: learn a weight for each channel, and
        bias: a bias.
        device: None or "cpu".
        dtype: type of the parameters, float32 by default.
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, device: Any = None,
                 dtype: DTypeLike | None = None, *, bias: bool = True) -> None:
        super().__init__()
        self.num_groups, self.num_channels = integer(num_groups, "num_groups", 1), integer(num_channels, "num_channels")
        if num_channels % num_groups:
            raise ValueError(f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})")
        self.eps, self.affine = eps, affine
        kind = factory(device, dtype)
        self.register_parameter("weight", Parameter(np.ones(num_channels, kind)) if affine else None)
        self.register_parameter("bias", Parameter(np.zeros(num_channels, kind)) if affine and bias else None)

    def reset_parameters(self) -> None:
        """Sets weight to 1 and bias to 0."""
        _reset(self.weight, self.bias)

    def forward(self, input: ArrayLike) -> Array:
        """(N, num_channels, ...) to the same shape."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """As torch prints it."""
        return (f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
                f"bias={self.bias is not None}")
