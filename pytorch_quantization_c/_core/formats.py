"""Number formats and the result of quantising: what the codes of an array are, and which values they stand for.

A descriptor is a request; a `Quantization` is what came of it. Both fronts, integer layers and graphs describe their
arrays with these classes.
"""
from __future__ import annotations

import operator
from dataclasses import dataclass
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import shown

__all__ = ["E4M3", "Float", "Int", "Quantization", "known_bits", "number_format"]

MAX_BITS = 32


@dataclass(frozen=True)
class Int:
    """Integers of `bits` bits; `amax` is quantised to `bound`.

    Args:
        bits: 0 to 32. With 0 bits the only code is 0, which is of use for debugging.
        unsigned: codes from 0 to 2^bits - 1 instead of two's complement.
        narrow: leaves out the lowest signed code, so that the range is symmetric; unsigned formats ignore it.

    Raises:
        TypeError: `bits` is no integer, or a flag neither True nor False.
        ValueError: `bits` out of range.
    """

    bits: int = 8
    unsigned: bool = False
    narrow: bool = False

    def __post_init__(self) -> None:
        for name in ("unsigned", "narrow"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"Expected `{name}` to be True or False, got {shown(getattr(self, name))}")
        if isinstance(self.bits, bool) or not isinstance(self.bits, int):
            raise TypeError(f"Expected `bits` to be an integer, got {shown(self.bits)}")
        if not 0 <= self.bits <= MAX_BITS:
            raise ValueError(f"Expected `bits` >= 0 and <= {MAX_BITS}, got {shown(self.bits)}")

    @property
    def bound(self) -> int:
        """The largest code: 2^(bits-1) - 1, unsigned 2^bits - 1."""
        return (1 << max(self.bits - 1 + int(self.unsigned), 0)) - 1

    @property
    def low(self) -> int:
        """The smallest code."""
        if self.unsigned or self.bits == 0:
            return 0
        return -self.bound if self.narrow else -self.bound - 1

    @property
    def num_bits(self) -> int:
        """As a descriptor's `num_bits`."""
        return self.bits

    @property
    def top_spacing(self) -> int:
        """Distance between the largest two values, before scaling."""
        return 1

    def __str__(self) -> str:
        return f"{'u' if self.unsigned else ''}int{self.bits}"


@dataclass(frozen=True)
class Float:
    """Floats of one sign bit, `exponent` and `mantissa` bits, saturating; `amax` is quantised to `bound`.

    The only one that is quantised to is E4M3, without infinities and with one NaN, as OCP's 8-bit floating point
    specification 1.0 has it: `Float(4, 3)`.

    Raises:
        ValueError: another format.
    """

    exponent: int
    mantissa: int

    def __post_init__(self) -> None:
        bits = self.exponent, self.mantissa
        if not all(type(each) is int for each in bits) or bits != (4, 3):
            raise ValueError(f"Expected the float format (4, 3), got {shown(bits)}")

    @property
    def bound(self) -> float:
        """The largest finite value: all ones but for the last bit of the mantissa, which would be NaN."""
        return float((2.0 - 2.0 ** (1 - self.mantissa)) * 2.0 ** self.top_exponent)

    @property
    def top_exponent(self) -> int:
        """Of the largest value; the bias is 2^(exponent-1) - 1."""
        return int(2 ** (self.exponent - 1))

    @property
    def lowest_exponent(self) -> int:
        """Of the normal numbers."""
        return int(2 - 2 ** (self.exponent - 1))

    @property
    def num_bits(self) -> tuple[int, int]:
        """As a descriptor's `num_bits`."""
        return self.exponent, self.mantissa

    @property
    def top_spacing(self) -> float:
        """Distance between the largest two values, before scaling."""
        return float(2.0 ** (self.top_exponent - self.mantissa))

    def __str__(self) -> str:
        return f"E{self.exponent}M{self.mantissa}"


E4M3 = Float(4, 3)


