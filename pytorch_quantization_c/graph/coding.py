"""How QuantizeLinear and DequantizeLinear say what a quantiser's node says, and back."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .arithmetic import block_codes
from .errors import GraphError
from .notes import METADATA, Coding, Note, hidden_quantizer, note_of, noted, set_hidden_quantizer
from .spec import E4M3, QuantizerSpec

__all__ = ["METADATA", "Coding", "Note", "code_type", "coding_of", "hidden_quantizer", "note_of", "noted",
           "set_hidden_quantizer", "step_of", "trusted"]

# Bits and sign of the types of codes.
CODES: dict[ir.DataType, tuple[int | tuple[int, int], bool]] = {
    ir.DataType.INT2: (2, False), ir.DataType.UINT2: (2, True), ir.DataType.INT4: (4, False),
    ir.DataType.UINT4: (4, True), ir.DataType.INT8: (8, False), ir.DataType.UINT8: (8, True),
    ir.DataType.INT16: (16, False), ir.DataType.UINT16: (16, True), ir.DataType.FLOAT8E4M3FN: (E4M3, False),
    ir.DataType.FLOAT8E5M2: ((5, 2), False), ir.DataType.FLOAT4E2M1: ((2, 1), False),
}


def code_type(spec: QuantizerSpec, four_bits: bool = True) -> ir.DataType:
    """The smallest type that holds the codes of a spec; types below 8 bits only with `four_bits`."""
    if isinstance(spec.bits, tuple):
        kind = next((kind for kind, (bits, _) in CODES.items() if bits == spec.bits), None)
        if kind is None:
            raise GraphError(f"Expected formats that ONNX has types for, got a quantiser to {spec.format}")
        return kind
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
    if spec.scale_bits is not None:
        each = np.ascontiguousarray(amax, np.float32).reshape(-1)
        step = block_codes(each, each, replace(spec, axis=0, block=1))[1].reshape(np.shape(amax))
        return np.where(step > 0, step, np.float32(1)).astype(np.float32)
    step = np.asarray(amax, np.float32) / np.float32(spec.bound)
    return np.where(step > 0, step, np.float32(1)).astype(np.float32)


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
