"""Convolutions of floats on rows of one channel, as those of a Fourier transform: frames by a matrix."""
from __future__ import annotations

from dataclasses import dataclass

from .operations import Key, Operation

__all__ = ["FrameProduct"]

Shape = tuple[int, ...]


@dataclass(eq=False)
class FrameProduct(Operation):
    """Frames (N, count, length) by a matrix (length, outputs), as images of one row."""

    input: Key
    weight: Key
    output: Key

    def reads(self) -> list[Key]:
        return [self.input, self.weight]

    def writes(self) -> list[Key]:
        return [self.output]

    def check(self) -> None:
        """ValueError for an output that is no image."""
        if self.output.form is None or self.output.matrix:
            raise ValueError("expected images as the products of frames")

    def shape(self, frames: Shape, weight: Shape) -> tuple[int, int, int]:
        """Images, pixels, channels. ValueError if the inputs do not fit."""
        if len(frames) != 3 or len(weight) != 2 or frames[2] != weight[0]:
            raise ValueError(f"frames of shape {frames} by a matrix of shape {weight}")
        return frames[0], frames[1], weight[1]

    def layout(self, frames: Shape, weight: Shape) -> list[int]:
        """What C is told of it."""
        (count, pixels, outputs), length = self.shape(frames, weight), weight[0]
        return [1, 1, count * pixels, outputs, length, 0, 0, length, 0, 0, outputs, 1, 0, 0, outputs]
