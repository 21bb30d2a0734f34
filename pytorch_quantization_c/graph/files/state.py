"""The quantisers of a graph in the form of quantiser state files: settings and ranges, by name."""
from __future__ import annotations

from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from ..._core.errors import shown
from ..nodes import QuantizerSpec, fake_quant, quantizers
from ..passes.editing import substitute

__all__ = ["described", "restore"]

KEY = "graph"       # marks a graph's quantiser, as opposed to a module's


def described(model: ir.Model) -> tuple[dict[str, dict[str, Any]], dict[str, NDArray[Any]]]:
    """Settings by the quantisers' names, and the arrays of their ranges; dynamic ones have none."""
    settings, arrays = {}, {}
    for found in quantizers(model):
        settings[found.name] = {KEY: found.spec.attributes()}
        if found.amax is not None:
            arrays[f"{found.name}._amax"] = found.amax
    return settings, arrays


def restore(model: ir.Model, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    """Gives the quantisers that both have a file's settings and ranges. ValueError, and no change, if one fails."""
    present = {found.name: found for found in quantizers(model)}
    made = []
    for name, found in present.items():
        if name not in settings:
            continue
        try:
            spec, amax = _spec(settings[name][KEY]), arrays.get(f"{name}._amax")
            fake_quant(ir.Graph([], [], nodes=[]), found.input, amax, spec, name)
        except (KeyError, TypeError, ValueError) as problem:
            raise ValueError(f"Expected a file of a graph's quantisers, but {name!r} cannot be made from it: "
                             f"{problem}") from None
        made.append((found, spec, amax))
    for found, spec, amax in made:
        model.graph.initializers.pop(f"{found.name}.amax", None)
        node = fake_quant(model.graph, found.input, amax, spec, found.name)
        node.metadata_props.update(found.node.metadata_props)
        substitute(found.node, node)


def _spec(attributes: Any) -> QuantizerSpec:
    if not isinstance(attributes, dict):
        raise TypeError(f"its settings are {shown(attributes)}")
    found: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value
                             for key, value in attributes.items()}
    found.update({key: bool(found[key]) for key in ("unsigned", "narrow", "two_sided") if key in found})
    return QuantizerSpec(**found)

