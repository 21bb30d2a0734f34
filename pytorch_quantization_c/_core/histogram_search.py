"""The amax of a histogram: by minimum divergence, by minimum squared error, or by percentile."""
from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _C
from .errors import shown
from .formats import E4M3, Float, number_format
from .lazy_logger import get_logger

METHODS = {"entropy": ("stride", "start_bin"), "mse": ("stride", "start_bin"), "percentile": ("percentile",)}
MUCH = 0.01     # clipping more than this share is logged

logger = get_logger(__name__)

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


def warn_of_small_percentile(options: dict[str, Any]) -> None:
    """A percentile below 50 clips most values: a fraction was meant, perhaps."""
    percentile = options.get("percentile", 0)
    if 0 < percentile < 50:
        warnings.warn(f"percentile={percentile} clips all but {percentile} % of the values: it is given in percent, "
                      "as 99.99", UserWarning, stacklevel=3)


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

    An i that clips more values than it keeps is no candidate: with next to nothing below it, Q equals P and would win.
    Without a candidate nothing is clipped.
    """
    format = number_format(num_bits)
    if isinstance(format, Float):
        raise TypeError(f"Expected an integer `num_bits` for the entropy method, got {num_bits}")
    at = _candidate(_C.entropy_search(counts, format.bits, unsigned, stride, start_bin), start_bin, len(counts))
    if 2 * counts[:at].sum(dtype=np.float64) < counts.sum(dtype=np.float64):
        kept = np.cumsum(counts, dtype=np.float64)
        half = int(np.argmax(2 * kept >= kept[-1])) + 1        # the first i that keeps half of the values
        start = start_bin + -(-(half - start_bin) // stride) * stride
        if start > len(counts):
            return np.float32(edges[-1])
        at = _C.entropy_search(counts, format.bits, unsigned, stride, start)
    return np.float32(edges[at])


def mse(counts: NDArray[Any], edges: NDArray[Any], num_bits: int | tuple[int, int], unsigned: bool, stride: int,
        start_bin: int) -> np.float32:
    """The centre of a bin that as amax gives the least squared error, every value taken for the centre of its bin."""
    centres = centres_of(edges)
    format = number_format(num_bits)
    if isinstance(format, Float) and format != E4M3:
        raise ValueError(f"Expected integers or E4M3 for the mse method, got num_bits={num_bits}: take percentile")
    bits = None if isinstance(format, Float) else format.bits
    at = _C.mse_search(counts, centres, bits, unsigned, stride, start_bin)
    return np.float32(centres[_candidate(at, start_bin, len(counts))])


def centres_of(edges: NDArray[Any]) -> NDArray[np.float32]:
    """The middle of each bin, in float32; the sum of two edges alone may be beyond its range."""
    wide = np.asarray(edges, np.float32).astype(np.float64)
    middles: NDArray[np.float32] = ((wide[1:] + wide[:-1]) / 2).astype(np.float32)
    return middles


def percentile(counts: NDArray[Any], edges: NDArray[Any], percentile: float) -> np.float32:
    """The left edge of the first bin with at least `percentile` percent of the values in or below it.

    The right edge if the left one is 0 though a value is not: a range of 0 would let nothing through.
    """
    at = _C.percentile_search(counts, percentile / 100)
    return np.float32(edges[at + (edges[at] == 0 and edges[-1] > 0 and counts.any())])


def up_to_the_largest(counts: NDArray[Any], edges: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """A histogram without the empty bins above the largest value; one of zeros only as it is."""
    filled = np.flatnonzero(counts)
    bins = int(filled[-1]) + 1 if filled.size and filled[-1] > 0 else len(counts)
    return counts[:bins], edges[:bins + 1]


def clipped_share(counts: NDArray[Any], edges: NDArray[Any], amax: object) -> float:
    """The share of the values in bins whose lower edge lies above amax."""
    total = float(counts.sum(dtype=np.float64))
    return float(counts[edges[:-1] > amax].sum(dtype=np.float64)) / total if total else 0.0


def report_clipping(owner: str, method: str, rows: Any, found: Any, options: dict[str, Any]) -> None:
    """Logs an amax that clips over 1 % of its values, unless a percentile asks for that, and one that D26 corrected.

    Args:
        owner: whose amax it is, for the message.
        method: by which `found` was searched, with `options`.
        rows: pairs of counts and edges.
        found: the amax of each.
    """
    if not rows:
        return
    allowed = MUCH
    if method == "percentile":
        fraction = options["percentile"] / 100
        allowed = max(MUCH, 1 - fraction)
        flat = [(counts, edges) for counts, edges in rows
                if edges[0] == 0 < edges[-1] and counts.any() and counts[0] / counts.sum() >= fraction]
        if flat:
            counts, edges = flat[0]
            logger.warning("One bin, from 0 to %.5g, holds %.6g %% of the values of %s: amax is its upper edge. One "
                           "outlier can stretch the bins like this: try method='mse' or num_bins=%d", edges[1],
                           100 * counts[0] / counts.sum(), owner, 8 * len(counts))
    shares = [clipped_share(counts, edges, amax) for (counts, edges), amax in zip(rows, found, strict=True)]
    share = max(shares)
    worst = shares.index(share)
    if share > allowed:
        logger.warning("The amax %.5g of %s, by method %r, clips %.3g %% of its values%s", found[worst], owner, method,
                       100 * share, f" in channel {worst}" if len(rows) > 1 else "")


def _candidate(found: int, start_bin: int, bins: int) -> int:
    if found < 0:
        raise ValueError(f"Expected `start_bin` to be one of the {bins} bins of the histogram, got {start_bin}")
    return found
