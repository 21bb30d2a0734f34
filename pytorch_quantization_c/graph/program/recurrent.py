"""Layers of LSTM or GRU cells in a program."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _C
from ..._core.formats import Int
from ...integer.packed import Geometry, PackedWeights
from .operations import Key, Operation

__all__ = ["Recurrent", "StateWeights"]

GATES = {"LSTM": 4, "GRU": 3, "GRU_RESET_FIRST": 3}  # pqc_cell
Shape = tuple[int, ...]


@dataclass(eq=False)
class StateWeights:
    """The weights of the states: int8 (outputs, hidden), a scale for each output, how states are quantised."""

    weight: NDArray[np.int8]
    scale: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    amax: float
    bits: int
    narrow: bool

    def check(self) -> None:
        """ValueError for arrays that do not fit together."""
        if self.weight.ndim != 2 or not self.weight.size or not 2 <= self.bits <= 8:
            raise ValueError(f"expected weights (outputs, hidden), got {list(self.weight.shape)}")
        if self.scale.shape not in ((1,), self.weight.shape[:1]):
            raise ValueError(f"expected a scale for each of {len(self.weight)} outputs, got {list(self.scale.shape)}")

    def packed(self) -> tuple[Any, float, NDArray[np.float32] | None]:
        """As `_C.program_states` takes it."""
        made = PackedWeights(self.weight, self.scale, Geometry(), Int(self.bits, narrow=self.narrow))
        return made._packed, self.amax, self.bias


@dataclass(eq=False)
class Recurrent(Operation):
    """Cells over the products of a sequence (time, batch, directions * gates * hidden).

    lengths: int32, of each sequence; None: all have every step.
    states: the initial h, and c of an LSTM, (directions, batch, hidden); None: zeros.
    outputs: (time, directions, batch, hidden), and the final states.
    products: of each direction one; two of GRU_RESET_FIRST.
    """

    cell: str
    reverse: bool
    input: Key
    states: list[Key | None]
    outputs: list[Key]
    products: list[StateWeights]
    lengths: Key | None = None

    def reads(self) -> list[Key]:
        return [self.input, *(each for each in (*self.states, self.lengths) if each is not None)]

    def integers(self) -> list[Key]:
        """The inputs that are int32."""
        return [] if self.lengths is None else [self.lengths]

    def writes(self) -> list[Key]:
        return self.outputs

    def check(self) -> None:
        """ValueError for invalid cells."""
        states = 2 if self.cell == "LSTM" else 1
        each = 2 if self.cell == "GRU_RESET_FIRST" else 1
        if self.cell not in GATES or len(self.products) not in (each, 2 * each):
            raise ValueError(f"expected the products of one or two directions, got {len(self.products)} of "
                             f"{self.cell[:40]}")
        if self.lengths is not None and self.lengths in (self.input, *self.states):
            raise ValueError("expected the lengths in another array than the numbers")
        if len(self.states) != states or len(self.outputs) != 1 + states:
            raise ValueError(f"expected {states} states, got {len(self.states)} and {len(self.outputs)} outputs")

    @property
    def hidden(self) -> int:
        """Units of a direction."""
        return int(self.products[0].weight.shape[1])

    @property
    def directions(self) -> int:
        """One or two."""
        return len(self.products) // (2 if self.cell == "GRU_RESET_FIRST" else 1)

    @property
    def nbytes(self) -> int:
        """The bytes of the weights."""
        return sum(each.weight.nbytes for each in self.products)

    def packed(self) -> object:
        """For `_C.program_plan`."""
        products = tuple(each.packed() for each in self.products)
        return _C.program_states(self.cell, products, self.directions, self.hidden, self.reverse)

    def shapes(self, ahead: Shape, states: list[Shape | None], lengths: Shape | None = None) -> list[Shape]:
        """The shapes of the outputs. ValueError if the inputs do not fit."""
        directions, hidden = self.directions, self.hidden
        if len(ahead) != 3 or ahead[2] != directions * GATES[self.cell] * hidden:
            raise ValueError(f"the gates of other cells, of shape {ahead}")
        if lengths not in (None, ahead[1:2]):
            raise ValueError(f"lengths of shape {lengths} for {ahead[1]} sequences")
        state = directions, ahead[1], hidden
        if any(each not in (None, state) for each in states):
            raise ValueError(f"initial states of shapes {states}, not {state}")
        return [(ahead[0], *state), *(state for _ in self.states)]
