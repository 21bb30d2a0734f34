"""Replacing float layers by quantised ones: in float_nn, and in a model."""
from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import pytorch_quantization_c as pq
from pytorch_quantization_c import float_nn, nn, quant_modules
from pytorch_quantization_c.tensor_quant import QuantDescriptor

TABLE = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "Linear", "LSTM",
         "LSTMCell", "AvgPool1d", "AvgPool2d", "AvgPool3d", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d",
         "AdaptiveAvgPool3d"]
FLOATS = {name: getattr(float_nn, name) for name in float_nn.__all__}


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    quant_modules.deactivate()
    assert replaced() == {}


def replaced() -> dict[str, Any]:
    return {name: getattr(float_nn, name) for name, cls in FLOATS.items() if getattr(float_nn, name) is not cls}


def everything_but(*names: str) -> dict[str, Any]:
    return {name: getattr(nn, "Quant" + name) for name in TABLE if name not in names}


def test_initialize_replaces_the_table_and_nothing_else() -> None:
    quant_modules.initialize()
    assert replaced() == everything_but()
    quant_modules.deactivate()
    assert replaced() == {}


def test_twice_is_the_same_as_once_with_the_second_arguments() -> None:
    quant_modules.initialize()
    quant_modules.initialize(["Linear"])
    assert replaced() == everything_but("Linear")
    quant_modules.initialize()
    quant_modules.initialize()
    assert replaced() == everything_but()


