"""The deprecated names of modules that have moved go on working, without a warning."""
from __future__ import annotations

from importlib import import_module

import pytest

ALIASES = {
    "calibration": ("model.calibrating", ["calibrating"]),
    "layer_sensitivity": ("model.sensitivity", ["Sensitivity", "SensitivityRow", "sensitivity"]),
    "quant_state": ("model.state_file", ["LoadedQuantState", "load_quant_state", "save_quant_state"]),
    "summary": ("model.summary", ["QuantSummary", "QuantizerRow", "quant_summary"]),
    "integer.frozen": ("model.freeze", ["freeze", "load_frozen", "save_frozen"]),
}


@pytest.mark.parametrize("old", ALIASES)
def test_the_old_module_has_the_very_objects_of_the_new_one(old: str) -> None:
    new, names = ALIASES[old]
    before, after = (import_module(f"pytorch_quantization_c.{name}") for name in (old, new))
    assert set(names) <= set(before.__all__) and all(getattr(before, name) is getattr(after, name) for name in names)
    assert "Deprecated" in before.__doc__


def test_named_quantizers_is_still_found_in_summary() -> None:
    from pytorch_quantization_c.model.quantizers import named_quantizers
    from pytorch_quantization_c.summary import named_quantizers as before

    assert before is named_quantizers
