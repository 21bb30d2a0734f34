"""Integer quantisation, its gradients, affine and E4M3: categories 01 to 03."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import tensor_quant as tq

from .. import oracle
from .cases import Case, Outcome, attempt, cases, check

FUNCTIONS: dict[str, Any] = {
    "tensor_quant": tq.TensorQuantFunction, "fake_tensor_quant": tq.FakeTensorQuantFunction,
    "legacy_fake_tensor_quant": tq.LegacyFakeTensorQuantFunction,
    "fake_affine_tensor_quant": tq.FakeAffineTensorQuantFunction, "scaled_e4m3": tq.ScaledE4M3Function}


def name_of(case: Case) -> str:
    return case.call.split(".")[1].split(":")[0]


def forward(case: Case, given: dict[str, Any]) -> Outcome:
    outcome = Outcome()
    got = attempt(outcome, None, lambda: getattr(tq, name_of(case))(**given, **case.args))
    outcome.outputs = dict(zip(("outputs", "scale"), got if isinstance(got, tuple) else (got,), strict=False))
    return outcome


def backward(case: Case, given: dict[str, Any]) -> Outcome:
    outcome, cls, ctx = Outcome(), FUNCTIONS[name_of(case)], tq.FunctionCtx()
    grad = given.pop("grad_outputs")
    output = cls.forward(ctx, **given, **case.args)
    grads = (grad, np.zeros_like(output[1])) if isinstance(output, tuple) else (grad,)
    got = attempt(outcome, None, lambda: cls.backward(ctx, *grads))
    outcome.outputs = {"grad_inputs": got[0]}
    assert got[1:] == (None,) * (len(got) - 1)
    return outcome


def formula(case: Case, outcome: Outcome) -> None:
    """All in float32, one rounding at the end, type of the inputs, every channel by itself."""
    given = case.given()
    whole, fake, scale = oracle.integer(given["inputs"], given.get("amax", case.args.get("amax")),
                                        *(case.args.get(key, default) for key, default in
                                          (("num_bits", 8), ("unsigned", False), ("narrow_range", True))))
    assert outcome.error is None
    if name_of(case) == "tensor_quant":
        oracle.same(outcome.outputs["outputs"], whole)
        oracle.same(outcome.outputs["scale"], scale)
    else:
        oracle.same(outcome.outputs["outputs"], fake)


def affine_formula(case: Case, outcome: Outcome) -> None:
    given = {**case.args, **case.given()}
    oracle.same(outcome.outputs["outputs"],
                oracle.affine(given["inputs"], given["min_range"], given["max_range"], given["num_bits"]))


def bits(case: Case, outcome: Outcome) -> None:
    if case.args["num_bits"] == 1:
        assert isinstance(outcome.error, ValueError) and "num_bits" in str(outcome.error)
        return
    assert case.args["num_bits"] == 0
    inputs = case.given()["inputs"]
    oracle.same(outcome.outputs["outputs"], np.zeros_like(inputs))


def integers(case: Case, outcome: Outcome) -> None:
    assert isinstance(outcome.error, TypeError) and "int64" in str(outcome.error)


@pytest.mark.parametrize("case", cases("01_tensor_quant"), ids=str)
def test_integers(case: Case) -> None:
    check(case, forward, {"D14": bits, "D15": formula, "D16": formula, "D17": formula, "D18": formula, "D25": formula,
                          "integer inputs": integers})


@pytest.mark.parametrize("case", cases("02_gradients"), ids=str)
def test_gradients(case: Case) -> None:
    check(case, backward, {})


@pytest.mark.parametrize("case", cases("03_affine_e4m3"), ids=str)
def test_affine_and_e4m3(case: Case) -> None:
    check(case, forward, {"D15": affine_formula, "D25": affine_formula})
