"""`block_sizes` of a descriptor: blocks of neighbours along the last axis that share a scale."""
from __future__ import annotations

import operator
from typing import Any

from .errors import shown
from .formats import E4M3
from .frozen import Frozen

__all__ = ["BlockSettings", "Blocks", "checked_blocks"]

KINDS = ("static", "dynamic")
E8M0 = (8, 0)
SCALES = (E8M0, E4M3.num_bits)
MAX_BLOCK = 2 ** 31 - 1


class Blocks(Frozen):
    """Blocks of neighbours along the last axis that share a scale.

    Args:
        size: elements of a block; the last one of a row may be shorter.
        kind: "static": a block's amax may be fixed or calibrated; "dynamic": it is that of each array.
        scale_bits: None: the scale is a float32; (8, 0): a power of two, as in OCP's microscaling formats; (4, 3): an
            E4M3 number times one scale of the whole array, as in NVFP4.
    """

    size: int
    kind: str
    scale_bits: tuple[int, int] | None

    def __init__(self, size: int, kind: str = "static", scale_bits: tuple[int, int] | None = None) -> None:
        self._set(size=size, kind=kind, scale_bits=scale_bits)

    @property
    def is_dynamic(self) -> bool:
        """Whether the scales are those of each array whatever was calibrated; NVFP4's one amax may still be fixed."""
        return self.kind == "dynamic"

    @property
    def has_global(self) -> bool:
        """Whether there is a scale of the whole array."""
        return self.scale_bits == E4M3.num_bits

    @property
    def ignores_amax(self) -> bool:
        """Whether no range is ever fixed."""
        return self.is_dynamic and not self.has_global

    def as_dict(self) -> dict[Any, Any]:
        """As `block_sizes` has it."""
        found: dict[Any, Any] = {-1: self.size}
        if self.kind != KINDS[0]:
            found["type"] = self.kind
        if self.scale_bits is not None:
            found["scale_bits"] = self.scale_bits
        return found

    def __str__(self) -> str:
        return str(self.as_dict())


class BlockSettings:
    """The settings of blocks and zero points, which descriptors and quantisers have alike."""

    # Objects that were pickled by older versions of the original lack these.
    _block_sizes: Blocks | None = None
    _zero_point: bool = False

    @property
    def block_sizes(self) -> dict[Any, Any] | None:
        """The blocks along the last axis that share a scale, as `QuantDescriptor` takes them, or None."""
        return None if self._block_sizes is None else self._block_sizes.as_dict()

    @property
    def blocks(self) -> Blocks | None:
        """`block_sizes` as an object, or None."""
        return self._block_sizes

    @property
    def zero_point(self) -> bool:
        """Whether the range has two ends."""
        return self._zero_point


def checked_blocks(block_sizes: object) -> Blocks | None:
    """A descriptor's `block_sizes` as `Blocks`; None for None. TypeError, ValueError for anything else."""
    if block_sizes is None or isinstance(block_sizes, Blocks):
        return block_sizes
    if not isinstance(block_sizes, dict):
        raise TypeError(f"Expected `block_sizes` to be a dict as {{-1: 32}}, got {shown(block_sizes)}")
    rest = dict(block_sizes)
    kind, scale_bits = rest.pop("type", KINDS[0]), rest.pop("scale_bits", None)
    if kind is None:
        kind = KINDS[0]
    axes = list(rest)
    if len(axes) != 1 or axes[0] not in (-1, "-1") or isinstance(axes[0], bool):
        raise ValueError(f"Expected `block_sizes` to name the last axis, -1, and no other, got {shown(axes)}")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"Expected `block_sizes['type']` to be 'static' or 'dynamic', got {shown(kind)}")
    if scale_bits is not None:
        scale_bits = tuple(scale_bits) if isinstance(scale_bits, list) else scale_bits
        if scale_bits not in SCALES:
            raise ValueError(f"Expected `block_sizes['scale_bits']` to be (8, 0) or (4, 3), got {shown(scale_bits)}")
        scale_bits = SCALES[SCALES.index(scale_bits)]
    return Blocks(_size(rest[axes[0]]), kind, scale_bits)


def _size(size: Any) -> int:
    if isinstance(size, bool) or not hasattr(size, "__index__"):
        raise TypeError(f"Expected the size of a block to be an integer, got {shown(size)}")
    found = operator.index(size)
    if not 1 <= found <= MAX_BLOCK:
        raise ValueError(f"Expected the size of a block >= 1 and <= {MAX_BLOCK}, got {shown(found)}")
    return found
