"""nn.TensorQuantizer, step by step: category 05."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import nn
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from .. import oracle
from .cases import Case, Outcome, attempt, cases, check


def perform(quantizer: nn.TensorQuantizer, step: dict[str, Any], given: dict[str, Any], outcome: Outcome) -> None:
    do = step["do"]
    if do == "forward":
        outcome.outputs[step["y"]] = quantizer(given[step["x"]])
    elif do == "call":
        getattr(quantizer, step["method"])(*step["args"], **step["kwargs"])
    elif do == "set":
        setattr(quantizer, step["attr"], step["value"])
    elif do == "get":
        outcome.values[step["as"]] = outcome.outputs[step["as"]] = getattr(quantizer, step["attr"])
    elif do == "repr":
        outcome.values[step["as"]] = quantizer.extra_repr()
    else:
        assert do == "load_state"
        state = {name: np.array(value, np.float32) for name, value in step["state"].items()}
        quantizer.load_state_dict(state, strict=step["strict"])


def replay(case: Case, given: dict[str, Any]) -> Outcome:
    outcome, args = Outcome(), case.args
    quantizer = attempt(outcome, -1, lambda: nn.TensorQuantizer(QuantDescriptor(**args["desc"]), **args["ctor"]))
    for number, step in enumerate(args["steps"]):
        if outcome.error is None:
            attempt(outcome, number, lambda step=step: perform(quantizer, step, given, outcome))
    if outcome.error is None:
        state = quantizer.state_dict()
        outcome.values["extra_repr at the end"] = quantizer.extra_repr()
        outcome.values["state_dict"] = [[name, list(array.shape), f"torch.{array.dtype}"]
                                        for name, array in state.items()]
        outcome.outputs.update({f"state:{name}": array for name, array in state.items()})
    return outcome


def steps(case: Case, do: str) -> list[dict[str, Any]]:
    return [step for step in case.args["steps"] if step["do"] == do]


def dynamic(case: Case, outcome: Outcome) -> None:
    """Each input quantised with its own amax, along the axis of the descriptor."""
    desc, given = case.args["desc"], case.given()
    kept = None if "axis" not in desc else [desc["axis"]]
    assert outcome.error is None and steps(case, "forward")
    for step in steps(case, "forward"):
        x = given[step["x"]]
        wanted = oracle.integer(x, oracle.largest(x, kept), desc.get("num_bits", 8), False, False)[1]
        oracle.same(outcome.outputs[step["y"]], wanted)


def unshared(case: Case, outcome: Outcome) -> None:
    """amax is still that of the batch before it was loaded."""
    oracle.same(outcome.outputs["amax"], oracle.largest(case.given()["x2"]))


def refused(case: Case, outcome: Outcome) -> None:
    assert isinstance(outcome.error, ValueError) and outcome.at == -1 and "calib_method" in str(outcome.error)


def axis_refused(case: Case, outcome: Outcome) -> None:
    """D30: the message names the axis and the shape."""
    assert isinstance(outcome.error, ValueError) and outcome.at == 0
    assert f"axis {case.args['desc']['axis']}" in str(outcome.error) and "(4, 6, 5)" in str(outcome.error)


def step_of_e4m3(case: Case, outcome: Outcome) -> None:
    oracle.same(outcome.outputs["step_size"], np.float32(case.args["desc"]["amax"]) * np.float32(32 / 448))


@pytest.mark.parametrize("case", cases("05_tensor_quantizer"), ids=str)
def test_tensor_quantizer(case: Case) -> None:
    check(case, replay, {"D4": dynamic, "D5": unshared, "D6": refused, "D14": dynamic, "D15": dynamic,
                         "D21": step_of_e4m3, "D22": dynamic, "D30": axis_refused})
