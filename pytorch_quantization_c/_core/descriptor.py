"""`QuantDescriptor`: how an array is to be quantised. Immutable, comparable, to and from YAML."""
# pyright: reportArgumentType=false
from __future__ import annotations

import operator
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import number_array
from .axes import Axis
from .errors import is_raised_in_python, shown
from .formats import known_bits
from .lazy_logger import get_logger

logger = get_logger(__name__)

CALIB_METHODS = ("max", "histogram")
MAX_AXES = 64           # of a NumPy array


def checked_bits(num_bits: Any) -> int | tuple[int, int]:
    """As `known_bits`, and a word in the log where they quantise everything to 0."""
    bits = known_bits(num_bits)
    if bits == 0:
        logger.error("num_bits is 0: everything will be quantised to zero, which is of use for debugging only.")
    return bits


def _one_axis(axis: Any, given: Any) -> int:
    expected = f"Expected `axis` to be None, an integer or a tuple of integers, got {shown(given)}"
    if isinstance(axis, bool):
        raise TypeError(expected)
    try:
        index = operator.index(axis)
    except TypeError as error:
        if is_raised_in_python(error):
            raise
        raise TypeError(expected) from None
    if not -MAX_AXES <= index < MAX_AXES:
        raise ValueError(f"Expected `axis` from {-MAX_AXES} to {MAX_AXES - 1}, got {shown(index)}")
    return index


def checked_axis(axis: Any) -> Axis:
    """None, or plain integers in the kind of sequence they came in."""
    if axis is None:
        return None
    if isinstance(axis, tuple | list):
        return type(axis)(_one_axis(each, axis) for each in axis)
    return _one_axis(axis, axis)


def _checked_amax(amax: Any) -> NDArray[np.float32] | None:
    """A float32 copy that nobody can change; descriptors are shared between quantisers."""
    if amax is None:
        return None
    if not isinstance(amax, float | list | np.ndarray | np.floating):
        raise TypeError(f"amax must be float, list or ndarray, not {type(amax).__name__}")
    with np.errstate(over="ignore"):
        array = np.array(number_array(amax, "amax"), np.float32)
    if (array < 0).any():
        raise ValueError(f"Expected `amax` >= 0, got {array.min()}")
    array.setflags(write=False)
    return array


def _checked_scale(scale_amax: Any) -> Any:
    if scale_amax is None:
        return None
    if isinstance(scale_amax, bool) or not isinstance(scale_amax, Real):
        raise TypeError(f"Expected `scale_amax` to be a number or None, got {shown(scale_amax)}")
    try:
        as_float = float(scale_amax)
    except OverflowError:
        raise ValueError(f"Expected `scale_amax` to be a number of double precision, got {shown(scale_amax)}") from None
    return scale_amax if isinstance(scale_amax, int) else as_float


def _checked_flag(name: str, flag: Any) -> bool:
    if not isinstance(flag, int | np.bool_):
        raise TypeError(f"Expected `{name}` to be True or False, got {shown(flag)}")
    return bool(flag)


