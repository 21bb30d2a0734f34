"""Calibration of a whole model in a `with` block."""
from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .._core.errors import shown
from .kept_calibrators import kept_calibrators
from .own_weights import collect_own_weights
from .quantizers import named_quantizers
from .training_mode import warn_of_training

__all__ = ["calibrating"]

logger = logging.getLogger(__name__)

RANGES = ("_amin", "_amax")

Quantizers = list[tuple[str, Any]]


@contextmanager
def calibrating(model: Any, load_amax: bool = False, method: str | None = None, strict: bool = True, *,
                resume: bool = False, nonfinite: str = "raise", **options: Any) -> Iterator[Any]:
    """In the `with` block, the quantisers of `model` collect statistics and do not quantise.

        with calibrating(model, load_amax=True, method="percentile", percentile=99.99):
            for batch in batches:
                model(batch)

    Afterwards they are as they were before, after an exception too: what an aborted block has collected is dropped.
    Disabled quantisers stay disabled. Quantisers without a name get their full name in the model, so that messages
    about the data say where.

    Args:
        model: any module with quantisers.
        load_amax: at the end, unless the block raised, give each quantiser the amax of its calibrator.
        method: passed to calibrators other than MaxCalibrator, as "entropy", "mse", "percentile".
        strict: with False, a quantiser that has seen nothing is not an error: one of a weight takes the range of its
            weight, any other keeps the range it has, or stays dynamic.
        resume: add to what the calibrators have collected before; with False they start afresh.
        nonfinite: what a NaN or an infinity in the data does: "raise" (ValueError with the quantiser's name) or
            "ignore" (it is left out, and reported once for each quantiser).
        **options: passed on like `method`, as `percentile=99.99`.

    Yields:
        The model.

    Raises:
        ValueError: the model has no quantiser that could be calibrated; `nonfinite` is neither of the two.
        TypeError: `method` or options that are not used, without `load_amax` or without a calibrator that takes them.
        RuntimeError: a quantiser has seen nothing. Then no amax is loaded.
    """
    quantizers = calibrated_quantizers(model)
    if nonfinite not in ("raise", "ignore"):
        raise ValueError(f"Expected `nonfinite` to be 'raise' or 'ignore', got {shown(nonfinite)}")
    given = options if method is None else {"method": method, **options}
    if given and not (load_amax and any(_takes_method(quantizer) for _, quantizer in quantizers)):
        raise TypeError(f"Expected {', '.join(given)} only with `load_amax` and a calibrator that takes a method"
                        + (": the model's are all max calibrators, a method needs "
                           'QuantDescriptor(calib_method="histogram")' if load_amax else ""))
    warn_of_training(model, "calibrating")
    with collecting(model, resume, nonfinite):
        yield model
    if load_amax:
        _load(model, quantizers, given, strict)
    elif all(quantizer.amax is None for _, quantizer in quantizers):
        logger.warning("No amax was loaded, so all %d ranges are still dynamic: calibrating(model, load_amax=True), or "
                       "load_calib_amax() of each quantiser, fixes them", len(quantizers))


def calibrated_quantizers(model: Any) -> Quantizers:
    """The quantisers that a block calibrates, with their names; ValueError if there is none."""
    present = list(named_quantizers(model))
    found = [(name, quantizer) for name, quantizer in present
             if not quantizer._disabled and quantizer._calibrator is not None]
    if not found:
        raise ValueError("Expected `model` to have quantisers that are enabled and have calibrators, got none"
                         + ("" if present else ": call pq.replace(model) first"))
    return found


@contextmanager
def collecting(model: Any, resume: bool = False, nonfinite: str = "raise") -> Iterator[None]:
    """The block of `calibrating` alone, without checks before, and without loading or logging after it."""
    calibrators = [quantizer._calibrator for _, quantizer in calibrated_quantizers(model)]
    with kept_calibrators(calibrators, resume, nonfinite), _observing(model):
        yield


@contextmanager
def _observing(model: Any) -> Iterator[None]:
    """No quantiser quantises, and those with a calibrator collect. A block that raises leaves no names behind."""
    quantizers = [(name, quantizer) for name, quantizer in named_quantizers(model) if not quantizer._disabled]
    before = [(quantizer, quantizer.name, quantizer._if_quant, quantizer._if_calib) for _, quantizer in quantizers]
    try:
        for name, quantizer in quantizers:
            quantizer.name = quantizer.name or name or None
            quantizer.disable_quant()
            if quantizer._calibrator is not None:
                quantizer.enable_calib()
        yield
    except BaseException:
        for quantizer, own_name, *_ in before:
            quantizer.name = own_name
        raise
    finally:
        for quantizer, _, if_quant, if_calib in before:
            quantizer._if_quant, quantizer._if_calib = if_quant, if_calib


def _unseen(names: list[str], count: int) -> str:
    if len(names) == count:
        return "Expected the model to be called in the block: the block saw no batch"
    more = f", nor {len(names) - 1} more" if names[1:] else ""
    return (f"{names[0] or 'The model'}: Calibrator returned None, because the block has not reached this quantiser"
            f"{more}: call all of the model, or pass strict=False")


def _takes_method(quantizer: Any) -> bool:
    return getattr(quantizer._calibrator, "_takes_method", True) is True


def _load(model: Any, quantizers: Quantizers, given: dict[str, Any], strict: bool) -> None:
    """Loads every range, or none."""
    before = [(quantizer, name, None if (array := quantizer._state(name)) is None else quantizer._numbers(array).copy())
              for _, quantizer in quantizers for name in RANGES]
    at, loaded, unseen = "", 0, []
    try:
        for at, quantizer in quantizers:  # noqa: B007  (the name of the one that raised)
            if not quantizer._load_if_seen(**(given if _takes_method(quantizer) else {})):
                unseen.append((at, quantizer))
        if unseen and strict:
            raise RuntimeError(_unseen([name for name, _ in unseen], len(quantizers)))
        loaded = len(quantizers) - len(unseen)
        for at, quantizer in collect_own_weights(model, unseen):  # noqa: B007
            quantizer.load_calib_amax(**(given if _takes_method(quantizer) else {}))
    except Exception as problem:
        for quantizer, name, array in before:
            if array is None:
                quantizer._buffers.pop(name, None)
            else:
                quantizer._fill(quantizer._state(name), quantizer._new_buffer(array))
        if isinstance(problem, RuntimeError) and not (unseen and strict):
            raise RuntimeError(f"{at or 'The model'}: {problem}") from problem
        raise
    if unseen:
        logger.warning("%d quantisers saw no data in the block: weights took the ranges of their values, inputs are "
                       "unchanged (%s)", len(unseen), shown([name for name, _ in unseen]))
    logger.info("Loaded the calibrated amax of %d quantisers", loaded)
