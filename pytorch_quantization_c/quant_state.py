"""The state of all quantisers of a model in one file: settings, ranges, and what the calibrators have collected.

The file is in the safetensors format. An array has the name that it has in the model's state dictionary
(`conv1._input_quantizer._amax`), what a calibrator holds is under `._calibrator`; settings are JSON in the metadata.
"""
from __future__ import annotations

import copy
import json
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._core.calibrator import _Calibrator
from ._core.descriptor import ScaledQuantDescriptor
from ._core.errors import shown
from ._core.files import FilePath
from ._core.packing import pack, unpack
from ._core.safetensors import load_file, save_file
from .summary import named_quantizers, quantizers_of

__all__ = ["LoadedQuantState", "load_quant_state", "save_quant_state"]

FORMAT, VERSION = "pytorch_quantization_c quantizers", "1"
SETTINGS = ("num_bits", "fake_quant", "axis", "learn_amax", "scale_amax", "unsigned", "narrow_range")
SWITCHES = ("disabled", "if_quant", "if_clip", "if_calib")
BUFFERS = ("_amax", "_pre_quant_scale")
LIMITS = ("clip_value_min", "clip_value_max")
CALIBRATORS = {"MaxCalibrator": "max", "HistogramCalibrator": "histogram"}

Arrays = dict[str, NDArray[Any]]


class LoadedQuantState(NamedTuple):
    """Names of quantisers that the file lacks, and of those that the model lacks."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def save_quant_state(model: Any, path: FilePath) -> None:
    """Writes settings, ranges and collected statistics of all quantisers of `model`; weights are not written.

    Args:
        model: a module with quantisers, on NumPy or of the torch twin; either reads the other's files.
        path: a file in the safetensors format; it appears whole or not at all.

    Raises:
        TypeError: a calibrator of one's own holds something that is no plain data.
        OSError: the file cannot be written.
    """
    arrays: Arrays = {}
    described = {name: _described(name, quantizer, arrays) for name, quantizer in named_quantizers(model)}
    save_file(arrays, path, {"format": FORMAT, "version": VERSION, "quantizers": json.dumps(described)})


def _described(name: str, quantizer: Any, arrays: Arrays) -> dict[str, Any]:
    prefix = f"{name}." if name else ""
    for buffer in BUFFERS:
        value = quantizer._state(buffer)
        if value is not None:
            arrays[prefix + buffer] = np.array(quantizer._numbers(value))
    if quantizer._learn_amax:
        for limit in LIMITS:
            arrays[f"{prefix}clip.{limit}"] = np.array(quantizer._numbers(getattr(quantizer.clip, limit)))
    values = {key: getattr(quantizer, "_" + key) for key in SETTINGS + SWITCHES}
    described = {key: pack(value, prefix + key, arrays) for key, value in values.items()}
    described["name"] = quantizer.name
    if not quantizer.fake_quant and quantizer._scale is not None:
        arrays[prefix + "_scale"] = np.array(quantizer._numbers(quantizer._scale))
    calibrator = quantizer._calibrator
    if calibrator is not None:
        with getattr(calibrator, "_lock", nullcontext()):  # one of the user's own may have none
            state = {key: pack(value, f"{prefix}_calibrator.{key}", arrays) for key, value in vars(calibrator).items()}
        described["calibrator"] = {"class": type(calibrator).__name__, "state": state}
    return described


def load_quant_state(model: Any, path: FilePath, strict: bool = True) -> LoadedQuantState:
    """Makes the quantisers of `model` what those in the file were, whatever they are now.

    Args:
        model: any module with quantisers of the same names; calibrated or not, with an amax of any shape or without.
        path: a file from `save_quant_state`.
        strict: the names must be the same. With False, those in common are loaded.

    Returns:
        The names that were missing in the file, and those that the model does not have.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a model without quantisers, another format, a damaged file, or other names; the model is then
            unchanged.
    """
    arrays, metadata = load_file(path, _read)
    described = _read(metadata)
    present = quantizers_of(model)
    result = LoadedQuantState([name for name in present if name not in described],
                              [name for name in described if name not in present])
    if strict and any(result):
        raise ValueError(f"Expected a file for the same quantizers, got one without {result.missing_keys} "
                         f"and with {result.unexpected_keys}")
    made = {name: _made(name, present[name], described[name], arrays) for name in present if name in described}
    for name, fresh in made.items():
        _become(present[name], fresh)
    return result


def _refusal(problem: str) -> ValueError:
    return ValueError(f"Expected a file of quantizers, but {problem}")


def _home(format: str | None) -> str:
    """What to call for a file of another kind."""
    if format == "pytorch_quantization_c frozen model":
        return ": call load_frozen(model, path)"
    if format == "pytorch_quantization_c calibrator":
        return ": call HistogramCalibrator.load(path)"
    return ": weights and ranges alone go into a model by load_state_dict" if format in (None, "pt", "np") else ""


def _read(metadata: dict[str, str]) -> dict[str, Any]:
    if metadata.get("format") != FORMAT:
        raise _refusal(f"its format is {shown(metadata.get('format'))}{_home(metadata.get('format'))}")
    if metadata.get("version") != VERSION:
        raise _refusal(f"its version is {shown(metadata.get('version'))}, and this library reads {VERSION!r}")
    try:
        described = json.loads(metadata.get("quantizers", ""))
    except (ValueError, RecursionError):
        raise _refusal("its settings are not valid JSON") from None
    if not isinstance(described, dict) or not all(isinstance(each, dict) for each in described.values()):
        raise _refusal("its settings are not those of named quantizers")
    return described


def _made(name: str, quantizer: Any, described: dict[str, Any], arrays: Arrays) -> Any:
    """A new quantiser as the file describes it."""
    try:
        return _build(f"{name}." if name else "", quantizer, described, arrays)
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError) as problem:
        raise _refusal(f"{name or 'the quantizer'} cannot be made from it: {problem!r}") from problem


def _build(prefix: str, quantizer: Any, described: dict[str, Any], arrays: Arrays) -> Any:
    values = {key: unpack(described[key], arrays) for key in SETTINGS + SWITCHES}
    switches = {key: values[key] for key in SWITCHES}
    if not all(isinstance(value, bool) for value in switches.values()):
        raise TypeError("a switch is neither true nor false")
    calibrator = described.get("calibrator")
    method = "max" if calibrator is None else CALIBRATORS.get(calibrator["class"], "max")
    descriptor = ScaledQuantDescriptor(name=described["name"], calib_method=method,
                                       **{key: values[key] for key in SETTINGS})
    fresh = type(quantizer)(descriptor, switches["disabled"], switches["if_quant"], False, switches["if_calib"])
    for buffer in BUFFERS:
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
    """The calibrator with what was collected. A class that is not the library's must be there already."""
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


def _become(quantizer: Any, fresh: Any) -> None:
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
