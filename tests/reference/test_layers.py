"""The quantised layers: categories 07a to 07d."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import nn
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from .. import oracle
from .cases import Case, Outcome, array_problem, attempt, cases, check


def descriptors(args: dict[str, Any]) -> dict[str, QuantDescriptor]:
    return {f"quant_desc_{which}": QuantDescriptor(**desc) for which, desc in args["descs"].items()}


def set_up(layer: Any, case: Case, given: dict[str, Any]) -> None:
    layer.train(case.args["training"])
    for step in case.args["setup"]:
        quantizer = getattr(layer, step["on"])
        if "call" in step:
            getattr(quantizer, step["call"])()
        else:
            setattr(quantizer, step["set"], step["value"])
    layer.load_state_dict({name[6:]: array for name, array in given.items() if name.startswith("state:")})


def run(layer: Any, case: Case, given: dict[str, Any], outcome: Outcome) -> None:
    set_up(layer, case, given)
    hidden = [(given["h0"], given["c0"])] if "h0" in given else []
    got = layer(given["input"], *hidden, **case.args["forward"])
    if case.call == "nn.QuantLSTM":
        outcome.outputs.update(output=got[0], h=got[1][0], c=got[1][1])
    else:
        names = ("h", "c") if case.call == "nn.QuantLSTMCell" else ("output", "indices")
        outcome.outputs.update(zip(names, got if isinstance(got, tuple) else (got,), strict=False))
    if "quant_input" in case.entry["outputs"]:
        outcome.outputs["quant_input"] = layer.input_quantizer(given["input"])
    if "quant_weight" in case.entry["outputs"]:
        outcome.outputs["quant_weight"] = layer.weight_quantizer(layer.weight)
    outcome.outputs.update({"after:" + name: array for name, array in layer.state_dict().items() if "running" in name})


def replay(case: Case, given: dict[str, Any]) -> Outcome:
    outcome, make = Outcome(), getattr(nn, case.call.removeprefix("nn."))
    layer = attempt(outcome, "construction", lambda: make(**case.args["ctor"], **descriptors(case.args)))
    if outcome.error is None:
        attempt(outcome, "forward", lambda: run(layer, case, given, outcome))
    return outcome


def padded_as_a_float_layer(case: Case, outcome: Outcome) -> None:
    """D11: quantise, pad in the layer's mode, convolve."""
    ctor, given = case.args["ctor"], case.given()
    weight = given["state:weight"]
    x = oracle.integer(given["input"], oracle.largest(given["input"]), narrow_range=False)[1]
    w = oracle.integer(weight, oracle.largest(weight, [0]), narrow_range=False)[1]
    sides = [((k - 1) // 2, k // 2) if ctor["padding"] == "same" else (ctor["padding"],) * 2 for k in weight.shape[2:]]
    mode = {"zeros": "constant", "circular": "wrap", "reflect": "reflect", "replicate": "edge"}
    padded = np.pad(x, [(0, 0), (0, 0), *sides], mode[ctor.get("padding_mode", "zeros")])
    wanted = oracle.convolve(padded, w, given["state:bias"])
    assert outcome.error is None and array_problem(wanted, outcome.outputs["output"], exact=False) is None


def projected(case: Case, outcome: Outcome) -> None:
    """D34: the layer is made, and lacks but a state that nobody has recorded."""
    assert case.args["ctor"]["proj_size"] == 2 and outcome.at == "forward" and "weight_hr_l0" in str(outcome.error)


ALL = [case for category in ("07a_linear", "07b_conv", "07c_pooling_norm", "07d_lstm") for case in cases(category)]


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.id)
def test_layers(case: Case) -> None:
    check(case, replay, {"D11": padded_as_a_float_layer, "D34": projected})
