"""The last step of `quantize`: what runs on integers as it stands, and may be written to a file."""
from __future__ import annotations

import warnings

import onnx_ir as ir

from ..files.bodies import give_bodies
from ..methods.halves import kept_whole, split_wide
from ..nodes import DOMAIN
from ..representation.naming import names_remembered

TARGET = f"{DOMAIN}.target"     # in the metadata: whom a model was quantised for
HERE = "here"


def finished(model: ir.Model) -> ir.Model:
    """The model, in place: operands of more than 8 bits split where our programs run it, quantisers with functions."""
    if model.metadata_props.get(TARGET) == HERE:
        with names_remembered():
            split_wide(model)
    give_bodies(model)
    return model


def warn_of_floats(model: ir.Model) -> ir.Model:
    """A warning that names the layers which 16 bits keep from integers; returns the model, `finished`."""
    reasons: dict[str, list[str]] = {}
    for name, why in (kept_whole(model) if model.metadata_props.get(TARGET) == HERE else {}).items():
        reasons.setdefault(why, []).append(repr(name))
    for why, names in reasons.items():
        warnings.warn(f"Layers with operands of more than 8 bits run in float, as {why}: {', '.join(names)}",
                      UserWarning, stacklevel=3)
    return model
