"""What the quantisers of a graph compute, as functions of ONNX, so that other runtimes can run a model in memory."""
from __future__ import annotations

import functools

import onnx.parser
import onnx_ir as ir

from ..nodes import DOMAIN, DYNAMIC, FAKE_QUANT, NO_AXIS, Quantizer, quantizers

__all__ = ["give_bodies", "take_bodies"]

FUNCTIONS = 8                      # the file version that introduced functions
CAST_LIKE, AXES_AS_INPUT = 15, 18  # the opsets that introduced them

HEAD = """<domain: "{domain}", opset_import: ["" : {opset}]>
{name} <bits, unsigned, narrow, zero_point, axis, two_sided, strict> ({inputs}) => (y) {{"""

NUMBERS = """
    zero = Constant <value_float: float = 0.0> ()
    one = Constant <value_float: float = 1.0> ()
    two = Constant <value_float: float = 2.0> ()
    tiny = Constant <value_float: float = 5.9604644775390625e-8> ()
    none = Constant <value_int: int = 0> ()
    single = Constant <value_int: int = 1> ()
    bits = Constant <value_int: int = @bits> ()
    bits_f = Cast <to: int = 1> (bits)
    unsigned = Constant <value_int: int = @unsigned> ()
    unsigned_f = Cast <to: int = 1> (unsigned)
    narrow = Constant <value_int: int = @narrow> ()
    narrow_f = Cast <to: int = 1> (narrow)
    given_axis = Constant <value_int: int = @axis> ()
    no_axis = Constant <value_int: int = {no_axis}> ()
    magnitude = Sub (bits_f, one)
    power = Add (magnitude, unsigned_f)
    count = Pow (two, power)
    bound = Sub (count, one)
    signed_f = Sub (one, unsigned_f)
    wide_f = Sub (one, narrow_f)
    farthest = Add (bound, wide_f)
    below = Mul (farthest, signed_f)
    low = Neg (below)
    x_f = Cast <to: int = 1> (x)
    shape = Shape (x)
    rank = Size (shape)
    has_none = Equal (given_axis, no_axis)
    from_end = Less (given_axis, none)
    counted = Add (given_axis, rank)
    positive = Where (from_end, counted, given_axis)
    axis = Where (has_none, none, positive)
"""

CONSTANT_RANGE = """
    singles = Constant <value_ints: ints = [1]> ()
    rest = Constant <value_ints: ints = [-1]> ()
    after = Sub (rank, axis)
    others = Sub (after, single)
    at_least = Max (others, none)
    many = Reshape (at_least, singles)
    ones = Expand (singles, many)
    wide = Concat <axis: int = 0> (rest, ones)
    range = Reshape (amax, wide)
    point = Constant <value_int: int = @zero_point> ()
    point_f = Cast <to: int = 1> (point)
"""

RANGE_BY_AXIS = """
    order = Range (none, rank, single)
    is_other = Equal (order, axis)
    is_reduced = Not (is_other)
    goes = Or (is_reduced, has_none)
    axes = Compress (order, goes)
    sizes = Abs (x_f)
    largest = ReduceMax <keepdims: int = 1, noop_with_empty_axes: int = 1> (sizes, axes)
"""

RANGE_OF_ALL = """
    sizes = Abs (x_f)
    largest = ReduceMax <keepdims: int = 0> (sizes)
"""

OWN_RANGE = """
    two_sided_i = Constant <value_int: int = @two_sided> ()
    two_sided = Cast <to: int = 9> (two_sided_i)
    least_x = ReduceMin <keepdims: int = 0> (x_f)
    most_x = ReduceMax <keepdims: int = 0> (x_f)
    start = Min (least_x, zero)
    end = Max (most_x, zero)
    width = Sub (end, start)
    range = Where (two_sided, width, largest)
    width_is_tiny = LessOrEqual (width, tiny)
    steps = Div (bound, width)
    steps_or_zero = Where (width_is_tiny, zero, steps)
    scaled_start = Mul (start, steps_or_zero)
    distance = Neg (scaled_start)
    moved = Round (distance)
    codes = Sub (bound, low)
    no_less = Max (moved, zero)
    within = Min (no_less, codes)
    own_point = Add (within, low)
    given_point = Constant <value_int: int = @zero_point> ()
    given_point_f = Cast <to: int = 1> (given_point)
    point_f = Where (two_sided, own_point, given_point_f)
"""

ROUNDED = """
    is_tiny = LessOrEqual (range, tiny)
    scale = Div (bound, range)
    factor = Where (is_tiny, zero, scale)
    divisor = Where (is_tiny, one, scale)
    least = Sub (low, point_f)
    most = Sub (bound, point_f)
    scaled = Mul (x_f, factor)
    rounded = Round (scaled)
    clamped = Max (rounded, least)
    code = Min (clamped, most)
    quotient = Div (code, divisor)
    shaped = Reshape (quotient, shape)
    y = {like}
}}"""


def give_bodies(model: ir.Model) -> None:
    """Gives a model the functions that its quantisers are, or removes them where a function cannot express one.

    Functions can express integers with one range, or one for each index of an axis; not small floats, blocks or
    several zero points. A dynamic range for each index of an axis takes opset 18.
    """
    take_bodies(model)
    opset = model.opset_imports.get("", 0)
    found = list(quantizers(model))
    if all(_can_be_said(each, opset) for each in found):
        for name in sorted({each.node.op_type for each in found}):
            model.functions[(DOMAIN, name, "")] = ir.serde.deserialize_function(_body(name, opset))
            model.ir_version = max(model.ir_version, FUNCTIONS)


def take_bodies(model: ir.Model) -> None:
    """Takes these functions out of a model."""
    for name in (FAKE_QUANT, DYNAMIC):
        model.functions.pop((DOMAIN, name, ""), None)


def _can_be_said(found: Quantizer, opset: int) -> bool:
    spec = found.spec
    by_axis = found.is_dynamic and spec.axis is not None
    return isinstance(spec.bits, int) and spec.block is None and not isinstance(spec.zero_point, tuple) and \
        not (by_axis and opset < AXES_AS_INPUT)


@functools.lru_cache(maxsize=32)
def _body(name: str, opset: int) -> onnx.FunctionProto:
    own = (RANGE_BY_AXIS if opset >= AXES_AS_INPUT else RANGE_OF_ALL) + OWN_RANGE
    whole = (HEAD + NUMBERS + (own if name == DYNAMIC else CONSTANT_RANGE) + ROUNDED).format(
        domain=DOMAIN, opset=opset, name=name, no_axis=NO_AXIS, inputs="x" if name == DYNAMIC else "x, amax",
        like="CastLike (shaped, x)" if opset >= CAST_LIKE else "Identity (shaped)")
    return onnx.parser.parse_function(whole)
