"""The state of calibrators between one `with calibrating` block and the next."""
from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .._core.calibrator import _Calibrator


@contextmanager
def kept_calibrators(collecting: Sequence[Any], resume: bool, nonfinite: str) -> Iterator[None]:
    """A block in which calibrators collect; if it raises, their earlier state is restored.

    Args:
        collecting: calibrators of any class that can be reset; one may be there several times.
        resume: the calibrators continue from their state; else they start afresh.
        nonfinite: what they do with a NaN or an infinity: "raise" or "ignore".
    """
    calibrators = list({id(each): each for each in collecting}.values())
    before = [copy.deepcopy(vars(each)) if resume else dict(vars(each)) for each in calibrators]
    try:
        for each in calibrators:
            if isinstance(each, _Calibrator):
                each._nonfinite = nonfinite
            if not resume:
                each._start_afresh() if isinstance(each, _Calibrator) else each.reset()
        yield
    except BaseException:
        for each, state in zip(calibrators, before, strict=True):
            vars(each).clear()
            vars(each).update(state)
        raise
    finally:
        for each in calibrators:
            if isinstance(each, _Calibrator):
                each._nonfinite = None
