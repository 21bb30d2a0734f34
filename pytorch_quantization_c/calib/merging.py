"""What both calibrators check before they take in another one."""
from __future__ import annotations

from typing import Any

__all__ = ["check_same"]


def check_same(calibrator: Any, other: Any, settings: tuple[str, ...]) -> None:
    """ValueError naming the first of these settings in which the two differ."""
    for setting in settings:
        mine, theirs = (getattr(each, "_" + setting) for each in (calibrator, other))
        if mine != theirs:
            raise ValueError(f"Expected `other` to have {setting}={mine!r}, as this calibrator has, got {theirs!r}")
