"""The amax of a histogram: by least divergence, by least squared error, by a share of the values."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _C
from .errors import shown
from .formats import Float, number_format

METHODS = {"entropy": ("stride", "start_bin"), "mse": ("stride", "start_bin"), "percentile": ("percentile",)}
DEFAULTS = {"stride": 1, "start_bin": 128, "percentile": 99.99}


def check_option_names(given: Iterable[str]) -> None:
    """TypeError for a name that no method knows. Public code passes every option whatever the method: D23."""
    unknown = [name for name in given if name not in DEFAULTS]
    if unknown:
        raise TypeError(f"Expected no other option than {', '.join(DEFAULTS)}, got {', '.join(map(repr, unknown))}")


def checked_options(method: str, given: dict[str, Any]) -> dict[str, Any]:
    """The options of a method, defaults filled in; the other methods' options are left out.

    Raises:
        TypeError: an unknown method, an option that no method has, a percentile that is no number.
        ValueError: a percentile outside of 0 to 100.
    """
    if not isinstance(method, str) or method not in METHODS:
        raise TypeError(f"Unknown calibration method {shown(method)}: expected one of {', '.join(METHODS)}")
    check_option_names(given)
    options = {name: given.get(name, DEFAULTS[name]) for name in METHODS[method]}
    percentile = options.get("percentile", 0)
    if not isinstance(percentile, int | float | np.number) or isinstance(percentile, np.complexfloating):
        raise TypeError(f"Expected `percentile` to be a number, got {shown(percentile)}")
    if not 0 <= percentile <= 100:
        raise ValueError(f"Expected `percentile` in the range from 0 to 100, got {shown(percentile)}")
    return options


def search(method: str, counts: NDArray[Any], edges: NDArray[Any], num_bits: int | tuple[int, int], unsigned: bool,
           options: dict[str, Any]) -> np.float32:
    """The amax of one histogram by one method, with options from `checked_options`."""
    if method == "entropy":
        return entropy(counts, edges, num_bits, unsigned, **options)
    if method == "mse":
        return mse(counts, edges, num_bits, unsigned, **options)
    return percentile(counts, edges, **options)


def entropy(counts: NDArray[Any], edges: NDArray[Any], num_bits: int | tuple[int, int], unsigned: bool, stride: int,
            start_bin: int) -> np.float32:
    """The edge to clip at so that the quantised distribution diverges least from the clipped one.

    As in NVIDIA's "8-bit inference with TensorRT" (Migacz, 2017). For each i = start_bin, start_bin + stride, ... the
    first i bins, with all that lies above added to the last of them, are P; the same bins without that, merged into
    2^(num_bits - 1 + unsigned) levels and spread out again over the bins that are not empty, are Q; the i with the
    least sum P log(P / Q) wins, the last one of equals. Bin 0 is read as bin 1.
    """
    format = number_format(num_bits)
    if isinstance(format, Float):
        raise TypeError(f"Expected an integer `num_bits` for the entropy method, got {num_bits}")
    at = _C.entropy_search(counts, format.bits, unsigned, stride, start_bin)
    return np.float32(edges[_candidate(at, start_bin, len(counts))])


def mse(counts: NDArray[Any], edges: NDArray[Any], num_bits: int | tuple[int, int], unsigned: bool, stride: int,
        start_bin: int) -> np.float32:
    """The centre of a bin that as amax gives the least squared error, every value taken for the centre of its bin."""
    centres = centres_of(edges)
    format = number_format(num_bits)
    bits = None if isinstance(format, Float) else format.bits
    at = _C.mse_search(counts, centres, bits, unsigned, stride, start_bin)
    return np.float32(centres[_candidate(at, start_bin, len(counts))])


def centres_of(edges: NDArray[Any]) -> NDArray[np.float32]:
    """The middle of each bin, in float32; the sum of two edges alone may be beyond its range."""
    wide = np.asarray(edges, np.float32).astype(np.float64)
    middles: NDArray[np.float32] = ((wide[1:] + wide[:-1]) / 2).astype(np.float32)
    return middles


def percentile(counts: NDArray[Any], edges: NDArray[Any], percentile: float) -> np.float32:
    """The left edge of the first bin with at least `percentile` percent of the values in or below it."""
    return np.float32(edges[_C.percentile_search(counts, percentile / 100)])


def _candidate(found: int, start_bin: int, bins: int) -> int:
    if found < 0:
        raise ValueError(f"Expected `start_bin` to be one of the {bins} bins of the histogram, got {start_bin}")
    return found
