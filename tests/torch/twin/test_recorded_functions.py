"""The functions of the twin give the original's recorded answers, gradients by autograd included."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c.torch import tensor_quant as tq
from pytorch_quantization_c.torch.nn.functional import clip
from pytorch_quantization_c.torch.nn.modules.clip import Clip
from pytorch_quantization_c.torch.utils import reduce_amax

from ...reference import test_clip as clip_cases
from ...reference import test_tensor_quant as function_cases
from ...reference.cases import DEVIATIONS, Case, Outcome, attempt, cases, check
from .recorded import arrays, tensors

ORDER = {"fake_affine_tensor_quant": ("inputs", "min_range", "max_range", "num_bits"),
         "scaled_e4m3": ("inputs", "amax", "E", "M")}
INTEGERS = ("inputs", "amax", "num_bits", "unsigned", "narrow_range")
DEFAULTS = {"num_bits": 8, "unsigned": False, "narrow_range": True, "amax": None, "E": 4, "M": 3}


def positional(case: Case, given: dict[str, Any]) -> list[Any]:
    """The arguments in the order of the function, which torch wants."""
    values = {**DEFAULTS, **case.args, **given}
    order = ORDER.get(function_cases.name_of(case), INTEGERS)
    last = max(i for i, name in enumerate(order) if name in case.args or name in given)
    return [values[name] for name in order[:last + 1]]


def forward(case: Case, given: dict[str, Any]) -> Outcome:
    outcome = Outcome()
    got = attempt(outcome, None, lambda: getattr(tq, function_cases.name_of(case))(*positional(case, tensors(given))))
    outcome.outputs = dict(zip(("outputs", "scale"), got if isinstance(got, tuple) else (got,), strict=False))
    return arrays(outcome)


def backward(case: Case, given: dict[str, Any]) -> Outcome:
    outcome, inputs = Outcome(), tensors(given)
    grad, x = inputs.pop("grad_outputs"), inputs["inputs"].requires_grad_()
    got = getattr(tq, function_cases.name_of(case))(*positional(case, inputs))
    got = got[0] if isinstance(got, tuple) else got
    attempt(outcome, None, lambda: got.backward(grad.to(got.dtype)))
    outcome.outputs = {"grad_inputs": x.grad}
    return arrays(outcome)


INTEGER_INPUTS = [case for case in cases("01_tensor_quant") if DEVIATIONS.get(case.id) == "integer inputs"]


@pytest.mark.parametrize("case", INTEGER_INPUTS, ids=str)
def test_integer_tensors_are_quantised_as_recorded(case: Case) -> None:
    np.testing.assert_array_equal(forward(case, case.given()).outputs["outputs"], case.wanted()["outputs"])


@pytest.mark.parametrize("case", [case for case in cases("01_tensor_quant") if case not in INTEGER_INPUTS], ids=str)
def test_integers(case: Case) -> None:
    formula = function_cases.formula
    check(case, forward, {"D14": function_cases.bits, "D15": formula, "D16": formula, "D17": formula, "D18": formula,
                          "D25": formula})


@pytest.mark.parametrize("case", cases("02_gradients"), ids=str)
def test_gradients(case: Case) -> None:
    check(case, backward, {})


@pytest.mark.parametrize("case", cases("03_affine_e4m3"), ids=str)
def test_affine_and_e4m3(case: Case) -> None:
    check(case, forward, {"D15": function_cases.affine_formula, "D25": function_cases.affine_formula})


def reduced(case: Case, given: dict[str, Any]) -> Outcome:
    outcome = Outcome()
    outcome.outputs["output"] = attempt(outcome, None, lambda: reduce_amax(**tensors(given), **case.args))
    return arrays(outcome)


@pytest.mark.parametrize("case", cases("04_reduce_amax"), ids=str)
def test_reduce_amax(case: Case) -> None:
    check(case, reduced, {})


def clipped(case: Case, given: dict[str, Any]) -> Outcome:
    outcome, inputs = Outcome(), tensors(given)
    grad = inputs.pop("grad_output", None)
    x = inputs["input"].requires_grad_() if "input" in inputs else None

    def perform() -> None:
        if case.call == "nn.Clip":
            layer = Clip(**case.args)
            learnt: Any = {f"grad:{name}": each for name, each in layer.named_parameters()}
            output = None if x is None else layer(x)
        else:
            ends = [inputs[f"clip_value_{end}"].requires_grad_(bool(case.args.get("learn"))) for end in ("min", "max")]
            learnt = {f"grad:clip_value_{end}": each for end, each in zip(("min", "max"), ends, strict=True)}
            output = clip(x, *ends)
        if output is not None:
            outcome.outputs["output"] = output.detach()
            if grad is not None or case.call.endswith(":backward"):
                output.backward(output.detach() * 0 + 1 if grad is None else grad)
                outcome.outputs.update({"grad:input": x.grad, **{name: each.grad for name, each in learnt.items()}})

    attempt(outcome, None, perform)
    return arrays(outcome)


@pytest.mark.parametrize("case", cases("07e_clip"), ids=str)
def test_clip(case: Case) -> None:
    check(case, clipped, {"D12": clip_cases.works})
