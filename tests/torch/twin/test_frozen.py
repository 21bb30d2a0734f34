"""Frozen models of the twin: the NumPy package's engine, so the same answers, the same files, either way."""
from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrizations, prune

import pytorch_quantization_c as array_pq
import pytorch_quantization_c.torch as pq
from pytorch_quantization_c._core.safetensors import load_file, save_file
from pytorch_quantization_c.integer import float_only
from pytorch_quantization_c.torch import nn

KEEP = pytest.mark.parametrize("keep_float", [True, False])
X = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _no_gradients() -> Any:
    with torch.no_grad():
        yield


def network(scale: float = 1.0) -> Any:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        nn.QuantConv2d(3, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
        nn.QuantConvTranspose2d(8, 4, 2, stride=2), torch.nn.Flatten(), nn.QuantLinear(4 * 12 * 12, 5)).eval()
    for parameter in model.parameters():
        parameter.mul_(scale)
    with pq.calibrating(model, load_amax=True):
        model(X)
    return model


def saved(model: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def by_state(model: Any) -> Any:
    """By `torch.save(model.state_dict())`, into a model that is not frozen."""
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    other = network(0.1)
    other.load_state_dict(torch.load(buffer, weights_only=True), strict=True)
    return other


def executions(model: Any) -> set[str]:
    return {layer.execution for layer in model.modules() if hasattr(layer, "execution")}


@KEEP
def test_freezing_changes_no_answer(keep_float: bool) -> None:
    model = network()
    before = model(X)
    with float_only():
        floats = model(X)
    assert pq.freeze(model, keep_float) is model
    assert torch.equal(model(X), before) and executions(model) == {"int8"}
    with float_only():
        assert torch.equal(model(X), floats)
    assert torch.equal(pq.freeze(model, keep_float)(X), before)


@pytest.mark.parametrize("travel", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), saved],
                         ids=["deepcopy", "pickle", "torch.save"])
@KEEP
def test_copies_stay_frozen(travel: Callable[[Any], Any], keep_float: bool) -> None:
    model = pq.freeze(network(), keep_float)
    before, other = model(X), travel(model)
    assert torch.equal(other(X), before) and executions(other) == {"int8"}
    other[5].weight = torch.nn.Parameter(torch.zeros(5, 576))
    assert torch.equal(other(X), model[5].bias.expand(2, 5)) and torch.equal(model(X), before)


def test_state_dictionaries_hold_the_integers_and_load_strictly() -> None:
    model = pq.freeze(network(), keep_float=False)
    state = model.state_dict()
    weight, amax = network()[5].weight, network()[5].weight_quantizer.amax
    wanted = torch.clamp(torch.round(weight * (127 / amax)), -127, 127).to(torch.int8)
    assert torch.equal(state["5._integer_weight"], wanted) and "5.weight" not in state
    other = by_state(model)
    assert torch.equal(other(X), model(X)) and other[5].weight is None
    state["5._integer_weight"].zero_()
    assert torch.equal(other(X), model(X))


@pytest.mark.parametrize(("change", "text"), [
    (lambda s: s.update(_integer_weight=s["_integer_weight"][:1]), "size mismatch"),
    (lambda s: s.update(_integer_weight=s["_integer_weight"].short()), "int8"),
    (lambda s: s.update(_integer_weight=s["_integer_weight"].tolist()), "int8"),
    (lambda s: s.update(_integer_scale=s["_integer_scale"][:3]), "scale of shape"),
    (lambda s: s.update(_integer_scale=-s["_integer_scale"]), "positive"),
    (lambda s: s.pop("_integer_scale"), "scale of shape"),
    (lambda s: s.pop("_integer_weight"), "int8"),
], ids=["shape", "type", "list", "scales", "negative", "no scale", "no weight"])
def test_damaged_state_dictionaries(change: Callable[[Any], None], text: str) -> None:
    state = dict(pq.freeze(nn.QuantLinear(20, 5), keep_float=False).state_dict())
    other, x = nn.QuantLinear(20, 5), torch.ones(1, 20)
    before = other(x)
    change(state)
    with pytest.raises(RuntimeError, match=text):
        other.load_state_dict(state | {"bias": other.bias})
    assert torch.equal(other(x), before)


