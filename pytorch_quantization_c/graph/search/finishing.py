"""The last step of `quantize`: what runs on integers as it stands, and may be written to a file."""
from __future__ import annotations

import onnx_ir as ir

from ..files.bodies import give_bodies
from ..methods.split_inputs import split_inputs
from ..nodes import DOMAIN
from ..representation.naming import names_remembered

TARGET = f"{DOMAIN}.target"     # in the metadata: whom a model was quantised for
HERE = "here"


def finished(model: ir.Model) -> ir.Model:
    """The model, in place: inputs of more than 8 bits split where our programs run it, and functions of quantisers."""
    if model.metadata_props.get(TARGET) == HERE:
        with names_remembered():
            split_inputs(model)
    give_bodies(model)
    return model
