"""Convolutions of floats, as of layers that are not quantised."""
from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .operations import MAX_TAIL_OPERANDS, ChainOp, Key, Operation, Single, Window

__all__ = ["MAX_WEIGHTS", "PANEL", "FloatConv", "Folded", "packed_panels"]

PANEL = 32  # PQC_GEMM_NR
MAX_WEIGHTS = 2 ** 24  # packed


@dataclass(eq=False)
class FloatConv(Operation):
    """A convolution of images of floats, or of volumes, with the elementwise operations that follow it.

    weight: what `packed_panels` makes. inputs, channels: of a group. chain, operands: as those of `operations.Conv`.
    z: the window along the frames of volumes.
    """

    input: Key
    weight: Key
    groups: int
    inputs: int
    channels: int
    y: Window
    x: Window
    outputs: list[Key] = field(default_factory=list)
    chain: list[ChainOp] = field(default_factory=list)
    operands: list[Key] = field(default_factory=list)
    z: Window = Window(1)

    def reads(self) -> list[Key]:
        return [self.input, self.weight, *self.operands]

    def writes(self) -> list[Key]:
        return self.outputs

    def check(self) -> None:
        """ValueError for invalid numbers of channels, or more operands than a chain can have."""
        if min(self.groups, self.inputs, self.channels) < 1 or max(self.groups, self.inputs, self.channels) > 2 ** 24:
            raise ValueError(f"expected groups of channels, got {self.groups} of {self.inputs} and {self.channels}")
        if len(self.operands) > (MAX_TAIL_OPERANDS if self.chain else 0):
            raise ValueError(f"expected at most {MAX_TAIL_OPERANDS} operands of a chain, got {len(self.operands)}")

    @property
    def weights(self) -> int:
        """Floats of the packed weight."""
        taps = self.z.kernel * self.y.kernel * self.x.kernel * self.inputs
        if self.groups > 1 and self.inputs == self.channels == 1:
            return self.groups * (1 + taps)
        return self.groups * -(-self.channels // PANEL) * (1 + taps) * PANEL


@dataclass(eq=False)
class Folded(Single):
    """Windows over rows of one channel: each half added to the other, and subtracted, as channels of a pixel."""

    x: Window

    def check(self) -> None:
        """ValueError for a window that cannot be folded."""
        if self.x.kernel % 2 or self.x.dilation != 1:
            raise ValueError(f"expected an even window without gaps, got {self.x}")


def packed_panels(weight: NDArray[np.float32], bias: NDArray[np.float32] | None, groups: int) -> NDArray[np.float32]:
    """The weight (outputs, inputs of a group, taps along each axis) by panels of 32 outputs.

    Of each panel: the bias, then the taps one after the other, of each its channels. Depthwise: one panel of all.
    """
    outputs, inputs, *taps = weight.shape
    channels = outputs // groups
    if groups > 1 and inputs == channels == 1:
        first = np.zeros(outputs, np.float32) if bias is None else bias + np.float32(0)  # without -0
        return np.concatenate([first, weight.reshape(outputs, -1).T.reshape(-1)])
    panels = -(-channels // PANEL)
    made = np.zeros((groups, panels * PANEL, 1 + inputs * math.prod(taps)), np.float32)
    if bias is not None:
        made[:, :channels, 0] = bias.reshape(groups, channels)
        made += np.float32(0)  # without -0
    made[:, :channels, 1:] = np.moveaxis(weight, 1, -1).reshape(groups, channels, -1)
    return np.ascontiguousarray(made.reshape(groups, panels, PANEL, -1).transpose(0, 1, 3, 2)).reshape(-1)