class ScaledQuantDescriptor:
    """How an array is quantised: symmetric, with a scale taken from `amax`, the largest absolute value.

    Args:
        num_bits: 0 to 32 for integers (0 quantises everything to 0), or (4, 3) for the 8-bit floats E4M3.
        name: free text, shown by `str` and in messages about the quantiser.

    Keyword Args:
        fake_quant: quantise and dequantise at once (default True), or return integers and a scale (False).
        axis: None for one amax for the whole array, or the axis or axes that have an amax each: 0 for the rows of a
            linear layer's weight, 1 for the channels of an activation. Negative axes count from the end.
        amax: a float, a list or an array: the range, fixed from the start (stored as float32). By default it is
            calibrated, or computed from every array in flight.
        learn_amax: clip to a range that is learnt; `amax` is where it starts. Excludes `axis`.
        scale_amax: a factor on every amax, for quick experiments.
        calib_method: "max" or "histogram": which calibrator a quantiser makes.
        unsigned: range [0, 2^bits - 1] for arrays without negative values.
        narrow_range: signed integers from -(2^(bits-1) - 1) instead of -2^(bits-1).

    Raises:
        TypeError: an argument of the wrong type, an unknown keyword, `learn_amax` together with `axis`.
        ValueError: `num_bits` out of range, a negative amax, an unknown `calib_method`.
    """

    def __init__(self, num_bits: int | tuple[int, int] = 8, name: str | None = None, **kwargs: Any) -> None:
        self._num_bits = checked_bits(num_bits)
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a string or None, not {type(name).__name__}")
        self._name = name
        self._fake_quant = _checked_flag("fake_quant", kwargs.pop("fake_quant", True))
        self._axis = checked_axis(kwargs.pop("axis", None))
        self._learn_amax = _checked_flag("learn_amax", kwargs.pop("learn_amax", False))
        if self._learn_amax and self._axis is not None:
            raise TypeError(f"axis is ignored and must be None when learn_amax is true, got {self._axis!r}")
        self._amax = _checked_amax(kwargs.pop("amax", None))
        self._scale_amax = _checked_scale(kwargs.pop("scale_amax", None))
        self._calib_method = kwargs.pop("calib_method", "max")
        if not isinstance(self._calib_method, str) or self._calib_method not in CALIB_METHODS:
            known = " or ".join(repr(method) for method in CALIB_METHODS)
            searched = isinstance(self._calib_method, str) and self._calib_method in ("entropy", "mse", "percentile")
            raise ValueError(f"Expected `calib_method` to be {known}, got {shown(self._calib_method)}"
                             + (": it searches a 'histogram', and is chosen when amax is loaded" if searched else ""))
        self._unsigned = _checked_flag("unsigned", kwargs.pop("unsigned", False))
        self._narrow_range = _checked_flag("narrow_range", kwargs.pop("narrow_range", False))
        if kwargs:
            raise TypeError(f"Unused keys: {', '.join(map(repr, kwargs)):.200}")

    @property
    def num_bits(self) -> int | tuple[int, int]:
        """Bits of the integers, or (4, 3) for E4M3."""
        return self._num_bits

    @property
    def name(self) -> str | None:
        """Free text, or None."""
        return self._name

    @property
    def fake_quant(self) -> bool:
        """Whether quantised values are dequantised at once."""
        return self._fake_quant

    @property
    def axis(self) -> Axis:
        """Axis or axes with an amax each; None for one amax."""
        return self._axis

    @property
    def amax(self) -> NDArray[np.float32] | None:
        """The fixed range as a read-only float32 array, or None."""
        return self._amax

    @property
    def learn_amax(self) -> bool:
        """Whether the range is learnt."""
        return self._learn_amax

    @property
    def scale_amax(self) -> float | None:
        """Factor on every amax, or None."""
        return self._scale_amax  # type: ignore[no-any-return]

    @property
    def calib_method(self) -> str:
        """Kind of calibrator: "max" or "histogram"."""
        return self._calib_method  # type: ignore[no-any-return]

    @property
    def unsigned(self) -> bool:
        """Whether the integers start at 0."""
        return self._unsigned

    @property
    def narrow_range(self) -> bool:
        """Whether the lowest signed integer is left out."""
        return self._narrow_range

    def __str__(self) -> str:
        text = "QuantDescriptor" if self._name is None else self._name + ": "
        text += f"({'unsigned ' if self._unsigned else ''}{self._num_bits}bit {'fake' if self._fake_quant else 'real'}"
        text += f" axis={' per-tensor' if self._axis is None else self._axis}"
        if self._amax is not None:
            text += f" amax={self._amax} full_range"
        if self._learn_amax:
            text += " learn_amax"
        if self._scale_amax:
            text += f" scale_amax={self._scale_amax}"
        return text + ")"

    def __repr__(self) -> str:
        return f"<{self}>"

    def __eq__(self, rhs: object) -> bool:
        """All attributes equal; an axis given as a list equals the same axis as a tuple."""
        if not isinstance(rhs, ScaledQuantDescriptor):
            return NotImplemented
        mine, other = self._compared(), rhs._compared()
        amaxes = self._amax, rhs._amax
        if amaxes[0] is None or amaxes[1] is None:
            return mine == other and amaxes[0] is amaxes[1]
        return mine == other and np.array_equal(amaxes[0], amaxes[1], equal_nan=True)

    def _compared(self) -> dict[str, Any]:
        values = {key: value for key, value in self.__dict__.items() if key != "_amax"}
        return dict(values, _axis=tuple(self._axis) if isinstance(self._axis, list) else self._axis)

    def dict(self) -> dict[str, Any]:
        """The constructor's arguments: `num_bits`, `name`, and every other one that is not its default."""
        defaults = {"fake_quant": True, "axis": None, "amax": None, "scale_amax": None, "learn_amax": False,
                    "unsigned": False, "calib_method": "max", "narrow_range": False}
        values = {key: getattr(self, "_" + key) for key in defaults}
        if self._amax is not None:
            values["amax"] = self._amax.tolist()
        changed = {key: value for key, value in values.items() if value is not None and value != defaults[key]}
        return {"num_bits": self._num_bits, "name": self._name, **changed}

    def to_yaml(self) -> str:
        """The descriptor as YAML, which `from_yaml` reads back to an equal one. Tuples are written as lists."""
        import yaml

        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in self.dict().items()}
        return yaml.safe_dump(plain, width=120)

    @classmethod
    def from_yaml(cls, yaml_str: str) -> ScaledQuantDescriptor:
        """The descriptor that `to_yaml` (or the original's, tuples tagged) wrote.

        Raises:
            TypeError: not a mapping of the constructor's arguments.
            ValueError: not YAML, or an argument out of range.
        """
        values = _read_yaml(yaml_str)
        if not isinstance(values, dict):
            raise TypeError(f"Expected `yaml_str` to hold a mapping, got {type(values).__name__}")
        for key in ("axis", "num_bits"):
            if isinstance(values.get(key), list):
                values[key] = tuple(values[key])
        return cls(**values)


