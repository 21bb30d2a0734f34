"""What calibrators check before merging another one."""
from __future__ import annotations

from typing import Any

from .._core.errors import shown

__all__ = ["check_same"]


def check_same(calibrator: Any, other: Any, settings: tuple[str, ...]) -> None:
    """ValueError naming the first of these settings in which the two differ."""
    for setting in settings:
        mine, theirs = (getattr(each, "_" + setting) for each in (calibrator, other))
        if mine != theirs:
            raise ValueError(f"Expected `other` to have {setting}={shown(mine)}, as this calibrator has, "
                             f"got {shown(theirs)}")
