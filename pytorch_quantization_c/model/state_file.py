"""The state of all quantisers of a model in one file: settings, ranges, and what the calibrators have collected.

The file is in the safetensors format. An array has the name that it has in the model's state dictionary
(`conv1._input_quantizer._amax`), what a calibrator holds is under `._calibrator`; settings are JSON in the metadata.
"""
from __future__ import annotations

import json
from typing import Any, NamedTuple

from .._core.errors import shown
from .._core.files import FilePath
from .._core.models import is_graph
from .._core.safetensors import load_file, save_file
from .codec import Arrays, adopt, damaged, describe, described_in, rebuild
from .file_kinds import QUANTIZERS, loader_of
from .quantizers import named_quantizers, quantizers_of

__all__ = ["LoadedQuantState", "load_quant_state", "save_quant_state"]

VERSION = "1"


class LoadedQuantState(NamedTuple):
    """Names of quantisers that the file lacks, and of those that the model lacks."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def save_quant_state(model: Any, path: FilePath) -> None:
    """Writes settings, ranges and collected statistics of all quantisers of `model`; weights are not written.

    Args:
        model: a module with quantisers, on NumPy or of the torch twin; either reads the other's files. Or a graph that
            `graph.quantize` returned, whose files graphs read.
        path: a file in the safetensors format; it appears whole or not at all.

    Raises:
        TypeError: a calibrator of your own holds something that is no plain data.
        OSError: the file cannot be written.
    """
    arrays: Arrays = {}
    if is_graph(model):
        from ..graph.files.state import described as described_graph

        described, arrays = described_graph(model)
    else:
        described = {name: describe(name, quantizer, arrays) for name, quantizer in named_quantizers(model)}
    save_file(arrays, path, {"format": QUANTIZERS, "version": VERSION, "quantizers": json.dumps(described)})


def load_quant_state(model: Any, path: FilePath, strict: bool = True) -> LoadedQuantState:
    """Restores the quantisers of `model` from a file, regardless of their current state.

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
    present = _names_of_graph(model) if is_graph(model) else quantizers_of(model)
    result = LoadedQuantState([name for name in present if name not in described],
                              [name for name in described if name not in present])
    if strict and any(result):
        raise ValueError(f"Expected a file for the same quantisers, got one without {result.missing_keys} "
                         f"and with {result.unexpected_keys}")
    if is_graph(model):
        from ..graph.files.state import restore

        restore(model, described, arrays)
        return result
    made = {name: rebuild(name, present[name], described[name], arrays) for name in present if name in described}
    for name, fresh in made.items():
        adopt(present[name], fresh)
    return result


def _names_of_graph(model: Any) -> dict[str, Any]:
    from ..graph.nodes import quantizers

    return {found.name: found for found in quantizers(model)}


def _read(metadata: dict[str, str]) -> dict[str, Any]:
    if metadata.get("format") != QUANTIZERS:
        raise damaged(f"its format is {shown(metadata.get('format'))}{loader_of(metadata)}")
    if metadata.get("version") != VERSION:
        raise damaged(f"its version is {shown(metadata.get('version'))}, and this library reads {VERSION!r}")
    return described_in(metadata)
