"""The settings of a quantiser's node, independent of the graph."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..._core.blocks import SCALES, Blocks
from ..._core.formats import FLOATS, Float, Int, number_format

__all__ = ["E4M3", "QuantizerSpec"]

E4M3 = (4, 3)


@dataclass(frozen=True)
class QuantizerSpec:
    """What the attributes of a quantiser's node say.

    bits: 2 to 16, or the bits of exponent and mantissa of small floats, (4, 3) for E4M3, which have no sign and no zero
        point to choose.
    unsigned, narrow: as `unsigned` and `narrow_range` of a QuantDescriptor.
    zero_point: the integer that stands for 0. None is 0 with the library's rule that a negative number in an unsigned
        quantiser is an error; 0 clamps it. One for each index of `axis` as a tuple.
    axis: the axis of x that amax has one element for each index of; None for one amax.
    block: the length of blocks along `axis` with an amax each; then amax has the rank of x.
    two_sided: of a dynamic quantiser: its range is that from min(x, 0) to max(x, 0), whose width is amax, and the zero
        point follows from it.
    scale_bits: of blocks: their scales are powers of two for (8, 0), E4M3 numbers times one scale of the array for
        (4, 3), as `block_sizes` of a QuantDescriptor; an amax of one element is then that of the array.
    """

    bits: int | tuple[int, int] = 8
    unsigned: bool = False
    narrow: bool = True
    zero_point: int | tuple[int, ...] | None = None
    axis: int | None = None
    block: int | None = None
    two_sided: bool = False
    scale_bits: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        is_float = self.bits in FLOATS
        if not is_float and not (isinstance(self.bits, int) and 2 <= self.bits <= 16):
            raise ValueError(f"Expected `bits` from 2 to 16 or those of a small float, as (4, 3), got {self.bits}")
        points = self.zero_point if isinstance(self.zero_point, tuple) else (self.zero_point or 0,)
        if is_float and any(points):
            raise ValueError(f"Expected no `zero_point` for {self.format}, got {self.zero_point}")
        if not is_float and not self.low <= min(points) <= max(points) <= self.bound:
            raise ValueError(f"Expected `zero_point` within [{self.low}, {self.bound}], got {self.zero_point}")
        if self.axis is None and (self.block is not None or isinstance(self.zero_point, tuple)):
            raise ValueError("Expected an `axis` for blocks or several zero points, got None")
        if self.block is not None and self.block < 1:
            raise ValueError(f"Expected `block` >= 1, got {self.block}")
        if self.block is not None and isinstance(self.zero_point, tuple):
            raise ValueError(f"Expected one `zero_point` for blocks, got {self.zero_point}")
        if self.two_sided and (is_float or not self.unsigned or self.axis is not None or self.zero_point):
            raise ValueError(f"Expected unsigned integers without `axis` and `zero_point` with `two_sided`, got {self}")
        if self.scale_bits is not None and (self.scale_bits not in SCALES or self.block is None or self.unsigned):
            raise ValueError(f"Expected `scale_bits` (8, 0) or (4, 3) of signed blocks, got {self.scale_bits}")
        if self.scale_bits is not None and not is_float and self.bits > 8:  # type: ignore[operator]
            raise ValueError(f"Expected `bits` from 2 to 8 with `scale_bits`, got {self.bits}")

    @property
    def format(self) -> Int | Float:
        """The format of the codes."""
        return number_format(self.bits, self.unsigned, self.narrow)

    @property
    def blocks(self) -> Blocks | None:
        """The blocks as quantisers have them, but along `axis`; None without."""
        return None if self.block is None else Blocks(self.block, "static", self.scale_bits)

    @property
    def bound(self) -> int | float:
        """The largest code; of floats the largest number."""
        return self.format.bound

    @property
    def low(self) -> int | float:
        """The least code."""
        return self.format.low if isinstance(self.format, Int) else -self.bound

    def attributes(self) -> dict[str, Any]:
        """The attributes of a node that says this; what is absent is at its default."""
        found: dict[str, Any] = {"bits": list(self.bits) if isinstance(self.bits, tuple) else self.bits,
                                 "unsigned": int(self.unsigned), "narrow": int(self.narrow)}
        if self.zero_point is not None:
            found["zero_point"] = list(self.zero_point) if isinstance(self.zero_point, tuple) else self.zero_point
        found.update({name: value for name, value in (("axis", self.axis), ("block", self.block)) if value is not None})
        if self.scale_bits is not None:
            found["scale_bits"] = list(self.scale_bits)
        return found | ({"two_sided": 1} if self.two_sided else {})
