"""torch.jit.trace, torch.export and torch.compile of quantised models."""
from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import nn

import pytorch_quantization_c.torch as twin
from pytorch_quantization_c.torch import nn as quant_nn
from pytorch_quantization_c.torch.tensor_quant import QuantDescriptor

# Of torch.compile: its own step on an autograd.Function, functions in C, called as they are, its look at `.grad`.
pytestmark = pytest.mark.filterwarnings(
    "ignore:<class 'torch.autograd.function.Function'> should not be instantiated:DeprecationWarning",
    "ignore:Dynamo does not know how to trace the builtin `pytorch_quantization_c:UserWarning",
    "ignore:The .grad attribute of a Tensor that is not a leaf Tensor:UserWarning")

X = torch.randn(2, 3, 8, 8)


def model(calibrated: bool, **desc: Any) -> nn.Module:
    torch.manual_seed(0)
    made = nn.Sequential(quant_nn.QuantConv2d(3, 4, 3, quant_desc_input=QuantDescriptor(**desc)), nn.Flatten(),
                         quant_nn.QuantLinear(144, 5)).eval()
    if calibrated:
        with twin.calibrating(made, load_amax=True):
            made(X)
    return made


def traced(module: nn.Module, x: Any = X) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.trace(module, x, check_trace=False)


@pytest.mark.parametrize("desc", [{}, {"num_bits": (4, 3)}, {"axis": 1}, {"unsigned": True, "num_bits": 4}])
def test_a_trace_does_not_freeze_a_dynamic_range(desc: dict[str, Any]) -> None:
    x = X.abs()
    with pytest.raises(RuntimeError, match=r"range of quantiser '0\._input_quantizer' is dynamic.*freeze.*calibrat"):
        traced(model(False, **desc), x)


def test_a_trace_of_fixed_ranges_answers_as_the_model() -> None:
    made, other = model(True), torch.randn(2, 3, 8, 8) * 3
    assert torch.equal(traced(made)(other), made(other))
    for each in (made[0], made[2]):     # the range of a weight is a constant anyway
        del each.weight_quantizer._amax
    assert torch.equal(traced(made)(other), made(other))


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("desc", [{}, {"num_bits": (4, 3)}, {"axis": 1}])
def test_a_calibrated_model_is_exported_as_a_program(desc: dict[str, Any], strict: bool) -> None:
    made, other = model(True, **desc), torch.randn(2, 3, 8, 8) * 3
    program = torch.export.export(made, (X,), strict=strict)
    assert torch.allclose(program.module()(other), made(other), atol=1e-5)
    assert not torch.allclose(program.module()(other), nn.functional.linear(nn.functional.conv2d(
        other, made[0].weight, made[0].bias).flatten(1), made[2].weight, made[2].bias), atol=1e-3)


def test_a_program_with_dynamic_ranges_keeps_them_dynamic() -> None:
    made, other = model(False), torch.randn(2, 3, 8, 8) * 3
    program = torch.export.export(made, (X,))
    assert torch.allclose(program.module()(other), made(other), atol=1e-5)


@pytest.mark.parametrize("calibrated", [False, True])
def test_a_compiled_model_answers_as_the_model(calibrated: bool) -> None:
    made, other = model(calibrated), torch.randn(2, 3, 8, 8) * 3
    compiled = torch.compile(made, backend="eager")
    assert torch.allclose(compiled(other), made(other), atol=1e-5)
    with torch.no_grad():
        assert torch.allclose(compiled(other), made(other), atol=1e-5)
