"""Calibration of a whole model in a `with` block."""
from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .calib import MaxCalibrator
from .summary import named_quantizers

__all__ = ["calibrating"]

logger = logging.getLogger(__name__)


@contextmanager
def calibrating(model: Any, load_amax: bool = False, method: str | None = None, strict: bool = True,
                **options: Any) -> Iterator[Any]:
    """In the `with` block, the quantisers of `model` collect statistics and do not quantise.

        with calibrating(model, load_amax=True, method="percentile", percentile=99.99):
            for batch in batches:
                model(batch)

    Afterwards they are as they were before, after an exception too. Disabled quantisers stay disabled. Quantisers
    without a name get their full name in the model, so that messages about NaN or infinity in the data say where.

    Args:
        model: any module with quantisers.
        load_amax: at the end, unless the block raised, give each quantiser the amax of its calibrator.
        method: passed to calibrators other than MaxCalibrator, as "entropy", "mse", "percentile".
        strict: with False, the amax of a quantiser that has seen nothing becomes NaN, which is no error.
        **options: passed on like `method`, as `percentile=99.99`.

    Yields:
        The model.

    Raises:
        ValueError: the model has no quantiser that could be calibrated.
        TypeError: `method` or options that are not used, without `load_amax` or without a calibrator that takes them.
        RuntimeError: a quantiser has seen nothing. Then no amax is loaded.
    """
    quantizers = [(name, quantizer) for name, quantizer in named_quantizers(model) if not quantizer._disabled]
    collecting = [(name, quantizer) for name, quantizer in quantizers if quantizer._calibrator is not None]
    if not collecting:
        raise ValueError("Expected `model` to have quantizers that are enabled and have calibrators, got none")
    given = options if method is None else {"method": method, **options}
    if given and not (load_amax and any(_takes_method(quantizer) for _, quantizer in collecting)):
        raise TypeError(f"Expected {', '.join(given)} only with `load_amax` and a calibrator that takes a method")
    before = [(quantizer, quantizer._if_quant, quantizer._if_calib) for _, quantizer in quantizers]
    try:
        for name, quantizer in quantizers:
            quantizer.name = quantizer.name or name or None
            quantizer.disable_quant()
        for _, quantizer in collecting:
            quantizer.enable_calib()
        yield model
    finally:
        for quantizer, if_quant, if_calib in before:
            quantizer._if_quant, quantizer._if_calib = if_quant, if_calib
    if load_amax:
        _load(collecting, given, strict)


def _takes_method(quantizer: Any) -> bool:
    return not isinstance(quantizer._calibrator, MaxCalibrator)


def _load(quantizers: list[tuple[str, Any]], given: dict[str, Any], strict: bool) -> None:
    """Loads every amax, or none."""
    before = [(quantizer, None if quantizer.amax is None else quantizer._numbers(quantizer.amax).copy())
              for _, quantizer in quantizers]
    at = ""
    try:
        for at, quantizer in quantizers:  # noqa: B007  (the name of the one that raised)
            quantizer.load_calib_amax(strict=strict, **(given if _takes_method(quantizer) else {}))
    except Exception as problem:
        for quantizer, amax in before:
            if amax is None:
                quantizer._buffers.pop("_amax", None)
            else:
                quantizer._register("_amax", amax)
        if isinstance(problem, RuntimeError):
            raise RuntimeError(f"{at or 'The model'}: {problem}") from problem
        raise
    logger.info("Loaded the calibrated amax of %d quantizers", len(quantizers))