def test_a_float_weight_that_is_changed_in_place_is_noticed() -> None:
    model, same = pq.freeze(network()), network()
    weight = model[5].weight
    assert not weight.requires_grad and not model[5].bias.requires_grad
    assert torch.equal(model(X), same(X))
    for layer in (model[5], same[5]):
        layer.weight[0, 0] += 1
    assert torch.equal(model(X), same(X)) and model[5].execution == "int8"
    with float_only():
        assert torch.equal(model(X), same(X))
    model = pq.freeze(network())
    model.load_state_dict(network(0.5).state_dict())
    assert torch.equal(model(X), network(0.5)(X))


def test_what_was_outside_before_is_not_frozen_with_it() -> None:
    model = network()
    outside = model[5].weight
    before = pq.freeze(model)(X)
    outside += 1
    assert torch.equal(model(X), before)


def test_the_weight_quantizer_is_not_asked_any_more() -> None:
    layer, x = nn.QuantLinear(20, 5), torch.ones(2, 20)
    before = pq.freeze(layer)(x)
    layer.weight_quantizer.num_bits = 3
    assert torch.equal(layer(x), before)


@pytest.mark.parametrize("compute", [
    lambda layer: prune.l1_unstructured(layer, "weight", 0.5), lambda layer: parametrizations.weight_norm(layer),
    lambda layer: parametrizations.orthogonal(layer)], ids=["pruned", "weight_norm", "orthogonal"])
@KEEP
def test_weights_that_are_computed_are_refused(compute: Callable[[Any], Any], keep_float: bool, tmp_path: Path) -> None:
    layer, x = nn.QuantLinear(8, 8), torch.ones(1, 8)
    pq.save_frozen(pq.freeze(nn.QuantLinear(8, 8), keep_float=False), tmp_path / "file")
    compute(layer)
    before = layer(x)
    with pytest.raises(ValueError, match="computed, by pruning or a parametrization: make it a parameter first"):
        pq.freeze(layer, keep_float)
    with pytest.raises(RuntimeError, match="computed, by pruning or a parametrization"):
        pq.load_frozen(layer, tmp_path / "file")
    assert torch.equal(layer(x), before)


def test_a_pruned_weight_made_permanent_is_frozen() -> None:
    layer, x = nn.QuantLinear(8, 8), torch.ones(1, 8)
    prune.l1_unstructured(layer, "weight", 0.5)
    before = layer(x)
    prune.remove(layer, "weight")
    assert torch.equal(pq.freeze(layer, keep_float=False)(x), before) and layer.execution == "int8"


@pytest.mark.parametrize(("change", "text"), [
    (lambda layer: layer.half(), "the weight is float16"),
    (lambda layer: layer.to("meta"), "no dense tensor on the CPU"),
    (lambda layer: layer.weight_quantizer.disable(), "the weight quantiser is off")], ids=["half", "meta", "off"])
def test_what_cannot_be_frozen(change: Callable[[Any], Any], text: str) -> None:
    layer = nn.QuantLinear(4, 3)
    change(layer)
    with pytest.raises(ValueError, match=text):
        pq.freeze(layer)
    assert layer.weight is not None and layer.weight.requires_grad


def test_files_go_from_either_package_to_either(tmp_path: Path) -> None:
    model = pq.freeze(network(), keep_float=False)
    before, arrays = model(X), pq.to_numpy(network())
    assert pq.save_frozen is array_pq.save_frozen and pq.load_frozen is array_pq.load_frozen
    pq.save_frozen(model, tmp_path / "torch")
    array_pq.load_frozen(arrays, tmp_path / "torch")
    np.testing.assert_array_equal(arrays(X.numpy()), before.numpy())
    assert executions(arrays) == {"int8"} and arrays[5].weight is None
    array_pq.save_frozen(arrays, tmp_path / "numpy")
    assert (tmp_path / "numpy").read_bytes() == (tmp_path / "torch").read_bytes()
    for other in (network(0.1), pq.freeze(network(0.1)), pq.freeze(network(0.1), keep_float=False)):
        assert pq.load_frozen(other, tmp_path / "numpy") is other
        assert torch.equal(other(X), before) and executions(other) == {"int8"}


