"""The amax of weights, layer by layer: rules shared by the fronts."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _C
from .._core.block_quant import blocked
from .._core.errors import shown
from .._core.histogram import MAX_BINS, count
from .._core.histogram_search import checked_options, search, warn_of_small_percentile
from .._core.layer_rules import ConvTransposeRules
from .._core.progress import progress

ToArray = Callable[[Any], NDArray[Any]]


def weight_amax(weight: NDArray[Any], axis: int | None, method: str, num_bits: int | tuple[int, int], unsigned: bool,
                percentile: float, num_bins: int) -> NDArray[np.float32]:
    """The amax of a weight: 0-d, or one for each index of `axis` with the other dimensions kept as 1.

    mse and percentile search a histogram with `num_bins` bins from 0 to the largest magnitude. Where all is 0, so is
    amax.
    """
    if method == "max":
        reduced = None if axis is None else [i for i in range(weight.ndim) if i != axis]
        amax = np.asarray(_C.amax(weight, reduced, axis is not None), np.float32)
        return amax.reshape(()) if amax.size == 1 else amax         # as reduce_amax
    if method not in ("mse", "percentile"):
        raise TypeError(f"Unsupported calibration method {shown(method)}: expected 'max', 'mse' or 'percentile'")
    options = checked_options(method, {"percentile": percentile} if method == "percentile" else {})
    warn_of_small_percentile(options)
    rows = weight.reshape(1, -1) if axis is None else np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)
    found = [_row_amax(row, method, num_bits, unsigned, options, num_bins) for row in rows]
    shape = () if axis is None else tuple(n if i == axis else 1 for i, n in enumerate(weight.shape))
    return np.array(found, np.float32).reshape(shape)


def _row_amax(row: NDArray[Any], method: str, num_bits: int | tuple[int, int], unsigned: bool, options: dict[str, Any],
              num_bins: int) -> np.float32:
    largest = float(_C.amax(row, None, False)) if row.size else 0.0
    if largest == 0:
        return np.float32(0)
    if not largest < np.inf:
        raise ValueError("Expected finite weights, got NaN or an infinity")
    edges = np.histogram_bin_edges(np.array([0, largest], np.float32), num_bins)
    counts = np.zeros(num_bins, np.int64)
    count(row, edges, counts, False)
    return search(method, counts, edges, num_bits, unsigned, options)


def calibrate_weights_of(model: Any, to_array: ToArray, method: str, perchannel: bool, percentile: float,
                         num_bins: int) -> None:
    """Sets the amax of the weight quantiser of every layer that has one.

    Args:
        model: a module of the front.
        to_array: the front's weight as a NumPy array.
        others: see `calib.calibrate_weights`.
    """
    if isinstance(num_bins, bool) or not isinstance(num_bins, int | np.integer):
        raise TypeError(f"Expected `num_bins` to be an integer, got {shown(num_bins)}")
    if not 1 <= num_bins <= MAX_BINS:
        raise ValueError(f"Expected `num_bins` from 1 to 2^24, got {shown(num_bins)}")
    layers = [(name, module) for name, module in model.named_modules()
              if getattr(module, "weight", None) is not None and hasattr(module, "weight_quantizer")]
    if not layers:
        import logging  # which takes a tenth of what importing `nn` does

        logging.getLogger(__name__).warning("No amax was set: the model has no layer with a weight quantiser, "
                                            "pq.replace(model) makes them")
    found = []
    for name, module in progress(layers, "weights"):
        axis = (1 if isinstance(module, ConvTransposeRules) else 0) if perchannel else None
        quantizer, weight = module.weight_quantizer, to_array(module.weight)
        if quantizer._as_matrix and quantizer.blocks is not None:
            weight = weight.reshape(len(weight), -1)
        groups = quantizer._channel_groups if perchannel and quantizer._has_pairs(weight.ndim) else 1
        try:
            ends = _ranges(quantizer, _channels_first(weight, groups), axis if groups == 1 else 0, method, percentile,
                           num_bins)
            found.append({end: _in_weight(value, weight, groups) for end, value in ends.items()})
        except ValueError as problem:
            raise ValueError(f"{name or 'the model'}: {problem}") from problem
    for (name, module), ends in zip(layers, found, strict=True):
        present, amax = module.weight_quantizer.amax, ends.get("amax")
        if amax is not None and present is not None and tuple(present.shape) != amax.shape:
            raise RuntimeError(f"{name or 'the model'}: expected a weight amax of shape {tuple(present.shape)}, as the "
                               f"present one, got {amax.shape}; no amax was changed")
    for (_, module), ends in zip(layers, found, strict=True):
        for end, value in ends.items():
            setattr(module.weight_quantizer, end, value)


def _channels_first(weight: NDArray[Any], groups: int) -> NDArray[Any]:
    """A grouped transposed convolution's weight with its output channels on axis 0; with one group as it is."""
    if groups == 1:
        return weight
    split = weight.reshape(groups, -1, *weight.shape[1:]).swapaxes(1, 2)
    return np.ascontiguousarray(split.reshape(-1, *split.shape[2:]))


def _in_weight(ends: NDArray[Any], weight: NDArray[Any], groups: int) -> NDArray[Any]:
    """Output channels moved back to their place in such a weight."""
    if groups == 1:
        return ends
    each = ends.reshape(groups, weight.shape[1], *[1] * (weight.ndim - 2))
    return np.repeat(each, weight.shape[0] // groups, 0)


def _ranges(quantizer: Any, weight: NDArray[Any], axis: int | None, method: str, percentile: float,
            num_bins: int) -> dict[str, NDArray[np.float32]]:
    """The new `amax` of a quantiser and, with a zero point, its `amin`; empty if its ranges are dynamic."""
    blocks, rules = quantizer.blocks, (method, quantizer.num_bits, quantizer.unsigned, percentile, num_bins)
    if quantizer.zero_point:
        kept = None if axis is None else tuple(i for i in range(weight.ndim) if i != axis)
        if method != "max":
            raise ValueError(f"Expected the method 'max' for a quantiser with a zero point, got {shown(method)}")
        zero, keepdims = np.float32(0), axis is not None
        return {"amin": np.asarray(np.min(weight, axis=kept, keepdims=keepdims, initial=zero), np.float32),
                "amax": np.asarray(np.max(weight, axis=kept, keepdims=keepdims, initial=zero), np.float32)}
    if blocks is None:
        return {"amax": weight_amax(weight, axis, *rules)}
    if blocks.ignores_amax:
        return {}
    if blocks.is_dynamic:
        return {"amax": weight_amax(weight, None, *rules)}
    rows = blocked(weight, blocks.size)
    amax = weight_amax(rows.reshape(-1, rows.shape[-1]), 0, *rules)
    return {"amax": amax.reshape(rows.shape[:-1])}
