"""Frozen models: same answers, a quarter of the size, and they travel."""
import copy
import pickle

import numpy as np
import pytest

from pytorch_quantization_c import float_nn, integer, nn, quant_modules
from pytorch_quantization_c._core.safetensors import load_file, save_file
from pytorch_quantization_c.float_nn import Parameter

KEEP = pytest.mark.parametrize("keep_float", [True, False])


def network(rng, scale=1.0):
    model = float_nn.Sequential(
        nn.QuantConv2d(3, 40, 3, padding=1), float_nn.ReLU(), nn.QuantConvTranspose2d(40, 20, 2, stride=2),
        nn.QuantConv2d(20, 40, 3, groups=2, bias=False), float_nn.Flatten(), nn.QuantLinear(40 * 10 * 14, 10))
    for parameter in model.parameters():
        parameter[...] = rng.standard_normal(parameter.shape) * scale
    return model


def image(rng):
    return rng.standard_normal((2, 3, 6, 8)).astype(np.float32)


@KEEP
def test_freezing_changes_no_answer(keep_float, rng):
    model, x = network(rng), image(rng)
    before = model(x)
    with integer.float_only():
        floats = model(x)
    assert quant_modules.freeze(model, keep_float) is model
    np.testing.assert_array_equal(model(x), before)
    assert {layer.execution for layer in (model[0], model[2], model[3], model[5])} == {"int8"}
    with integer.float_only():
        np.testing.assert_array_equal(model(x), floats)
    quant_modules.freeze(model, keep_float)
    np.testing.assert_array_equal(model(x), before)


@KEEP
def test_the_arrays_are_read_only_copies(keep_float, rng):
    model, x = network(rng), image(rng)
    outside = model[5].weight
    quant_modules.freeze(model, keep_float)
    before = model(x)
    outside += 1
    np.testing.assert_array_equal(model(x), before)
    with pytest.raises(ValueError, match="read-only"):
        model[5].bias[0] = 1
    if keep_float:
        with pytest.raises(ValueError, match="read-only"):
            model[5].weight[0] = 1
        with pytest.raises(RuntimeError, match="read-only"):
            model.load_state_dict(network(rng).state_dict())
    else:
        assert model[5].weight is None
        values = model.state_dict()["5._integer_weight"]
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 1
    np.testing.assert_array_equal(model(x), before)


def test_another_weight_is_followed(rng):
    model, x = network(rng), image(rng)
    quant_modules.freeze(model)
    before = model(x)
    model[5].weight = Parameter(rng.standard_normal(model[5].weight.shape).astype(np.float32))
    assert not np.array_equal(model(x), before)
    layer = quant_modules.freeze(nn.QuantLinear(8, 4))
    y = layer(np.ones((1, 8), np.float32))
    layer.weight.setflags(write=True)
    layer.weight[...] *= 2
    assert not np.array_equal(layer(np.ones((1, 8), np.float32)), y)


def test_the_weight_quantizer_is_not_asked_any_more(rng):
    layer, x = nn.QuantLinear(20, 5), rng.standard_normal((2, 20)).astype(np.float32)
    before = layer(x)
    quant_modules.freeze(layer)
    layer.weight_quantizer.num_bits = 3
    np.testing.assert_array_equal(layer(x), before)
    layer.input_quantizer.num_bits = 3
    assert not np.array_equal(layer(x), before)
    assert layer.execution == "int8"