def test_a_file_that_is_refused_late_changes_nothing(tmp_path: Path) -> None:
    pq.save_frozen(pq.freeze(network(), keep_float=False), tmp_path / "file")
    arrays, metadata = load_file(tmp_path / "file")
    arrays["5._integer_scale"] = -arrays["5._integer_scale"]  # of the last layer
    save_file(arrays, tmp_path / "file", metadata)
    for other in (network(0.1), pq.freeze(network(0.1), keep_float=False)):
        before, state = other(X), {name: value.clone() for name, value in other.state_dict().items()}
        with pytest.raises(RuntimeError, match="positive"):
            pq.load_frozen(other, tmp_path / "file")
        assert torch.equal(other(X), before)
        assert all(torch.equal(value, state[name]) for name, value in other.state_dict().items())


def test_files_of_other_models(tmp_path: Path) -> None:
    pq.save_frozen(pq.freeze(nn.QuantLinear(20, 5), keep_float=False), tmp_path / "layer")
    with pytest.raises(ValueError, match="Expected a file for the quantisers"):
        pq.load_frozen(network(), tmp_path / "layer")
    with pytest.raises(RuntimeError, match="size mismatch"):
        pq.load_frozen(nn.QuantLinear(20, 6), tmp_path / "layer")
    with pytest.raises(ValueError, match="got none: call pq.replace"):
        pq.load_frozen(torch.nn.Linear(20, 5), tmp_path / "layer")
    for model in (torch.nn.Linear(3, 2), network()):
        with pytest.raises(ValueError, match="Expected a model after freeze"):
            pq.save_frozen(model, tmp_path / "other")


@KEEP
def test_frozen_models_go_to_numpy_and_back(keep_float: bool) -> None:
    model, wanted = pq.freeze(network(), keep_float), pq.to_numpy(network())(X.numpy())
    there = pq.to_numpy(model)
    np.testing.assert_array_equal(there(X.numpy()), wanted)
    assert (there[5].weight is not None) == keep_float
    assert not there[5].bias.flags.writeable
    assert torch.equal(pq.from_numpy(there)(X), model(X))


@KEEP
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-5), (torch.float16, 1e-2), (torch.bfloat16, 0.1)])
def test_other_types_of_floats(dtype: torch.dtype, tolerance: float, keep_float: bool) -> None:
    model = pq.freeze(network(), keep_float)
    before = model(X)
    y = model.to(dtype)(X.to(dtype))
    assert y.dtype == dtype and model[5].execution.startswith("float: ")
    torch.testing.assert_close(y.float(), before, rtol=tolerance, atol=tolerance * float(before.abs().max()))


@KEEP
def test_gradients_of_inputs_pass_a_frozen_layer(keep_float: bool) -> None:
    layer, x = nn.QuantLinear(8, 3), torch.linspace(-1, 1, 8).reshape(1, 8)
    weight = layer.weight_quantizer(layer.weight).sum(0, keepdim=True)
    pq.freeze(layer, keep_float)
    with torch.enable_grad():
        layer(x.requires_grad_()).sum().backward()
    torch.testing.assert_close(x.grad, weight)


@pytest.mark.filterwarnings("ignore:`torch.jit.trace:DeprecationWarning")
@KEEP
def test_frozen_layers_in_attention_and_programs(keep_float: bool) -> None:
    torch.manual_seed(0)
    model = pq.replace(torch.nn.TransformerEncoder(
        torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 1), exclude="*.self_attn").eval()
    x = torch.randn(2, 5, 16)
    with pq.calibrating(model, load_amax=True):
        model(x)
    before = model(x)
    pq.freeze(model, keep_float)
    assert torch.equal(model(x), before)
    torch.testing.assert_close(torch.export.export(model, (x,)).module()(x), before)
    torch.testing.assert_close(torch.jit.trace(model, (x,))(x), before)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dynamo", [False, True] if find_spec("onnxscript") else [False])
def test_export_to_onnx_needs_the_float_weight(dynamo: bool) -> None:
    layer, x = pq.replace(torch.nn.Linear(8, 3)), torch.randn(2, 8)
    with pq.calibrating(layer, load_amax=True):
        layer(x)
    pq.freeze(layer, keep_float=False)
    with pytest.raises(Exception, match="") as caught, pq.enable_onnx_export():
        torch.onnx.export(layer, (x,), io.BytesIO(), dynamo=dynamo, verbose=False)
    errors: list[Any] = [caught.value]
    while errors[-1] is not None:
        errors.append(errors[-1].__cause__ or errors[-1].__context__)
    assert any("keep_float=False: export the model before that" in str(each) for each in errors)
