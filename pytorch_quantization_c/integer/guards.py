"""The preconditions of calling a layer in one step: recorded once, checked by C in every call.

The engine checks these one by one and says what rules out integers; if nothing does, the next call needs to know
only that nothing has changed since. Guards name objects; arrays, which can change in place, are checked by C itself
(see csrc/python/unchanged.h).
"""
from __future__ import annotations

from typing import Any

import numpy as np

from .. import _C
from .._core.formats import Float, Int
from .eligibility import QUANTIZER_STEPS
from .float_only import STATE
from .int4 import PackedInt4
from .packed import PackedWeights, scale_and_zero
from .settings import is_fixed
from .weights import CachedWeight

__all__ = ["STEPS", "StepsNoted", "guarded_call"]

ABSENT = ...
# The settings of a quantiser that only quantises, apart from its format and its range.
SWITCHES: dict[str, Any] = {"_disabled": False, "_if_quant": True, "_if_calib": False, "_fake_quant": True,
                            "_learn_amax": False, "_enable_onnx_export": ABSENT, "use_fb_fake_quant": ABSENT,
                            "forward": ABSENT}
#: The methods that a layer computes with; integers would bypass one that is set on an instance or overridden.
STEPS = frozenset(("_quant", "_quantized_weight", "_float_forward", "_linear", "_conv_forward"))
ROUNDING = ("_num_bits", "_unsigned", "_narrow_range")
RANGE = ("_axis", "_scale_amax")
Guard = tuple[Any, type, tuple[str, ...], tuple[Any, ...]]


class StepsNoted:
    """Mixin of layers and quantisers: overriding a step on one of them invalidates all prepared calls."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in STEPS or name in QUANTIZER_STEPS:
            STATE["steps"] = object()


def guard(holder: Any, cls: type, values: dict[str, Any]) -> Guard:
    """`holder` is of this class, and has these very objects: a dictionary as items, a type as attributes, anything else
    in its own dictionary; ABSENT ones not. None for the holder is the layer."""
    return holder, cls, tuple(values), tuple(values.values())


def own_switches(quantizer: Any) -> dict[str, Any] | None:
    """The quantiser's own objects for SWITCHES, 0 for False as well; None if one is not as required."""
    found = {name: vars(quantizer).get(name, ABSENT) for name in SWITCHES}
    same = (value is wanted or (type(value) is int and value == wanted)
            for value, wanted in zip(found.values(), SWITCHES.values(), strict=True))
    return found if all(same) else None


def quantizer_guards(quantizer: Any, format: Int | Float, range: tuple[Any, ...],
                     two_ended: bool = False) -> tuple[Guard, ...] | None:
    """Guards that a quantiser rounds to `format` and has `range` for RANGE; None if that no longer holds.

    `two_ended`: it has a zero point.
    """
    state, buffers, parameters, cls = vars(quantizer), quantizer._buffers, quantizer._parameters, type(quantizer)
    switches = own_switches(quantizer)
    rounding, ranges = ({name: state.get(name) for name in names} for names in (ROUNDING, RANGE))
    if switches is None or parameters or tuple(ranges.values()) != range or not is_fixed(state.get("_axis")):
        return None
    if not is_fixed(state.get("_scale_amax")):
        return None
    if isinstance(format, Float) or tuple(rounding.values()) != (format.bits, format.unsigned, format.narrow):
        return None
    if bool(state.get("_zero_point")) != two_ended:
        return None
    no_scale = None if "_pre_quant_scale" in buffers else ABSENT
    return (
        guard(quantizer, cls, {**switches, **rounding, **ranges, "_zero_point": state.get("_zero_point", ABSENT),
                               "_block_sizes": state.get("_block_sizes", ABSENT), "_buffers": buffers,
                               "_parameters": parameters}),
        guard(buffers, dict, {"_amax": buffers.get("_amax", ABSENT), "_amin": buffers.get("_amin", ABSENT),
                              "_pre_quant_scale": no_scale}),
        guard(parameters, dict, {"_amax": ABSENT, "_amin": ABSENT, "_pre_quant_scale": ABSENT}),
        guard(cls, type(cls), {"_enable_onnx_export": False, "use_fb_fake_quant": False}),
    )


