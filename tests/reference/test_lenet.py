"""A whole network, float and quantised, before and after calibration."""
from __future__ import annotations

import re
from typing import Any

import pytest

from pytorch_quantization_c import float_nn, integer, nn
from pytorch_quantization_c.float_nn import functional as F
from pytorch_quantization_c.model.calibrating import calibrating
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
    outcome.outputs.update(layer_by_layer(model, given["input"], case.wanted()))


def layer_by_layer(model: LeNet, x: Any, recorded: dict[str, Any]) -> dict[str, Any]:
    """What each layer gives for the recorded output of the one before.

    In a chain, the last digit of a layer, which depends on the order of its sums and so on the processor, may move a
    value of the next by one step of its quantiser.
    """
    outputs = {}
    for layer in ("conv1", "conv2", "fc1", "fc2"):
        name = f"output of {layer}"
        outputs[name] = getattr(model, layer)(x)
        x = recorded.get(name, outputs[name])
        if layer != "fc2":
            x = F.relu(F.max_pool2d(x, 2) if layer.startswith("conv") else x)
        if layer == "conv2":
            x = x.reshape(-1, 320)
    outputs["output"] = F.log_softmax(x, 1)
    return {name: output for name, output in outputs.items() if name in recorded}


def replay(case: Case, given: dict[str, Any]) -> Outcome:
    outcome = Outcome()
    attempt(outcome, None, lambda: perform(case, given, outcome))
    return outcome


@pytest.mark.parametrize("case", cases("lenet"), ids=str)
def test_lenet(case: Case) -> None:
    with integer.float_only():
        check(case, replay, {})
