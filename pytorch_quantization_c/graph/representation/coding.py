"""Quantiser nodes as QuantizeLinear and DequantizeLinear, and back."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..errors import GraphError
from .arithmetic import block_codes
from .notes import METADATA, Coding, Note, hidden_quantizer, note_of, noted, set_hidden_quantizer
from .spec import E4M3, QuantizerSpec

__all__ = ["METADATA", "SHIFT", "Coding", "Note", "code_type", "coding_of", "hidden_quantizer", "nearest_coding",
           "note_of", "noted", "set_hidden_quantizer", "step_of", "trusted"]

# Bits and sign of the types of codes.
CODES: dict[ir.DataType, tuple[int | tuple[int, int], bool]] = {
    ir.DataType.INT2: (2, False), ir.DataType.UINT2: (2, True), ir.DataType.INT4: (4, False),
    ir.DataType.UINT4: (4, True), ir.DataType.INT8: (8, False), ir.DataType.UINT8: (8, True),
    ir.DataType.INT16: (16, False), ir.DataType.UINT16: (16, True), ir.DataType.FLOAT8E4M3FN: (E4M3, False),
    ir.DataType.FLOAT8E5M2: ((5, 2), False), ir.DataType.FLOAT4E2M1: ((2, 1), False),
}
FRACTIONS = np.arange(1, 65, dtype=np.float32) / np.float32(16)
SHIFT = 128  # what signed codes of 8 bits are written with as unsigned ones


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
    """The quantiser that these describe; None if we have no such quantiser."""
    if kind not in CODES or not (np.isfinite(scale).all() and (scale > 0).all()):
        return None
    bits, unsigned = CODES[kind]
    points = np.zeros(1, np.int64) if zero is None else np.asarray(zero).astype(np.float32).astype(np.int64)
    several = scale.size > 1
    if block and (not several or np.any(points != points.flat[0])):
        return None
    point: Any = int(points.flat[0]) if np.all(points == points.flat[0]) else tuple(int(p) for p in points.reshape(-1))
    return _coding(scale, bits, unsigned, point, axis if several else None, block)


def nearest_coding(coding: Coding, scale: NDArray[Any]) -> Coding:
    """The same codes, or where that comes nearer to a file's steps, those less 128 as signed ones.

    Just above a power of two, 255 / amax reaches half of the numbers only; 127 / amax, of signed codes, others. With
    images from -1 to 1 at a step of 2 / 255 every pixel lies half way between two codes.
    """
    spec, point = coding.spec, coding.spec.zero_point
    if not spec.unsigned or spec.bits != 8 or spec.block is not None or not isinstance(point, int) or point == 0:
        return coding
    signed = _coding(scale, 8, False, point - SHIFT, spec.axis, 0)
    return signed if signed is not None and _off(signed, scale) < _off(coding, scale) else coding


def _coding(scale: NDArray[Any], bits: Any, unsigned: bool, point: Any, axis: int | None, block: int) -> Coding | None:
    try:
        spec = QuantizerSpec(bits, unsigned, False, None if not unsigned and point == 0 else point, axis, block or None)
    except ValueError:
        return None
    amax = _amax_of(np.asarray(scale, np.float32), np.float32(spec.bound))
    return Coding(spec, amax if scale.size > 1 else amax.reshape(())) if np.isfinite(amax).all() else None


def _off(coding: Coding, step: NDArray[Any]) -> float:
    """How far what is multiplied with is from 1 / step, in units of 2^-25: within one nothing in float32 is nearer."""
    with np.errstate(over="ignore", divide="ignore"):
        scale = np.float64(np.float32(coding.spec.bound) / coding.amax)
    return float(np.floor(np.abs(scale * np.float64(step).reshape(np.shape(coding.amax)) - 1) * 2 ** 25).max())


def _amax_of(step: NDArray[np.float32], bound: np.float32) -> NDArray[np.float32]:
    """The amax that a step amounts to: of the three numbers about step * bound the one by which most simple fractions
    become the code that they have by a division by the step, as other runtimes do it: those half way between two codes
    are common, as sigmoid(0) = 0.5 at a step of 1 / 255. Else the one whose scale is nearest to 1 / step."""
    flat = step.reshape(-1)
    with np.errstate(all="ignore"):
        middle = flat * bound
        around = np.stack([middle, np.nextafter(middle, np.float32(0)), np.nextafter(middle, np.float32(np.inf))])
        scale = bound / around
        codes, wanted = np.rint(FRACTIONS * scale[..., None]), np.rint(FRACTIONS / flat[:, None])
        wrong = np.count_nonzero((codes != wanted) & (wanted <= 2 * bound), axis=-1)
        wrong = wrong + np.abs(np.float64(scale) * np.float64(flat) - 1)
    best: NDArray[np.float32] = np.take_along_axis(around, np.argmin(wrong, axis=0)[None], 0)
    return best.reshape(step.shape)


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
    shift = SHIFT if coding.spec.unsigned and coding.spec.bits == 8 and not note.spec.unsigned else 0
    if (note.spec.unsigned, note.spec.axis is None) != (coding.spec.unsigned and not shift, coding.spec.axis is None):
        return coding
    ours, theirs = (np.asarray(spec.zero_point or 0).reshape(-1) + more for spec, more in
                    ((note.spec, shift), (coding.spec, 0)))
    if not np.array_equal(step_of(note.amax, note.spec).reshape(-1), scale.astype(np.float32).reshape(-1)):
        return coding
    return coding if np.any(ours != theirs) else Coding(note.spec, note.amax)
