"""nn.functional.clip and nn.Clip: category 07e."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import nn
from pytorch_quantization_c.tensor_quant import FunctionCtx

from .. import oracle
from .cases import Case, Outcome, attempt, cases, check


def module(case: Case, given: dict[str, Any]) -> Outcome:
    outcome = Outcome()
    layer = attempt(outcome, None, lambda: nn.Clip(**case.args))
    if outcome.error is None:
        outcome.outputs["output"] = attempt(outcome, None, lambda: layer(given["input"]))
    return outcome


def function(case: Case, given: dict[str, Any]) -> Outcome:
    outcome, ctx = Outcome(), FunctionCtx()
    arguments = given["input"], given["clip_value_min"], given["clip_value_max"]
    learn = bool(case.args.get("learn"))
    ctx.needs_input_grad = (True, learn, learn)
    outcome.outputs["output"] = attempt(outcome, None, lambda: nn.functional.clip(*arguments))
    nn.functional.ClipFunction.forward(ctx, *arguments)
    if case.call.endswith(":backward") or "grad_output" in given:
        grad = given.get("grad_output", np.ones_like(given["input"]))
        grads = attempt(outcome, None, lambda: nn.functional.ClipFunction.backward(ctx, grad))
        if outcome.error is None:
            names = ("grad:input", "grad:clip_value_min", "grad:clip_value_max")
            outcome.outputs.update({name: each for name, each in zip(names, grads, strict=True) if each is not None})
            assert learn == (grads[1] is not None) == (grads[2] is not None)
    return outcome


def works(case: Case, outcome: Outcome) -> None:
    oracle.same(outcome.outputs["output"], oracle.clip(case.given()["input"], case.args["clip_value_min"],
                                                       case.args["clip_value_max"]))


@pytest.mark.parametrize("case", cases("07e_clip"), ids=str)
def test_clip(case: Case) -> None:
    check(case, module if case.call == "nn.Clip" else function, {"D12": works})
