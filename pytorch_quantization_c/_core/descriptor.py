"""`QuantDescriptor`: how to quantise an array. Immutable, comparable, to and from YAML."""
# pyright: reportArgumentType=false
from __future__ import annotations

import operator
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import number_array
from .axes import Axis
from .blocks import BlockSettings, checked_blocks
from .errors import is_raised_in_python, shown
from .formats import known_bits
from .lazy_logger import get_logger

logger = get_logger(__name__)

CALIB_METHODS = ("max", "histogram")
MAX_AXES = 64           # of a NumPy array


def checked_bits(num_bits: Any) -> int | tuple[int, int]:
    """As `known_bits`; logs an error if they quantise everything to 0."""
    bits = known_bits(num_bits)
    if bits == 0:
        logger.error("num_bits is 0: everything will be quantised to zero. Use this for debugging only.")
    return bits


def _one_axis(axis: Any, given: object) -> int:
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


def checked_axis(axis: object) -> Axis:
    """None, or plain integers in the kind of sequence they came in."""
    if axis is None:
        return None
    if isinstance(axis, tuple | list):
        return type(axis)(_one_axis(each, axis) for each in axis)
    return _one_axis(axis, axis)


def _checked_amax(amax: object) -> NDArray[np.float32] | None:
    """A read-only float32 copy: descriptors are shared between quantisers."""
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


def _checked_amin(amin: object) -> NDArray[np.float32] | None:
    if amin is None:
        return None
    if not isinstance(amin, float | list | np.ndarray | np.floating):
        raise TypeError(f"amin must be float, list or ndarray, not {type(amin).__name__}")
    with np.errstate(over="ignore"):
        array = np.array(number_array(amin, "amin"), np.float32)
    if (array > 0).any():
        raise ValueError(f"Expected `amin` <= 0, got {array.max()}")
    array.setflags(write=False)
    return array