def known_bits(num_bits: Any) -> int | tuple[int, int]:
    """`num_bits` as a plain integer or (4, 3). TypeError, ValueError otherwise."""
    if isinstance(num_bits, tuple) and num_bits == E4M3.num_bits:
        return E4M3.num_bits
    if isinstance(num_bits, bool) or not hasattr(num_bits, "__index__"):
        raise TypeError(f"Expected `num_bits` to be an integer or the tuple (4, 3), got {shown(num_bits)} "
                        f"of type {type(num_bits).__name__}")
    bits = operator.index(num_bits)  # pyright: ignore
    if not 0 <= bits <= MAX_BITS:
        raise ValueError(f"Expected `num_bits` >= 0 and <= {MAX_BITS}, got {shown(bits)}")
    return bits


# Made once: every call of a quantiser asks, and torch.compile warns of functools' caches.
_INTEGERS = {(bits, unsigned, narrow): Int(bits, unsigned, narrow)
             for bits in range(MAX_BITS + 1) for unsigned in (False, True) for narrow in (False, True)}


def number_format(num_bits: int | tuple[int, int], unsigned: bool = False, narrow: bool = False) -> Int | Float:
    """The format that a descriptor asks for; a float format has its sign and its whole range always."""
    plain = type(num_bits) is int and type(unsigned) is bool and type(narrow) is bool
    found = _INTEGERS.get((num_bits, unsigned, narrow)) if plain else None  # type: ignore[arg-type]
    if found is not None:
        return found
    bits = known_bits(num_bits)
    return E4M3 if isinstance(bits, tuple) else Int(bits, unsigned, narrow)


@dataclass(frozen=True, eq=False)
class Quantization:
    """How the codes of an array became its values: `value = (code - zero) / scale`.

    Args:
        format: of the codes.
        axis: the axis that `scale` varies along, or None for one scale. Negative axes count from the end.
        block: so many neighbours along `axis` share a scale; None where each index has its own.
        scale: float32, one dimension: what values were multiplied by, `bound / amax`.
        zero: the code of the value 0, one for each scale; None for a symmetric format.

    Raises:
        TypeError: an argument of another type.
        ValueError: a scale or zero point of another shape, a block without an axis or below 1.
    """

    format: Int | Float
    axis: int | None
    block: int | None
    scale: NDArray[np.float32]
    zero: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        for name, kind in (("format", (Int, Float)), ("axis", (int, NoneType)), ("block", (int, NoneType)),
                           ("scale", np.ndarray), ("zero", (np.ndarray, NoneType))):
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"Expected another type than {type(getattr(self, name)).__name__} for `{name}`")
        if self.scale.dtype != np.float32:
            raise TypeError(f"Expected `scale` to be a float32 array, got {self.scale.dtype}")
        if self.scale.ndim != 1 or (self.axis is None and self.scale.size != 1):
            raise ValueError(f"Expected `scale` with one dimension, and one element without an axis, got shape "
                             f"{self.scale.shape} with axis {self.axis}")
        if self.zero is not None and self.zero.shape != self.scale.shape:
            raise ValueError(f"Expected `zero` of shape {self.scale.shape}, as `scale`, got {self.zero.shape}")
        if self.block is not None and (self.axis is None or self.block < 1):
            raise ValueError(f"Expected `block` >= 1 and an axis, got {shown(self.block)} with axis {self.axis}")

    def dequantize(self, codes: NDArray[Any]) -> NDArray[np.float32]:
        """The values of `codes`, as float32; the division is the true one, so fake quantisation has the same bits.

        TypeError for anything but an array; ValueError if its axis does not fit the number of scales.
        """
        if not isinstance(codes, np.ndarray):
            raise TypeError(f"Expected `codes` to be an array, got {type(codes).__name__}")
        values = codes.astype(np.float32)
        if self.zero is not None:
            values -= self._along(self.zero, codes).astype(np.float32)
        quotient: NDArray[np.float32] = np.divide(values, self._along(self.scale, codes), dtype=np.float32)
        return quotient

    def _along(self, each: NDArray[Any], codes: NDArray[Any]) -> NDArray[Any]:
        """`each` in a shape that broadcasts with `codes`."""
        if self.axis is None:
            return each.reshape(())
        length = codes.shape[self.axis] if -codes.ndim <= self.axis < codes.ndim else -1
        if -(-length // (self.block or 1)) != each.size:
            raise ValueError(f"Expected {each.size} scales along axis {self.axis}, got an array of shape {codes.shape}")
        if self.block is not None:
            each = np.repeat(each, self.block)[:length]
        shape = [1] * codes.ndim
        shape[self.axis] = length
        return each.reshape(shape)
