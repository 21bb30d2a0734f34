"""The metadata of a node that describe a quantiser."""
from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .spec import QuantizerSpec

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["METADATA", "NUMPY", "Coding", "Note", "hidden_quantizer", "note_of", "noted", "set_hidden_quantizer"]

METADATA = "pytorch_quantization_c.quantizer"  # in the metadata of a node: what the node cannot express
HIDDEN = "pytorch_quantization_c.hidden"  # of an LSTM or a GRU: how its state is quantised ahead of its product
NUMPY = "pytorch_quantization_c.numpy"  # of a node: NumPy's own function was traced, and computes it


class Coding(NamedTuple):
    """The spec and the range that a scale, a zero point and a type of codes amount to."""

    spec: QuantizerSpec
    amax: NDArray[np.float32]


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


def hidden_quantizer(node: Any) -> Coding | None:
    """How the hidden state of an LSTM or a GRU is quantised before it is multiplied; None if it stays float."""
    note = note_of(node.metadata_props.get(HIDDEN))
    return None if note is None or note.amax is None else Coding(note.spec, note.amax)


def set_hidden_quantizer(node: ir.Node, amax: float, spec: QuantizerSpec) -> None:
    """Has the hidden state quantised with this range; other runtimes, which do not know of it, keep it float."""
    node.metadata_props[HIDDEN] = noted(node.name or "", spec, np.asarray(amax, np.float32))