def _read_yaml(text: str) -> Any:
    """Safe YAML, and the tag under which the original writes (4, 3)."""
    import yaml

    class Loader(yaml.SafeLoader):
        def tuple_as_list(self, node: Any) -> list[Any]:
            return self.construct_sequence(node)

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):  # a few of them can stand for more than there is memory for
                raise ValueError("an alias, which a descriptor does not need")
            return super().compose_node(parent, index)

    Loader.add_constructor("tag:yaml.org,2002:python/tuple", Loader.tuple_as_list)
    if not isinstance(text, str):
        raise TypeError(f"Expected `yaml_str` to be a string, got {type(text).__name__}")
    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise ValueError(f"Expected `yaml_str` to be YAML, got {text[:60]!r}: {str(error)[:300]}") from error


QuantDescriptor = ScaledQuantDescriptor

QUANT_DESC_8BIT_PER_TENSOR = QuantDescriptor(num_bits=8)
QUANT_DESC_UNSIGNED_8BIT_PER_TENSOR = QuantDescriptor(num_bits=8, unsigned=True)
QUANT_DESC_8BIT_CONV1D_WEIGHT_PER_CHANNEL = QuantDescriptor(num_bits=8, axis=0)
QUANT_DESC_8BIT_CONV2D_WEIGHT_PER_CHANNEL = QuantDescriptor(num_bits=8, axis=0)
QUANT_DESC_8BIT_CONV3D_WEIGHT_PER_CHANNEL = QuantDescriptor(num_bits=8, axis=0)
QUANT_DESC_8BIT_LINEAR_WEIGHT_PER_ROW = QuantDescriptor(num_bits=8, axis=0)
QUANT_DESC_8BIT_CONVTRANSPOSE1D_WEIGHT_PER_CHANNEL = QuantDescriptor(num_bits=8, axis=1)
QUANT_DESC_8BIT_CONVTRANSPOSE2D_WEIGHT_PER_CHANNEL = QuantDescriptor(num_bits=8, axis=1)
QUANT_DESC_8BIT_CONVTRANSPOSE3D_WEIGHT_PER_CHANNEL = QuantDescriptor(num_bits=8, axis=1)
