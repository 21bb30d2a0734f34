"""Volumes (videos, scans): images that follow each other as frames."""
from __future__ import annotations

from dataclasses import dataclass

from .operations import Single, Window

__all__ = ["Stacked"]


@dataclass(eq=False)
class Stacked(Single):
    """Frames of volumes stacked in the channels of their pixels, for a convolution along three axes.

    Channels are ordered by group, then by tap of the window along the frames, then by channel of the group.
    """

    z: Window
    groups: int = 1

    def check(self) -> None:
        """ValueError for an invalid number of groups."""
        if not 1 <= self.groups <= 2 ** 24:
            raise ValueError(f"expected groups of channels, got {self.groups}")
