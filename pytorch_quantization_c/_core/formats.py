"""Number formats: what the codes of an array are. `quantization` has the values that they stand for."""
from __future__ import annotations

import operator

from .errors import shown
from .frozen import Frozen

__all__ = ["E2M1", "E2M3", "E3M2", "E4M3", "E5M2", "FLOATS", "Float", "Int", "known_bits", "number_format"]

MAX_BITS = 32


class Int(Frozen):
    """Integers of `bits` bits; `amax` is quantised to `bound`.

    Args:
        bits: 0 to 32. With 0 bits the only code is 0, which is useful for debugging.
        unsigned: codes from 0 to 2^bits - 1 instead of two's complement.
        narrow: leaves out the lowest signed code, so that the range is symmetric; unsigned formats ignore it.

    Raises:
        TypeError: `bits` is not an integer, or a flag neither True nor False.
        ValueError: `bits` out of range.
    """

    bits: int
    unsigned: bool
    narrow: bool

    def __init__(self, bits: int = 8, unsigned: bool = False, narrow: bool = False) -> None:
        self._set(bits=bits, unsigned=unsigned, narrow=narrow)
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


class Float(Frozen):
    """Floats of one sign bit, `exponent` and `mantissa` bits, saturating; `amax` is quantised to `bound`.

    `Float(5, 2)` and `Float(4, 3)` are OCP's 8-bit floating point specification 1.0: E5M2 with infinities and NaN, E4M3
    without infinities and with one NaN. `Float(3, 2)`, `Float(2, 3)` and `Float(2, 1)` are the elements of OCP's
    microscaling formats 1.0: numbers throughout.

    Raises:
        ValueError: another format.
    """

    exponent: int
    mantissa: int

    def __init__(self, exponent: int, mantissa: int) -> None:
        self._set(exponent=exponent, mantissa=mantissa)
        bits = exponent, mantissa
        if not all(type(each) is int for each in bits) or bits not in FLOATS:
            raise ValueError(f"Expected the float format {_FLOATS_SHOWN}, got {shown(bits)}")

    @property
    def bound(self) -> float:
        """The largest finite value; of E4M3 all ones but for the last bit of the mantissa, which would be NaN."""
        last = 1 - self.mantissa if self.nan_code == 0x7f else -self.mantissa
        return float((2.0 - 2.0 ** last) * 2.0 ** self.top_exponent)

    @property
    def top_exponent(self) -> int:
        """The largest value's exponent; the bias is 2^(exponent-1) - 1, E5M2 keeps its last one for infinities."""
        return int(2 ** (self.exponent - 1)) - (self.nan_code == 0x7e)

    @property
    def lowest_exponent(self) -> int:
        """The lowest exponent of normal numbers."""
        return int(2 - 2 ** (self.exponent - 1))

    @property
    def nan_code(self) -> int | None:
        """The code of NaN, None of a format without one."""
        return {5: 0x7e, 4: 0x7f}.get(self.exponent)

    @property
    def bits(self) -> int:
        """The bits of a code."""
        return 1 + self.exponent + self.mantissa

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


FLOATS = ((5, 2), (4, 3), (3, 2), (2, 3), (2, 1))
_FLOATS_SHOWN = "(5, 2), (4, 3), (3, 2), (2, 3) or (2, 1)"
E5M2, E4M3, E3M2, E2M3, E2M1 = (Float(*bits) for bits in FLOATS)
_NAMED = {each.num_bits: each for each in (E5M2, E4M3, E3M2, E2M3, E2M1)}


def known_bits(num_bits: object) -> int | tuple[int, int]:
    """`num_bits` as a plain integer or one of `FLOATS`. TypeError, ValueError otherwise."""
    if isinstance(num_bits, tuple) and num_bits in FLOATS:
        return FLOATS[FLOATS.index(num_bits)]
    if isinstance(num_bits, bool) or not hasattr(num_bits, "__index__"):
        raise TypeError(f"Expected `num_bits` to be an integer or the tuple {_FLOATS_SHOWN}, got {shown(num_bits)} "
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
    return _NAMED[bits] if isinstance(bits, tuple) else Int(bits, unsigned, narrow)