@KEEP
@pytest.mark.parametrize("travel", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_and_pickles_stay_frozen(travel, keep_float, rng):
    model, x = network(rng), image(rng)
    quant_modules.freeze(model, keep_float)
    before = model(x)
    other = travel(model)
    np.testing.assert_array_equal(other(x), before)
    assert other[5]._engine.frozen is not model[5]._engine.frozen
    assert not other[5].bias.flags.writeable if keep_float else other[5].weight is None
    other[5].weight = Parameter(np.zeros((10, 40 * 10 * 14), np.float32))
    np.testing.assert_array_equal(other(x), np.tile(np.asarray(model[5].bias), (2, 1)))
    np.testing.assert_array_equal(model(x), before)


def test_the_size_is_a_quarter(rng, tmp_path):
    model = nn.QuantLinear(500, 400)
    full = len(pickle.dumps(model))
    quant_modules.freeze(model, keep_float=False)
    quant_modules.save_frozen(model, tmp_path / "model")
    assert len(pickle.dumps(model)) < 0.27 * full
    assert (tmp_path / "model").stat().st_size < 0.27 * full


def test_files(rng, tmp_path):
    model, x = network(rng), image(rng)
    for layer in (model[0], model[5]):
        layer.input_quantizer.amax = 3.0
    model[3].input_quantizer.num_bits = 6
    quant_modules.freeze(model, keep_float=False)
    before = model(x)
    quant_modules.save_frozen(model, tmp_path / "model")
    other = network(rng, 0.1)
    assert quant_modules.load_frozen(other, tmp_path / "model") is other
    np.testing.assert_array_equal(other(x), before)
    assert other[5].weight is None and other[3].input_quantizer.num_bits == 6
    for again in (other, quant_modules.freeze(network(rng, 0.1), keep_float=False)):
        quant_modules.load_frozen(again, tmp_path / "model")
        np.testing.assert_array_equal(again(x), before)
        assert not again[5].bias.flags.writeable


def test_a_file_that_is_refused_late_changes_nothing(rng, tmp_path):
    model, x = network(rng), image(rng)
    quant_modules.freeze(model, keep_float=False)
    quant_modules.save_frozen(model, tmp_path / "model")
    arrays, metadata = load_file(tmp_path / "model")
    arrays["5._integer_scale"] = -arrays["5._integer_scale"]  # of the last layer
    save_file(arrays, tmp_path / "model", metadata)
    for other in (network(rng, 0.1), quant_modules.freeze(network(rng, 0.1), keep_float=False)):
        before = other(x)
        with pytest.raises(RuntimeError, match="positive"):
            quant_modules.load_frozen(other, tmp_path / "model")
        np.testing.assert_array_equal(other(x), before)
    other = network(rng, 0.1)
    with pytest.raises(RuntimeError, match="positive"):
        quant_modules.load_frozen(other, tmp_path / "model")
    other[0].bias[...] = 3  # writeable as before
    assert other[0].weight is not None


def test_state_dictionaries(rng):
    model, x = network(rng), image(rng)
    quant_modules.freeze(model, keep_float=False)
    before = model(x)
    other = network(rng, 0.1)
    state = copy.deepcopy(model.state_dict())
    assert state["5._integer_weight"].dtype == np.int8 and "5.weight" not in state
    other.load_state_dict(state)
    np.testing.assert_array_equal(other(x), before)
    state["5._integer_weight"][...] = 0
    np.testing.assert_array_equal(other(x), before)


@pytest.mark.parametrize("change, text", [
    (lambda s: s.update({"_integer_weight": s["_integer_weight"][:1]}), "size mismatch"),
    (lambda s: s.update({"_integer_weight": s["_integer_weight"].astype(np.int16)}), "int8"),
    (lambda s: s.update({"_integer_scale": s["_integer_scale"][:3]}), "scale of shape"),
    (lambda s: s.update({"_integer_scale": -s["_integer_scale"]}), "positive"),
    (lambda s: s.pop("_integer_scale"), "scale of shape"),
    (lambda s: s.pop("_integer_weight"), "int8"),
])
def test_damaged_state_dictionaries(change, text, rng):
    layer, other, x = nn.QuantLinear(20, 5), nn.QuantLinear(20, 5), np.ones((1, 20), np.float32)
    before = other(x)
    quant_modules.freeze(layer, keep_float=False)
    state = layer.state_dict()
    bias = state.pop("bias")
    change(state)
    with pytest.raises(RuntimeError, match=text):
        other.load_state_dict(state | {"bias": bias * 0 + np.asarray(other.bias)})
    np.testing.assert_array_equal(other(x), before)


def test_files_of_other_models(rng, tmp_path):
    layer = quant_modules.freeze(nn.QuantLinear(20, 5), keep_float=False)
    quant_modules.save_frozen(layer, tmp_path / "layer")
    with pytest.raises(ValueError, match="Expected a file for the quantisers"):
        quant_modules.load_frozen(network(rng), tmp_path / "layer")
    with pytest.raises(RuntimeError, match="size mismatch"):
        quant_modules.load_frozen(nn.QuantLinear(20, 6), tmp_path / "layer")
    (tmp_path / "layer").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="safetensors"):
        quant_modules.load_frozen(layer, tmp_path / "layer")


def test_what_cannot_be_frozen(rng, tmp_path, caplog):
    model = network(rng)
    model[3].weight_quantizer.disable()
    quant_modules.freeze(model)
    assert "3 is not frozen: the weight quantiser is off." in caplog.text
    with pytest.raises(ValueError, match="Expected a model with quantised layers that can be frozen"):
        quant_modules.freeze(float_nn.Linear(3, 4))
    with pytest.raises(ValueError, match="Expected a model after freeze"):
        quant_modules.save_frozen(model, tmp_path / "model")


@KEEP
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-5), (np.float16, 1e-2)])
def test_other_types_of_floats(dtype, tolerance, keep_float, rng):
    model, x = network(rng, 0.1), image(rng)
    before = quant_modules.freeze(model, keep_float)(x)
    y = model.to(dtype)(x.astype(dtype))
    assert y.dtype == dtype and model[5].execution.startswith("float: ")
    np.testing.assert_allclose(y, before, rtol=tolerance, atol=tolerance * np.abs(before).max())