def weight_proof(weight: Any, amax: Any, cached: CachedWeight) -> Any:
    """What proves to C that the weight and its quantiser's amax still have the contents that `cached` was made of.

    None if the amax has changed since.
    """
    mark, amax_mark = cached.proof[0], cached.proof[3]
    proof = (weight, cached.weight.values, mark)
    if amax is None:
        return (proof,) if amax_mark is None else None
    like = np.array(amax)
    if like.dtype.char != "f" or not like.dtype.isnative or _C.fingerprint(like) != amax_mark:
        return None
    return proof, (amax, like, None)


def two_ends(quantizer: Any, format: Int) -> tuple[Any, tuple[Any, ...]] | None:
    """The scale and the zero point of a fixed range, and what proves it; None where there is no such range."""
    ends = quantizer._buffers.get("_amin"), quantizer._buffers.get("_amax")
    if any(end is None or end.size != 1 or end.dtype.char != "f" or not end.dtype.isnative for end in ends):
        return None
    like = [np.array(end) for end in ends]
    pair = scale_and_zero(np.zeros(0, np.float32), like, format)
    if isinstance(pair, str):
        return None
    return pair, tuple((end, each, None) for end, each in zip(ends, like, strict=True))


def guarded_call(layer: Any, cached: CachedWeight, packed: PackedWeights | PackedInt4, quantizer: Any, format: Int,
                 bias: Any, own: dict[str, Any], rows_of: int | None = None) -> tuple[Any, ...] | None:
    """The first argument of `_C.integer_call`, or of `_C.int4_call`; None if a call needs more than one step.

    `format` and `own`, the settings of a convolution, are those that `packed` was made for: another thread may have
    changed them in between. `rows_of`: each row of an input with this many axes has a range.
    """
    steps = STATE["steps"]  # before anything is read
    one_step = own.get("padding_mode", "zeros") == "zeros" and all(map(is_fixed, own.values()))
    axis = vars(quantizer).get("_axis") if rows_of is not None else None
    guards = quantizer_guards(quantizer, format, (axis, None), packed.two_ended)
    if guards is None or not one_step:
        return None
    modules, parameters = vars(layer)["_modules"], vars(layer)["_parameters"]
    weight = proof = cached.proof  # of a frozen layer the weight itself
    children = {"_input_quantizer": quantizer}
    if type(proof) is tuple:  # a key: the weight is not frozen
        weight = parameters["weight"]
        if weight is None:  # the layer has just been frozen
            return None
        other = modules["_weight_quantizer"]
        children["_weight_quantizer"] = other
        others = quantizer_guards(other, cached.weight.quantization.format, cached.proof[5][:2])
        proof = weight_proof(weight, other._buffers.get("_amax"), cached)
        if others is None or proof is None:
            return None
        guards += others
    amax = None if guards[1][3][0] is ABSENT else guards[1][3][0]  # the same object that is guarded
    if packed.two_ended:
        found = two_ends(quantizer, format)
        if found is None:
            return None
        amax, proof = found[0], (*(proof if type(proof) is tuple else (proof,)), *found[1])
    guards += (
        guard(None, type(layer), {"_modules": modules, "_parameters": parameters, **(own or {"stride": ABSENT})}),
        guard(modules, dict, children),
        guard(parameters, dict, {"weight": weight, "bias": bias}),
        guard(STATE, dict, {"allowed": True, "steps": steps}),
    )
    quantizers = [each for each in children.values() if not QUANTIZER_STEPS.isdisjoint(vars(each))]
    if quantizers or not STEPS.isdisjoint(vars(layer)):
        return None
    if isinstance(packed, PackedWeights):
        return packed._packed, amax, bias, proof, guards
    return packed.arguments(None, amax, rows_of is not None, bias), -1 if rows_of is None else rows_of, proof, guards
