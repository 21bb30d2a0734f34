"""The codec of a quantiser: settings, ranges and what its calibrator has collected, as JSON and a dictionary of arrays.

`describe` writes, `rebuild` makes a new quantiser from that, and `adopt` turns an existing one into another.
Both kinds of files that hold quantisers (`state_file`, `freeze`) use these.
"""
from __future__ import annotations

import copy
import json
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._core.calibrator import _Calibrator
from .._core.descriptor import ScaledQuantDescriptor
from .._core.packing import pack, unpack
from .._core.quantizer_parts import CALIBRATORS, SETTINGS, STATE, SWITCHES, USUAL, written_settings

__all__ = ["Arrays", "adopt", "damaged", "describe", "described_in", "rebuild"]

LIMITS = ("clip_value_min", "clip_value_max")
METHODS = {name: method for method, name in CALIBRATORS.items() if method != "range"}

Arrays = dict[str, NDArray[Any]]


def describe(name: str, quantizer: Any, arrays: Arrays) -> dict[str, Any]:
    """The quantiser as JSON; its arrays go to `arrays`, under their names in the state dictionary.

    TypeError if its calibrator, of a class of its own, holds something that is no plain data.
    """
    prefix = f"{name}." if name else ""
    for buffer in STATE:
        value = quantizer._state(buffer)
        if value is not None:
            arrays[prefix + buffer] = np.array(quantizer._numbers(value))
    if quantizer._learn_amax:
        for limit in LIMITS:
            arrays[f"{prefix}clip.{limit}"] = np.array(quantizer._numbers(getattr(quantizer.clip, limit)))
    described = {key: pack(value, prefix + key, arrays) for key, value in written_settings(quantizer).items()}
    described["name"] = quantizer.name
    if not quantizer.fake_quant and quantizer._scale is not None:
        arrays[prefix + "_scale"] = np.array(quantizer._numbers(quantizer._scale))
    calibrator = quantizer._calibrator
    if calibrator is not None:
        with getattr(calibrator, "_lock", nullcontext()):  # a custom one may have none
            state = {key: pack(value, f"{prefix}_calibrator.{key}", arrays) for key, value in vars(calibrator).items()}
        described["calibrator"] = {"class": type(calibrator).__name__, "state": state}
    return described


def damaged(problem: str) -> ValueError:
    """The error for a file of quantisers that cannot be read."""
    return ValueError(f"Expected a file of quantisers, but {problem}")


def described_in(metadata: dict[str, str]) -> dict[str, Any]:
    """The descriptions of quantisers, by their names, in the metadata of a file. ValueError if there are none."""
    try:
        described = json.loads(metadata.get("quantizers", ""))
    except (ValueError, RecursionError):
        raise damaged("its settings are not valid JSON") from None
    if not isinstance(described, dict) or not all(isinstance(each, dict) for each in described.values()):
        raise damaged("its settings are not those of named quantisers")
    return described


def rebuild(name: str, quantizer: Any, described: dict[str, Any], arrays: Arrays) -> Any:
    """A new quantiser, of the class of `quantizer`, as it was described. ValueError, by its name, if it cannot be."""
    try:
        return _build(f"{name}." if name else "", quantizer, described, arrays)
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError) as problem:
        raise damaged(f"{name or 'the quantiser'} cannot be made from it: {problem!r}") from problem


def _build(prefix: str, quantizer: Any, described: dict[str, Any], arrays: Arrays) -> Any:
    wanted = [key for key in SETTINGS + SWITCHES if key in described or key not in USUAL]
    values: dict[str, Any] = USUAL | {key: unpack(described[key], arrays) for key in wanted}
    switches = {key: values[key] for key in SWITCHES}
    if not all(isinstance(value, bool) for value in switches.values()):
        raise TypeError("a switch is neither true nor false")
    calibrator = described.get("calibrator")
    method = "max" if calibrator is None else METHODS.get(calibrator["class"], "max")
    descriptor = ScaledQuantDescriptor(name=described["name"], calib_method=method,
                                       **{key: values[key] for key in SETTINGS})
    fresh = type(quantizer)(descriptor, switches["disabled"], switches["if_quant"], False, switches["if_calib"])
    for buffer in STATE:
        if prefix + buffer in arrays:
            setattr(fresh, buffer[1:], arrays[prefix + buffer])
    if descriptor.learn_amax:
        for limit in LIMITS:
            fresh._fill(getattr(fresh.clip, limit), fresh._new_buffer(arrays[f"{prefix}clip.{limit}"]))
        (fresh.enable_clip if switches["if_clip"] else fresh.disable_clip)()
    if prefix + "_scale" in arrays:
        fresh._scale = fresh._new_buffer(arrays[prefix + "_scale"])
    fresh._calibrator = _calibrator(fresh._calibrator, quantizer._calibrator, calibrator, arrays)
    return fresh


def _calibrator(fresh: Any, present: Any, described: Any, arrays: Arrays) -> Any:
    """The calibrator with what was collected. A custom class must already be there."""
    if described is None:
        return None
    if described["class"] != type(fresh).__name__:
        if described["class"] != type(present).__name__:
            raise ValueError(f"its calibrator is a {described['class']}, the model's is a {type(present).__name__}")
        fresh = copy.copy(present)
    state = {key: unpack(value, arrays) for key, value in described["state"].items()}
    for key, value in state.items():
        usual = _attribute(fresh, key)
        if usual is not None and value is not None and not isinstance(value, type(usual)):
            raise TypeError(f"{key} of its calibrator is a {type(value).__name__}, not a {type(usual).__name__}")
    vars(fresh).update(state)
    if isinstance(fresh, _Calibrator):
        fresh._check_state(vars(fresh))
    return fresh


def _attribute(calibrator: Any, key: str) -> Any:
    """An attribute that holds data, of the calibrator or as a default of its class. AttributeError for any other."""
    if key in vars(calibrator):
        return vars(calibrator)[key]
    value = getattr(type(calibrator), key)
    if key.startswith("__") or not (value is None or isinstance(value, bool | int | float | str)):
        raise AttributeError(f"{key} of its calibrator holds no data")
    return value


def adopt(quantizer: Any, fresh: Any) -> None:
    """Gives a quantiser the settings, buffers, clip and calibrator of another. Learnt limits stay the same objects."""
    if quantizer._learn_amax and fresh._learn_amax:
        for limit in LIMITS:
            own, other = getattr(quantizer.clip, limit), getattr(fresh.clip, limit)
            quantizer._fill(own, other)
            own.requires_grad = other.requires_grad
    else:
        vars(quantizer)["_modules"] = vars(fresh)["_modules"]
    for key in (*(f"_{name}" for name in SETTINGS + SWITCHES), "name", "_scale", "_calibrator", "_buffers",
                "_parameters"):
        vars(quantizer)[key] = vars(fresh)[key]
