"""optim.helper: category 09."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from pytorch_quantization_c import float_nn, nn
from pytorch_quantization_c.optim import helper

from .cases import Case, Outcome, attempt, cases, check


def model_of(layers: list[tuple[str, str, dict[str, Any]]]) -> float_nn.Module:
    model = float_nn.Module()
    for name, cls, ctor in layers:
        setattr(model, name, getattr(nn, cls)(**ctor))
    return model


def names(model: float_nn.Module, parameters: Iterable[Any]) -> list[str]:
    known = {id(parameter): name for name, parameter in model.named_parameters()}
    return [known[id(parameter)] for parameter in parameters]


def perform(case: Case, given: dict[str, Any], outcome: Outcome) -> None:
    args, what = dict(case.args), case.call.rpartition(".")[2]
    model = model_of(args.pop("model"))
    if what == "match_parameters":
        outcome.values["names"] = names(model, helper.match_parameters(model, **args))
    elif what == "freeze_parameters":
        helper.freeze_parameters(model, **args)
        outcome.values["requires_grad"] = {name: each.requires_grad for name, each in model.named_parameters()}
    elif what == "group_parameters":
        groups = helper.group_parameters(model, **args)
        outcome.values["groups"] = [dict(group, params=names(model, group["params"])) for group in groups]
    else:
        model.load_state_dict({name[6:]: array for name, array in given.items()})
        for name, layer in model.named_children():
            if "weight_num_bits" in args:
                layer.weight_quantizer.num_bits = args["weight_num_bits"]
            if name in args.get("disabled", ()):
                layer.weight_quantizer.disable()
        helper.quant_weight_inplace(model)
        outcome.outputs.update({f"state:{name}": array for name, array in model.state_dict().items()})


def replay(case: Case, given: dict[str, Any]) -> Outcome:
    outcome = Outcome()
    attempt(outcome, None, lambda: perform(case, given, outcome))
    return outcome


@pytest.mark.parametrize("case", cases("09_optim_helper"), ids=str)
def test_optim_helper(case: Case) -> None:
    check(case, replay, {})
