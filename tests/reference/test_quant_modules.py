"""quant_modules, and the default descriptors of the layers: category 10."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import float_nn, nn, quant_modules
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from .cases import Case, Outcome, attempt, cases, check

NEIGHBOURS = {"QuantConv2d": "QuantConv1d", "QuantLinear": "QuantLSTM", "QuantMaxPool2d": "QuantMaxPool1d"}


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    quant_modules.deactivate()


def shown(name: str, arguments: list[Any], recorded: str) -> str:
    """The class that a name of float_nn makes, as the original writes it; a float class as it was recorded."""
    if not hasattr(float_nn, name):
        return "torch." + recorded.partition(".")[2]
    cls = type(getattr(float_nn, name)(*arguments))
    if getattr(nn, cls.__name__, None) is cls:
        return f"{cls.__module__}.{cls.__name__}".replace("pytorch_quantization_c", "pytorch_quantization")
    return recorded if recorded.startswith("torch.") else f"a float {cls.__name__}"


def play(case: Case, outcome: Outcome) -> None:
    constructors, outcome.values["scene"] = case.args["constructor_arguments"], []
    for act in case.values["scene"]:
        options = dict(act["kwargs"])
        if "custom_quant_modules" in options:
            options["custom_quant_modules"] = [(float_nn, name, getattr(nn, quantized))
                                               for name, quantized in options["custom_quant_modules"]]
        getattr(quant_modules, act["action"])(**options)
        classes = {name: shown(name, constructors[name], recorded) for name, recorded in act["classes"].items()}
        outcome.values["scene"].append(dict(act, raises=None, classes=classes))


def export_flag(outcome: Outcome) -> None:
    def refuses() -> bool:
        try:
            nn.TensorQuantizer()(np.ones(3, np.float32))
        except RuntimeError:
            return True
        return False

    outcome.values["before"] = refuses()
    with quant_modules.enable_onnx_export():
        outcome.values["inside"] = refuses()
    outcome.values["after"] = refuses()
    with pytest.raises(KeyError), quant_modules.enable_onnx_export():
        raise KeyError
    outcome.values["after an exception"] = refuses()


def defaults(name: str) -> dict[str, str]:
    cls = getattr(nn, name)
    found = {each: getattr(cls, each, None) for each in ("default_quant_desc_input", "default_quant_desc_weight")}
    return {name: str(descriptor) for name, descriptor in found.items() if descriptor is not None}


def set_defaults(case: Case, outcome: Outcome, patch: pytest.MonkeyPatch) -> None:
    name = case.call.split(".")[1].split(":")[0]
    cls, same = getattr(nn, name), []
    for which in ("input", "weight"):
        if not hasattr(cls, "set_default_quant_desc_" + which):
            continue
        patch.setattr(cls, "default_quant_desc_" + which, getattr(cls, "default_quant_desc_" + which))
        descriptor = QuantDescriptor(num_bits=case.args["num_bits"], name=which)
        setter = getattr(cls, "set_default_quant_desc_" + which)
        setter(descriptor)
        same.append(getattr(cls, "default_quant_desc_" + which) is descriptor)
        with pytest.raises(ValueError, match="QuantDescriptor"):
            setter("8")
        outcome.values[f"set {which} to a string"] = "ValueError"
    outcome.values.update({each: defaults(each) for each in (name, NEIGHBOURS[name])}, **{"is the very object": same})


def replay(case: Case, given: dict[str, Any]) -> Outcome:
    outcome = Outcome()
    if case.call == "quant_modules":
        attempt(outcome, None, lambda: play(case, outcome))
    elif case.call == "quant_modules.enable_onnx_export":
        attempt(outcome, None, lambda: export_flag(outcome))
    elif case.call.endswith(":defaults"):
        outcome.values.update(defaults(case.call.split(".")[1].split(":")[0]))
    else:
        with pytest.MonkeyPatch.context() as patch:
            attempt(outcome, None, lambda: set_defaults(case, outcome, patch))
    return outcome


def as_it_was(case: Case, outcome: Outcome) -> None:
    """D20: the flag is off after an exception; what an earlier call replaced does not come back with a later one."""
    if case.call == "quant_modules.enable_onnx_export":
        assert outcome.values == dict(case.values, **{"after an exception": False})
        return
    kept = case.values["scene"][2]["kwargs"]["float_module_list"]
    ours, recorded = outcome.values["scene"][2]["classes"], case.values["scene"][2]["classes"]
    assert kept and {name for name in ours if ours[name] != recorded[name]} == set(kept)
    assert all(ours[name] == f"a float {name}" for name in kept)


@pytest.mark.parametrize("case", cases("10_quant_modules"), ids=str)
def test_quant_modules(case: Case) -> None:
    check(case, replay, {"D20": as_it_was})
