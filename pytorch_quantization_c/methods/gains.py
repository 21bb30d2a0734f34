"""What each method gained, layer by layer."""
from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Gain", "Gains"]


@dataclass(frozen=True)
class Gain:
    """Signal to noise ratio of a layer's outputs in dB, before and after a method; infinity without noise.

    Of "weight_mse", "gptq" and "adaround" the noise is that of the weight alone, by the second moments of the inputs;
    of "equalization" that of the weight itself, all inputs alike; of "bias_absorption" that of the activation between,
    rounded to 8 bits; of "activation_equalization" that of the input rounded, but for a number that is the same for
    both; of "smoothquant" and "awq" that of the weight and an estimate for the input; of "bias_correction" that of the
    layer with its input and its weight quantised. "awq" on graphs has rows for its scales and others for its ranges, by
    the weight alone. Inputs are those of the float model.
    """

    method: str
    layer: str
    before: float
    after: float

    @property
    def gain(self) -> float:
        """dB."""
        return 0.0 if self.before == self.after else self.after - self.before


class Gains(tuple[Gain, ...]):
    """One row a method and layer, in the order in which they were done; printed as a table."""

    __slots__ = ()

    def __str__(self) -> str:
        """The table."""
        width = max([5, *(len(each.layer) for each in self)])
        kind = max([6, *(len(each.method) for each in self)])
        lines = [f"{'method':<{kind}}  {'layer':<{width}}  {'before':>7}  {'after':>7}  {'gain, dB':>8}"]
        lines += [f"{each.method:<{kind}}  {each.layer:<{width}}  {each.before:7.2f}  {each.after:7.2f}  "
                  f"{each.gain:8.2f}" for each in self]
        return "\n".join(lines)

    def __repr__(self) -> str:
        """The table."""
        return str(self)


def to_text(rows: Iterable[Gain]) -> str:
    """For the metadata of a model."""
    return json.dumps([[each.method, each.layer, *(str(value) for value in (each.before, each.after))]
                       for each in rows])


def from_text(text: str) -> Gains:
    """What `to_text` was given. ValueError for other text."""
    try:
        return Gains(Gain(str(method), str(layer), float(before), float(after))
                     for method, layer, before, after in json.loads(text))
    except (TypeError, ValueError):
        raise ValueError("Expected the metadata of methods as `quantize` writes it") from None
