"""How QuantizeLinear and DequantizeLinear say what a quantiser's node says, and back."""
from __future__ import annotations

import base64
import json
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .nodes import E4M3, QuantizerSpec

__all__ = ["METADATA", "Coding", "Note", "code_type", "coding_of", "hidden_quantizer", "note_of", "noted",
           "set_hidden_quantizer", "step_of", "trusted"]

METADATA = "pytorch_quantization_c.quantizer"  # in the metadata of a node: what the node cannot say
HIDDEN = "pytorch_quantization_c.hidden"  # of an LSTM or a GRU: how its state is quantised ahead of its product

# Bits and sign of the types of codes.
CODES: dict[ir.DataType, tuple[int | tuple[int, int], bool]] = {
    ir.DataType.INT2: (2, False), ir.DataType.UINT2: (2, True), ir.DataType.INT4: (4, False),
    ir.DataType.UINT4: (4, True), ir.DataType.INT8: (8, False), ir.DataType.UINT8: (8, True),
    ir.DataType.INT16: (16, False), ir.DataType.UINT16: (16, True), ir.DataType.FLOAT8E4M3FN: (E4M3, False),
}


class Coding(NamedTuple):
    """The spec and the range that a scale, a zero point and a type of codes amount to."""

    spec: QuantizerSpec
    amax: NDArray[np.float32]


def code_type(spec: QuantizerSpec, four_bits: bool = True) -> ir.DataType:
    """The smallest type that holds the codes of a spec; types below 8 bits only with `four_bits`."""
    if isinstance(spec.bits, tuple):
        return ir.DataType.FLOAT8E4M3FN
    size = 4 if four_bits and spec.bits <= 4 else 8 if spec.bits <= 8 else 16
    return next(kind for kind, code in CODES.items() if code == (size, spec.unsigned))


def coding_of(scale: NDArray[Any], zero: NDArray[Any] | None, kind: ir.DataType, axis: int,
              block: int) -> Coding | None:
    """What these say; None if no quantiser of ours says that."""
    if kind not in CODES or not (np.isfinite(scale).all() and (scale > 0).all()):
        return None
    bits, unsigned = CODES[kind]
    points = np.zeros(1, np.int64) if zero is None else np.asarray(zero).astype(np.float32).astype(np.int64)
    several = scale.size > 1
    if block and (not several or np.any(points != points.flat[0])):
        return None
    point: Any = int(points.flat[0]) if np.all(points == points.flat[0]) else tuple(int(p) for p in points.reshape(-1))
    if not unsigned and point == 0:
        point = None
    try:
        spec = QuantizerSpec(bits, unsigned, False, point, axis if several else None, block or None)
    except ValueError:
        return None
    with np.errstate(over="ignore"):
        amax = np.asarray(scale, np.float32) * np.float32(spec.bound)
    if not np.isfinite(amax).all():
        return None
    return Coding(spec, amax if several else amax.reshape(()))


def step_of(amax: NDArray[Any], spec: QuantizerSpec) -> NDArray[np.float32]:
    """The scale of QuantizeLinear for a range: 1 where everything becomes zero."""
    step = np.asarray(amax, np.float32) / np.float32(spec.bound)
    return np.where(step > 0, step, np.float32(1)).astype(np.float32)


def noted(name: str, spec: QuantizerSpec, amax: NDArray[Any] | None) -> str:
    """What a file's metadata say of a quantiser."""
    note: dict[str, Any] = {"name": name, "spec": spec.attributes()}
    if amax is not None:
        data = np.ascontiguousarray(amax, "<f4")
        note |= {"amax": base64.b64encode(data.tobytes()).decode(), "shape": list(data.shape)}
    return json.dumps(note, sort_keys=True)


class Note(NamedTuple):
    """What `noted` wrote."""

    name: str
    spec: QuantizerSpec
    amax: NDArray[np.float32] | None


def note_of(text: str | None) -> Note | None:
    """What a node's metadata say; None if they are absent or not as `noted` writes them."""
    try:
        note = json.loads(text or "null")
        said = note["spec"].items()
        attributes: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in said}
        for key in ("unsigned", "narrow", "two_sided"):
            attributes[key] = bool(attributes.get(key, False))
        amax = None
        if "amax" in note:
            amax = np.frombuffer(base64.b64decode(note["amax"], validate=True), "<f4").reshape(note["shape"])
            amax = amax.astype(np.float32)
        return Note(str(note["name"]), QuantizerSpec(**attributes), amax)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def trusted(note: Note | None, coding: Coding, scale: NDArray[Any]) -> Coding:
    """The range of the metadata where its step is the file's, to the bit; else what the file itself says."""
    if note is None or note.amax is None or note.amax.size != scale.size:
        return coding
    if (note.spec.unsigned, note.spec.axis is None) != (coding.spec.unsigned, coding.spec.axis is None):
        return coding
    ours, theirs = (np.asarray(spec.zero_point or 0).reshape(-1) for spec in (note.spec, coding.spec))
    if not np.array_equal(step_of(note.amax, note.spec).reshape(-1), scale.astype(np.float32).reshape(-1)):
        return coding
    return coding if np.any(ours != theirs) else Coding(note.spec, note.amax)


def hidden_quantizer(node: ir.Node) -> Coding | None:
    """How the hidden state of an LSTM or a GRU is quantised before it is multiplied; None if it stays float."""
    note = note_of(node.metadata_props.get(HIDDEN))
    return None if note is None or note.amax is None else Coding(note.spec, note.amax)


def set_hidden_quantizer(node: ir.Node, amax: float, spec: QuantizerSpec) -> None:
    """Has the hidden state quantised with this range; other runtimes, which know nothing of it, keep it float."""
    node.metadata_props[HIDDEN] = noted(node.name or "", spec, np.asarray(amax, np.float32))