def test_threads_take_turns_and_lose_no_original() -> None:
    def work() -> None:
        for _ in range(200):
            quant_modules.initialize()
            with quant_modules.quantized(["Linear"]):
                pass
            quant_modules.deactivate()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        workers = [threading.Thread(target=work) for _ in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(before)
    quant_modules.deactivate()
    assert replaced() == {}


def test_names_and_triples() -> None:
    triples = [(float_nn, "MaxPool2d", nn.QuantMaxPool2d), [float_nn, "Linear", nn.QuantLinear]]
    quant_modules.initialize(["Linear", "LSTM", "ReLU"], triples)
    assert replaced() == everything_but("LSTM") | {"MaxPool2d": nn.QuantMaxPool2d}


@pytest.mark.parametrize(("names", "triples", "error", "message"), [
    ("Linear", None, TypeError, "`float_module_list` to be a list of names"),
    ([float_nn.Linear], None, TypeError, "list of names"),
    (None, [(float_nn, "Linear")], TypeError, "triples"),
    (None, [(float_nn, nn.QuantLinear, "Linear")], TypeError, "triples"),
    (None, [(float_nn, "Linnear", nn.QuantLinear)], AttributeError, "Linnear")], ids=str)
def test_wrong_arguments_change_nothing(names: Any, triples: Any, error: type[Exception], message: str) -> None:
    quant_modules.initialize(["Linear"])
    with pytest.raises(error, match=message):
        quant_modules.initialize(names, triples)
    assert replaced() == everything_but("Linear")


def test_block_restores_what_was_before_it_on_an_exception_too() -> None:
    with quant_modules.quantized(["LSTM"]):
        assert replaced() == everything_but("LSTM")
    assert replaced() == {}
    quant_modules.initialize(["Linear"])
    with pytest.raises(KeyError), quant_modules.quantized():
        assert replaced() == everything_but()
        raise KeyError
    assert replaced() == everything_but("Linear")
    quant_modules.deactivate()
    assert replaced() == {}


def test_models_made_in_the_block_are_quantised_and_stay_so() -> None:
    with pq.quantized():
        model = float_nn.Sequential(float_nn.Linear(3, 4), float_nn.ReLU(), float_nn.Linear(4, 2))
    assert [type(layer) for layer in model] == [nn.QuantLinear, float_nn.ReLU, nn.QuantLinear]
    assert model(np.ones((2, 3), np.float32)).shape == (2, 2)


def test_export_flag_nests() -> None:
    with quant_modules.enable_onnx_export():
        with quant_modules.enable_onnx_export():
            pass
        assert nn.TensorQuantizer._enable_onnx_export
    assert not nn.TensorQuantizer._enable_onnx_export


class Net(float_nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = float_nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular")
        self.body = float_nn.Sequential(float_nn.Conv2d(4, 4, 3), float_nn.ReLU(), float_nn.AvgPool2d(2))
        self.up = float_nn.ConvTranspose2d(4, 2, 2, stride=2)
        self.rnn = float_nn.LSTM(6, 3, num_layers=2, bidirectional=True, batch_first=True)
        self.head = float_nn.Linear(6, 5)
        self.tied = self.head

    def forward(self, x: Any) -> Any:
        y = self.up(self.body(self.stem(x)))
        y = y.reshape(len(y), -1, 6)
        return self.tied(self.rnn(y)[0][:, -1])


def kinds(model: float_nn.Module) -> dict[str, str]:
    names = {name: type(module).__name__ for name, module in model.named_modules(remove_duplicate=False)}
    return {name: kind for name, kind in names.items() if "quantizer" not in name}


def test_replace_keeps_weights_results_and_sharing(rng: np.random.Generator) -> None:
    float_nn.manual_seed(3)
    model = Net().eval()
    before, x = model.state_dict(), rng.normal(size=(2, 1, 8, 8)).astype(np.float32)
    wanted = model(x)
    assert quant_modules.replace(model) is model
    assert kinds(model) == {"": "Net", "stem": "QuantConv2d", "body": "Sequential", "body.0": "QuantConv2d",
                            "body.1": "ReLU", "body.2": "QuantAvgPool2d", "up": "QuantConvTranspose2d",
                            "rnn": "QuantLSTM", "head": "QuantLinear", "tied": "QuantLinear"}
    after = model.state_dict()
    assert list(after) == list(before) and model.tied is model.head
    assert all(np.shares_memory(after[name], array) for name, array in before.items())
    assert not any(module.training for module in model.modules())
    error = np.abs(model(x) - wanted).max()
    assert 0 < error < 0.05 * np.abs(wanted).max()
    for _, quantizer in model.named_modules():
        if isinstance(quantizer, nn.TensorQuantizer):
            quantizer.disable()
    np.testing.assert_allclose(model(x), wanted, rtol=1e-4, atol=1e-6)
    before_again = kinds(model)
    with pytest.warns(UserWarning, match="turned no layer: every layer that it could take, as .* is quantised already"):
        quant_modules.replace(model)
    assert kinds(model) == before_again


@pytest.mark.parametrize(("include", "exclude", "wanted"), [
    ("body.*", (), "body.0 body.2"),
    (["stem", "head"], (), "stem head tied"),
    ("*", ["body.*", "rnn", "tied"], "stem up head tied"),
    ("re:(stem|up)$", (), "stem up"),
    ("*", r"re:.*\d", "stem up rnn head tied"),
    ("re:bo", "body.2", "body.0")], ids=str)
def test_patterns(include: Any, exclude: Any, wanted: str) -> None:
    model = quant_modules.replace(Net(), include, exclude)
    assert {name for name, kind in kinds(model).items() if kind.startswith("Quant")} == set(wanted.split())


def test_descriptors_and_custom_classes() -> None:
    model = float_nn.Sequential(float_nn.Conv2d(1, 2, 1), float_nn.MaxPool2d(2))
    triples = [(float_nn, "MaxPool2d", nn.QuantMaxPool2d)]
    quant_modules.replace(model, custom_quant_modules=triples, quant_desc_input=QuantDescriptor(num_bits=4),
                          quant_desc_weight=QuantDescriptor(num_bits=6, axis=0))
    assert model[0].input_quantizer.num_bits == model[1].input_quantizer.num_bits == 4
    assert model[0].weight_quantizer.num_bits == 6


def test_a_layer_alone_and_while_float_nn_is_patched() -> None:
    layer = float_nn.Linear(2, 3)
    with quant_modules.quantized():
        quantised = quant_modules.replace(layer)
    assert type(quantised) is nn.QuantLinear and quantised.weight is layer.weight and type(layer) is FLOATS["Linear"]
    cell = float_nn.LSTMCell(2, 3, bias=False)
    assert quant_modules.replace(cell).weight_hh is cell.weight_hh


class Silent(float_nn.Linear):
    """A subclass may have another forward: it is not a float layer that is known."""


@pytest.mark.parametrize(("arguments", "error", "message"), [
    (dict(include="haed"), ValueError, "'haed' matches none of: , stem, body"),
    (dict(exclude=["head", "re:hx"]), ValueError, "`exclude` to match the name of a layer, 're:hx'"),
    (dict(include="re:("), ValueError, "regular expressions"),
    (dict(include=[3]), TypeError, "`include` to be a pattern"),
    (dict(quant_desc_bias=QuantDescriptor()), TypeError, "Unused keys: quant_desc_bias"),
    (dict(quant_desc_weight=QuantDescriptor(fake_quant=False)), ValueError, "Only fake quantization"),
    (dict(quant_desc_input=8), TypeError, "QuantDescriptor"),
    (dict(custom_quant_modules=[(float_nn, "ReLU", float_nn.ReLU6)]), TypeError, "ReLU6 to have a class method")],
    ids=str)
def test_wrong_replacements_change_nothing(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    model = Net()
    before = kinds(model)
    with pytest.raises(error, match=message):
        quant_modules.replace(model, **arguments)
    assert kinds(model) == before


def test_subclasses_of_float_layers_are_left_alone() -> None:
    model = float_nn.Sequential(Silent(2, 2), float_nn.Linear(2, 2))
    with pytest.warns(UserWarning, match=r"0 \(Silent\): it derives from Linear"):
        quant_modules.replace(model)
    assert [type(layer) for layer in model] == [Silent, nn.QuantLinear]


def test_a_list_of_names_is_wanted() -> None:
    with pytest.raises(TypeError, match="`float_module_list` to be a list of names of classes, got 3"):
        quant_modules.initialize(3)  # type: ignore[arg-type]


def test_functions_are_found_at_the_root() -> None:
    for name in ("initialize", "deactivate", "enable_onnx_export", "quantized", "replace", "unquantized_layers"):
        assert getattr(pq, name) is getattr(quant_modules, name) and name in dir(pq)
