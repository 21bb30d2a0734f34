"""What must be as it is for a frozen layer to be called in one step: written down once, compared by C in every call.

The engine looks at all this one by one and says what forbids integers; where nothing does, the next call needs to know
only that nothing has changed since. What can change in place (a weight made writable, an amax of another size) is
looked at by C itself.
"""
from __future__ import annotations

from typing import Any

from .._core.formats import Int
from .float_only import STATE
from .weights import CachedWeight

__all__ = ["guarded_call"]

ABSENT = ...
# How an input quantiser is set whose input has one amax of its own, or finds it; beside its format.
SETTINGS: dict[str, Any] = {"_disabled": False, "_if_quant": True, "_if_calib": False, "_fake_quant": True,
                            "_learn_amax": False, "_axis": None, "_scale_amax": None, "_enable_onnx_export": ABSENT,
                            "use_fb_fake_quant": ABSENT, "forward": ABSENT}
ROUNDING = ("_num_bits", "_unsigned", "_narrow_range")
Guard = tuple[Any, type, tuple[str, ...], tuple[Any, ...]]


def guard(holder: Any, cls: type, values: dict[str, Any]) -> Guard:
    """`holder` is of this class, and has these very objects: a dictionary as items, a type as attributes, anything else
    in its own dictionary; ABSENT ones not. None for the holder is the layer."""
    return holder, cls, tuple(values), tuple(values.values())


def own_settings(quantizer: Any) -> dict[str, Any] | None:
    """The quantiser's own objects for SETTINGS, 0 for False as well; None if one is another than it has to be."""
    found = {name: vars(quantizer).get(name, ABSENT) for name in SETTINGS}
    same = (value is wanted or (type(value) is int and value == wanted)
            for value, wanted in zip(found.values(), SETTINGS.values(), strict=True))
    return found if all(same) else None


def guarded_call(layer: Any, cached: CachedWeight, quantizer: Any, format: Int, bias: Any,
                 own: dict[str, Any]) -> tuple[Any, ...] | None:
    """The first argument of `_C.integer_call`; None if a call of this layer needs more than one step.

    `format` and `own`, the settings of a convolution, are those that the weight was packed for: another thread may have
    changed them in between.
    """
    state, buffers, switches = vars(layer), quantizer._buffers, own_settings(quantizer)
    own = own or {"stride": ABSENT}
    one_step = own.get("padding_mode", "zeros") == "zeros" and list not in map(type, own.values())
    if cached.packed is None or switches is None or not one_step or quantizer._parameters:
        return None
    amax, no_scale = buffers.get("_amax", ABSENT), None if "_pre_quant_scale" in buffers else ABSENT
    rounding = {name: vars(quantizer).get(name) for name in ROUNDING}
    if rounding != {"_num_bits": format.bits, "_unsigned": format.unsigned, "_narrow_range": format.narrow}:
        return None
    rounding["_buffers"], rounding["_parameters"] = buffers, quantizer._parameters
    modules, parameters = state["_modules"], state["_parameters"]
    guards = (
        guard(None, type(layer), {"_modules": modules, "_parameters": parameters, **own}),
        guard(modules, dict, {"_input_quantizer": quantizer}),
        guard(parameters, dict, {"weight": cached.proof, "bias": bias}),
        guard(quantizer, type(quantizer), switches | rounding),
        guard(buffers, dict, {"_amax": amax, "_pre_quant_scale": no_scale}),
        guard(quantizer._parameters, dict, {"_amax": ABSENT, "_pre_quant_scale": ABSENT}),
        guard(type(quantizer), type(type(quantizer)), {"_enable_onnx_export": False, "use_fb_fake_quant": False}),
        guard(STATE, dict, {"allowed": True}),
    )
    return cached.packed._packed, None if amax is ABSENT else amax, bias, cached.proof, guards
