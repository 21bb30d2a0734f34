"""A whole network, float and quantised, before and after calibration."""
from __future__ import annotations

import re
from typing import Any

import pytest

from pytorch_quantization_c import float_nn, integer, nn
from pytorch_quantization_c.calibration import calibrating
from pytorch_quantization_c.float_nn import functional as F
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from .cases import Case, Outcome, attempt, cases, check


class LeNet(float_nn.Module):
    def __init__(self, conv: Any, linear: Any, **descriptors: Any) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv(1, 10, 5, **descriptors), conv(10, 20, 5, **descriptors)
        self.fc1, self.fc2 = linear(320, 50, **descriptors), linear(50, 10, **descriptors)

    def forward(self, x: Any) -> Any:
        for conv in (self.conv1, self.conv2):
            x = F.relu(F.max_pool2d(conv(x), 2))
        return F.log_softmax(self.fc2(F.relu(self.fc1(x.reshape(-1, 320)))), 1)


def digits_aside(text: str) -> str:
    """Text without the last digits of its numbers, which depend on the order of a sum."""
    return re.sub(r"\d+\.\d+", lambda number: f"{float(number[0]):.2f}", text)


def perform(case: Case, given: dict[str, Any], outcome: Outcome) -> None:
    args = case.args
    kinds = (nn.QuantConv2d, nn.QuantLinear) if args["quantised"] else (float_nn.Conv2d, float_nn.Linear)
    descriptors = {f"quant_desc_{which}": QuantDescriptor(**desc) for which, desc in args.get("descs", {}).items()}
    model = LeNet(*kinds, **descriptors).eval()
    model.load_state_dict({name[6:]: array for name, array in given.items() if name.startswith("state:")})
    if "calibration" in args:
        how = {} if args["calibration"]["method"] == "max" else args["calibration"]
        with calibrating(model, load_amax=True, **how):
            for name, batch in given.items():
                if name.startswith("calibration"):
                    model(batch)
        state = model.state_dict()
        outcome.outputs.update({f"state:{name}": array for name, array in state.items()})
        outcome.values["state_dict"] = [[name, list(array.shape)] for name, array in state.items()]
        wanted = case.values.get("repr")
        outcome.values["repr"] = wanted if wanted and digits_aside(wanted) == digits_aside(repr(model)) else repr(model)
    outcome.outputs["output"] = model(given["input"])
    for name in case.entry["outputs"]:
        if name.startswith("output of"):
            outcome.outputs[name] = seen(model, given["input"], name.removeprefix("output of "))


def seen(model: LeNet, x: Any, layer: str) -> Any:
    """What a layer gives while the model runs."""
    found: list[Any] = []
    original = getattr(model, layer).forward

    def spy(*args: Any) -> Any:
        found.append(original(*args))
        return found[0]

    getattr(model, layer).forward = spy
    model(x)
    del getattr(model, layer).forward
    return found[0]


def replay(case: Case, given: dict[str, Any]) -> Outcome:
    outcome = Outcome()
    attempt(outcome, None, lambda: perform(case, given, outcome))
    return outcome


@pytest.mark.parametrize("case", cases("lenet"), ids=str)
def test_lenet(case: Case) -> None:
    with integer.float_only():  # a last digit of a layer may move a value of the next by one step
        check(case, replay, {})
