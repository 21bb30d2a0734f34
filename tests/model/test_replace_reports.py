"""What `replace` cannot take is said, and why a call of it turned nothing."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import pytorch_quantization_c as pq
from pytorch_quantization_c import float_nn, nn
from pytorch_quantization_c.tensor_quant import QuantDescriptor

FOUR = QuantDescriptor(4)


class Derived(float_nn.Linear):
    """May have another forward."""


class Hidden(float_nn.Module):
    """Keeps layers where no module finds them."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = [float_nn.Linear(2, 2)]
        self.by_name = {"a": float_nn.Conv1d(1, 1, 1)}
        self.last = float_nn.Linear(2, 2)


class Product(float_nn.Module):
    """A matrix of its own: no class that is known."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = float_nn.Parameter([[1.0, 2.0], [3.0, 4.0]])


class Failing(nn.QuantLinear):
    @classmethod
    def from_float(cls, module: Any, **kwargs: Any) -> Any:
        raise KeyError("no scale")


def stack(*layers: float_nn.Module) -> Any:
    return float_nn.Sequential(*layers)


def net() -> Any:
    return stack(stack(float_nn.Linear(2, 2), float_nn.ReLU()), float_nn.ReLU(), float_nn.Linear(2, 2))


def quantized(model: Any) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, nn.QuantLinear)]


def test_one_warning_names_what_cannot_be_taken_and_a_list_has_it() -> None:
    model = stack(Derived(2, 2), float_nn.Linear(2, 2), Hidden(), Product(), float_nn.Embedding(3, 2))
    with pytest.warns(UserWarning) as caught:
        pq.replace(model)
    assert len(caught) == 1 and caught[0].filename == __file__
    for text in ("0 (Derived): it derives from Linear", "2.heads[0] (Linear): it lies in a plain list", "and 1 more"):
        assert text in str(caught[0].message)
    listed = pq.unquantized_layers(model)
    assert [(layer.name, layer.kind) for layer in listed] == [
        ("0", "Derived"), ("3", "Product"), ("2.heads[0]", "Linear"), ("2.by_name['a']", "Conv1d")]
    assert "the weight `weight`" in listed[1].reason and "custom_quant_modules" in listed[0].reason


def test_what_the_caller_leaves_out_is_listed_and_not_warned_of() -> None:
    model = pq.replace(stack(Derived(2, 2), float_nn.Linear(2, 2), float_nn.Linear(2, 2)), exclude=["0", "2"])
    assert [layer.name for layer in pq.unquantized_layers(model)] == ["0", "2"]
    assert pq.unquantized_layers(pq.replace(net())) == []


def test_an_error_inside_replace_names_the_layer() -> None:
    model = net()
    with pytest.raises(KeyError, match=r"0\.0 \(Linear\) cannot be quantised: 'no scale'"):
        pq.replace(model, custom_quant_modules=[(float_nn, "Linear", Failing)])
    assert quantized(model) == []


@pytest.mark.parametrize(("include", "wanted"), [
    ("0", ["0.0"]), (["0", "2"], ["0.0", "2"]), ("re:0", ["0.0"])], ids=str)
def test_the_name_of_a_container_means_the_layers_inside(include: Any, wanted: list[str]) -> None:
    assert quantized(pq.replace(net(), include)) == wanted
    assert quantized(pq.replace(stack(net(), float_nn.Linear(2, 2)), exclude="0")) == ["1"]


@pytest.mark.parametrize("include", ["1", "0.1", ["2", "1"], "re:0$"], ids=str)
def test_a_pattern_of_layers_that_cannot_be_taken_is_refused(include: Any) -> None:
    model = net()
    message = r"to match a layer that can be quantised, .* matches only .*layers that can be are: 0\.0, 2"
    with pytest.raises(ValueError, match=message):
        pq.replace(model, include)
    assert quantized(model) == []


@pytest.mark.parametrize(("model", "arguments", "message"), [
    (stack(float_nn.ReLU(), float_nn.MaxPool2d(2)), {}, r"none of a class .* \(it has MaxPool2d, ReLU\)"),
    (net(), {"include": "2", "exclude": "2"}, "`exclude` leaves out all .* '2'"),
    (stack(nn.QuantLinear(2, 2)), {"quant_desc_input": FOUR}, "'0', is quantised already and keeps its quantisers")],
    ids=["no layers", "all excluded", "all quantised"])
def test_a_call_that_turns_nothing_says_why(model: Any, arguments: Any, message: str) -> None:
    with pytest.warns(UserWarning, match="`replace` turned no layer: .*" + message):
        pq.replace(model, **arguments)


def test_other_descriptors_on_quantised_layers() -> None:
    model = pq.replace(net(), "2")
    with pytest.warns(UserWarning) as caught:
        pq.replace(model, ["0", "2"], quant_desc_weight=FOUR)
    assert len(caught) == 1 and "`include` '2' matches no float layer" in str(caught[0].message)
    assert model[2].weight_quantizer.num_bits == 8 and model[0][0].weight_quantizer.num_bits == 4


class Foreign:
    """Stands for a model of another package."""

    def __init_subclass__(cls, home: str) -> None:
        cls.__module__ = home


class ModelProto(Foreign, home="onnx.onnx_ml_pb2"):
    pass


@pytest.mark.parametrize(("model", "message"), [
    (ModelProto(), "got ModelProto, which is an ONNX model: .*graph.quantize"),
    ("net.onnx", "ONNX model"), (Path("net.onnx"), "ONNX model"), ("net.pt", "got str, which is a path"),
    ({"weight": 1}, "got dict, which is a mapping: .*load_state_dict"),
    (float_nn.Linear, "the class Linear: make one")],
    ids=["ModelProto", "str", "Path", "other path", "dict", "class"])
@pytest.mark.parametrize("function", [pq.replace, pq.quant_summary, pq.unquantized_layers, pq.freeze,
                                      lambda model: pq.calibrating(model).__enter__(),
                                      lambda model: pq.sensitivity(model, metric=float)])
def test_what_is_no_model_is_refused_with_what_to_do(function: Any, model: Any, message: str) -> None:
    with pytest.raises(TypeError, match="Expected `model` to be a module, .*" + message):
        function(model)


def test_a_descriptor_without_its_name() -> None:
    with pytest.raises(TypeError, match="name the argument, quant_desc_input=... or quant_desc_weight=..."):
        pq.replace(net(), FOUR)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="`exclude` .*: layers are chosen by their names"):
        pq.replace(net(), exclude=[float_nn.Linear])  # type: ignore[list-item]