def _lists(values: dict[Any, Any]) -> dict[Any, Any]:
    """The same with lists instead of tuples, which plain YAML lacks."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def _same(mine: NDArray[Any] | None, other: NDArray[Any] | None) -> bool:
    if mine is None or other is None:
        return mine is other
    return np.array_equal(mine, other, equal_nan=True)


def _checked_scale(scale_amax: object) -> Any:
    if scale_amax is None:
        return None
    if isinstance(scale_amax, bool) or not isinstance(scale_amax, Real):
        raise TypeError(f"Expected `scale_amax` to be a number or None, got {shown(scale_amax)}")
    try:
        as_float = float(scale_amax)
    except OverflowError:
        raise ValueError(f"Expected `scale_amax` to be a number of double precision, got {shown(scale_amax)}") from None
    return scale_amax if isinstance(scale_amax, int) else as_float


def _checked_flag(name: str, flag: object) -> bool:
    if not isinstance(flag, int | np.bool_):
        raise TypeError(f"Expected `{name}` to be True or False, got {shown(flag)}")
    return bool(flag)


class ScaledQuantDescriptor(BlockSettings):
    """How an array is quantised: symmetric, with a scale taken from `amax`, the largest absolute value, unless it says
    otherwise.

    Args:
        num_bits: 0 to 32 for integers (0 quantises everything to 0), or the bits of exponent and mantissa of small
            floats: (5, 2), (4, 3), (3, 2), (2, 3) or (2, 1).
        name: free text, shown by `str` and in messages about the quantiser.

    Keyword Args:
        fake_quant: quantise and dequantise at once (default True), or return integers and a scale (False).
        axis: None for one amax for the whole array, or the axis or axes that have an amax each: 0 for the rows of a
            linear layer's weight, 1 for the channels of an activation. Negative axes count from the end.
        amax: a float, a list or an array: the range, fixed from the start (stored as float32). By default it is
            calibrated, or computed from each array (dynamic).
        learn_amax: clip to a range that is learnt; `amax` is where it starts. Excludes `axis`.
        scale_amax: a factor on every amax, for quick experiments.
        calib_method: "max" or "histogram": which calibrator a quantiser makes.
        unsigned: range [0, 2^bits - 1] for arrays without negative values.
        narrow_range: signed integers from -(2^(bits-1) - 1) instead of -2^(bits-1).
        block_sizes: None, or `{-1: size, "type": "static" | "dynamic", "scale_bits": None | (8, 0) | (4, 3)}`: each
            run of `size` neighbours along the last axis has its own amax. "static", the default, may be calibrated or
            fixed, "dynamic" is that of each array. The scales are float32 numbers; powers of two with (8, 0), as in
            OCP's microscaling formats; E4M3 numbers times one scale of the array with (4, 3), as in NVFP4. Excludes
            `axis`, `learn_amax`, `zero_point` and, but for one amax of the array, histograms.
        zero_point: asymmetric integers of 2 to 16 bits: the range goes from min(x, 0) to max(x, 0) instead of being
            symmetric. For activations after ReLU, or skewed ones. Fixed by `amin` and `amax` together.
        amin: the lower end of a fixed range with `zero_point`, at most 0.

    Raises:
        TypeError: an argument of the wrong type, an unknown keyword, `learn_amax` together with `axis`.
        ValueError: `num_bits` out of range, a negative amax, an unknown `calib_method`, arguments that exclude each
            other.
    """

    # Descriptors that were pickled by older versions lack it.
    _amin: NDArray[np.float32] | None = None

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
        self._block_sizes = checked_blocks(kwargs.pop("block_sizes", None))
        self._zero_point = _checked_flag("zero_point", kwargs.pop("zero_point", False))
        self._amin = _checked_amin(kwargs.pop("amin", None))
        if kwargs:
            raise TypeError(f"Unused keys: {', '.join(map(repr, kwargs)):.200}")
        self._check_blocks()
        self._check_zero_point()

    def _check_blocks(self) -> None:
        blocks = self._block_sizes
        if blocks is None:
            return
        others = {"axis": self._axis, "learn_amax": self._learn_amax or None, "zero_point": self._zero_point or None}
        for name, value in others.items():
            if value is not None:
                raise ValueError(f"Expected no `{name}` beside `block_sizes`, got {value!r}")
        if self._calib_method != "max" and not (blocks.is_dynamic and blocks.has_global):
            raise ValueError(f"Expected `calib_method` 'max' beside `block_sizes`, got {self._calib_method!r}")
        if self._amax is not None and blocks.ignores_amax:
            raise ValueError("Expected no `amax` beside dynamic `block_sizes`, whose ranges are those of each array")
        if blocks.scale_bits is not None and not isinstance(self._num_bits, tuple) and (
                self._unsigned or not 2 <= self._num_bits <= 8):
            raise ValueError(f"Expected signed `num_bits` of 2 to 8 beside `scale_bits`, got {self._num_bits}")

    def _check_zero_point(self) -> None:
        if self._amin is not None and (not self._zero_point or self._amax is None):
            raise ValueError("Expected `amin` with `zero_point` and `amax` alone")
        if not self._zero_point:
            return
        if isinstance(self._num_bits, tuple) or not 2 <= self._num_bits <= 16:
            raise ValueError(f"Expected `num_bits` of 2 to 16 beside `zero_point`, got {self._num_bits}")
        if self._learn_amax or self._narrow_range or self._calib_method != "max":
            raise ValueError("Expected no `learn_amax`, no `narrow_range` and `calib_method` 'max' beside `zero_point`")
        if self._amax is not None:
            if self._amin is None:
                raise ValueError("Expected `amin` beside `amax` and `zero_point`: a fixed range has two ends")
            if self._amin.shape != self._amax.shape:
                raise ValueError(f"Expected `amin` of the shape of `amax`, {self._amax.shape}, got {self._amin.shape}")

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

    @property
    def amin(self) -> NDArray[np.float32] | None:
        """The lower end of a fixed range with `zero_point` as a read-only float32 array, or None."""
        return self._amin

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
        if self._block_sizes is not None:
            text += f" block_sizes={self._block_sizes}"
        if self._zero_point:
            text += " zero_point" + ("" if self._amin is None else f" amin={self._amin}")
        return text + ")"

    def __repr__(self) -> str:
        return f"<{self}>"

    def __eq__(self, rhs: object) -> bool:
        """All attributes equal; an axis given as a list equals the same axis as a tuple."""
        if not isinstance(rhs, ScaledQuantDescriptor):
            return NotImplemented
        same = (_same(self._amax, rhs._amax), _same(self._amin, rhs._amin))
        return all(same) and self._compared() == rhs._compared()

    def _compared(self) -> dict[str, Any]:
        values = {"_block_sizes": None, "_zero_point": False, **self.__dict__}
        values = {key: value for key, value in values.items() if key not in ("_amax", "_amin")}
        return dict(values, _axis=tuple(self._axis) if isinstance(self._axis, list) else self._axis)

    def dict(self) -> dict[str, Any]:
        """The constructor's arguments: `num_bits`, `name`, and every other one that is not its default."""
        defaults = {"fake_quant": True, "axis": None, "amax": None, "scale_amax": None, "learn_amax": False,
                    "unsigned": False, "calib_method": "max", "narrow_range": False, "block_sizes": None,
                    "zero_point": False, "amin": None}
        values = {key: getattr(self, "_" + key) for key in defaults}
        values["block_sizes"] = self.block_sizes
        for key in ("amax", "amin"):
            if values[key] is not None:
                values[key] = values[key].tolist()
        changed = {key: value for key, value in values.items() if value is not None and value != defaults[key]}
        return {"num_bits": self._num_bits, "name": self._name, **changed}

    def to_yaml(self) -> str:
        """The descriptor as YAML, which `from_yaml` reads back to an equal one. Tuples are written as lists."""
        import yaml

        plain = _lists(self.dict())
        if self._block_sizes is not None:
            plain["block_sizes"] = _lists(self._block_sizes.as_dict())
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
