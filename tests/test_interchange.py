"""Checkpoints of other projects: keys, types and values as those define them, read with the safetensors package."""
from __future__ import annotations

import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from pytorch_quantization_c import float_nn, freeze, improve, interchange, nn, tensor_quant
from pytorch_quantization_c.tensor_quant import QuantDescriptor

safetensors = pytest.importorskip("safetensors", reason="needs the package safetensors")
pytest.importorskip("safetensors.numpy")

KINDS = {"int8": tensor_quant.QUANT_DESC_8BIT_LINEAR_WEIGHT_PER_ROW,
         "int4": tensor_quant.QUANT_DESC_INT4_GROUPS_OF_32_WEIGHT, "fp8": tensor_quant.QUANT_DESC_FP8_PER_TENSOR,
         "nvfp4": tensor_quant.QUANT_DESC_NVFP4_WEIGHT}


def network(kind: str) -> Any:
    desc = QuantDescriptor(8, amax=2.5)
    return float_nn.Sequential(nn.QuantLinear(96, 8, quant_desc_input=desc, quant_desc_weight=KINDS[kind]),
                               float_nn.ReLU(), float_nn.Linear(8, 3))


def files(folder: Any, name: str) -> tuple[Any, Any]:
    types = {"I8": np.int8, "U8": np.uint8, "I32": np.int32, "I64": np.int64, "F32": np.float32,
             "F8_E4M3": ml_dtypes.float8_e4m3fn}
    read = safetensors.deserialize((folder / "model.safetensors").read_bytes())
    arrays = {key: np.frombuffer(each["data"], types[each["dtype"]]).reshape(each["shape"]) for key, each in read}
    return arrays, json.loads((folder / name).read_text())


def nibbles(packed: Any) -> Any:
    return np.stack([packed & 15, packed >> 4], -1).reshape(len(packed), -1)


FP4 = np.arange(16, dtype=np.uint8).view(ml_dtypes.float4_e2m1fn).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_compressed_tensors(kind: str, tmp_path: Any) -> None:
    model = network(kind)
    layer: Any = model[0]
    wanted = layer.weight_quantizer(layer.weight)
    interchange.save_compressed_tensors(model, tmp_path)
    arrays, config = files(tmp_path, "config.json")
    config = config["quantization_config"]
    assert config["quant_method"] == "compressed-tensors" and config["ignore"] == ["2"]
    assert config["format"] == {"int8": "int-quantized", "int4": "pack-quantized", "fp8": "float-quantized",
                                "nvfp4": "nvfp4-pack-quantized"}[kind]
    group = config["config_groups"]["group_0"]
    assert group["targets"] == ["Linear"] and group["weights"]["num_bits"] == (8 if "8" in kind else 4)
    scale = arrays["0.weight_scale"].astype(np.float32)
    if kind == "int8":
        assert arrays["0.weight"].dtype == np.int8 and scale.shape == (8, 1)
        got = arrays["0.weight"] * scale
    elif kind == "fp8":
        assert arrays["0.weight"].dtype == ml_dtypes.float8_e4m3fn and scale.shape == (1,)
        got = arrays["0.weight"].astype(np.float32) * scale
    elif kind == "int4":
        packed = arrays["0.weight_packed"]
        assert packed.dtype == np.int32 and packed.shape == (8, 12) and arrays["0.weight_shape"].tolist() == [8, 96]
        assert group["weights"]["group_size"] == 32 and scale.shape == (8, 3)
        codes = np.stack([(packed.astype(np.int64) >> 4 * i & 15) - 8 for i in range(8)], -1).reshape(8, 96)
        got = codes * np.repeat(scale, 32, 1)
    else:
        assert arrays["0.weight_scale"].dtype == ml_dtypes.float8_e4m3fn and scale.shape == (8, 6)
        whole = arrays["0.weight_global_scale"]
        np.testing.assert_allclose(whole, 448 * 6 / np.abs(layer.weight).max(), rtol=1e-6)
        got = FP4[nibbles(arrays["0.weight_packed"])] * np.repeat(scale, 16, 1) / whole
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(arrays["2.weight"], model[2].weight)
    assert ("0.input_scale" in arrays) == (kind != "nvfp4") and ("0.input_global_scale" in arrays) == (kind == "nvfp4")
    check_read(tmp_path, model, wanted)


def check_read(folder: Any, model: Any, wanted: Any) -> None:
    other = network("int8")
    found = interchange.load_checkpoint(folder, other)
    np.testing.assert_allclose(found["0.weight"], wanted, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(other[0].weight, found["0.weight"])
    np.testing.assert_array_equal(other[0].bias, model[0].bias)
    np.testing.assert_array_equal(other[2].weight, model[2].weight)


@pytest.mark.parametrize("kind", ["int8", "fp8", "nvfp4"])
def test_modelopt(kind: str, tmp_path: Any) -> None:
    model = network(kind)
    layer: Any = model[0]
    wanted = layer.weight_quantizer(layer.weight)
    interchange.save_modelopt(model, tmp_path)
    arrays, config = files(tmp_path, "hf_quant_config.json")
    assert config["quantization"]["quant_algo"] == {"int8": "W8A8_SQ_PER_CHANNEL", "fp8": "FP8", "nvfp4": "NVFP4"}[kind]
    assert config["quantization"]["exclude_modules"] == ["2"]
    scale = arrays["0.weight_scale"].astype(np.float32)
    if kind == "nvfp4":
        assert config["quantization"]["group_size"] == 16 and arrays["0.weight"].shape == (8, 48)
        np.testing.assert_allclose(arrays["0.weight_scale_2"], np.abs(layer.weight).max() / 2688, rtol=1e-6)
        got = FP4[nibbles(arrays["0.weight"])] * (np.repeat(scale, 16, 1) * arrays["0.weight_scale_2"])
        np.testing.assert_array_equal(got, wanted)
    else:
        got = arrays["0.weight"].astype(np.float32) * (scale[:, None] if kind == "int8" else scale)
        assert scale.shape == ((8,) if kind == "int8" else ())
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-9)
    bound = {"int8": 127, "fp8": 448, "nvfp4": 2688}[kind]
    np.testing.assert_allclose(arrays["0.input_scale"], 2.5 / bound, rtol=1e-6)
    check_read(tmp_path, model, wanted)


INPUTS: dict[str, tuple[Any, Any]] = {
    "fixed": (QuantDescriptor(8, amax=2.5), {"strategy": "tensor", "dynamic": False}),
    "dynamic": (QuantDescriptor(8), {"strategy": "tensor", "dynamic": True}),
    "rows": (QuantDescriptor(8, axis=0), {"strategy": "token", "dynamic": True}),
    "rows of sequences": (QuantDescriptor(8, axis=(0, 1)), {"strategy": "token", "dynamic": True}),
    "off": (None, None)}


def with_inputs(weight: str, *inputs: str) -> Any:
    layers = []
    for each in inputs:
        desc, _ = INPUTS[each]
        layers.append(nn.QuantLinear(32, 32, quant_desc_input=desc or QuantDescriptor(8),
                                     quant_desc_weight=KINDS[weight]))
        if desc is None:
            layers[-1].input_quantizer.disable()
    return float_nn.Sequential(*layers)


def groups_of(folder: Any) -> Any:
    return files(folder, "config.json")[1]["quantization_config"]["config_groups"]


@pytest.mark.parametrize("each", INPUTS)
@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_inputs_are_described(kind: str, each: str, tmp_path: Any) -> None:
    """What quantises the inputs, in the words of compressed-tensors: a reader would leave them floats otherwise."""
    interchange.save_compressed_tensors(with_inputs(kind, each), tmp_path)
    wanted = INPUTS[each][1]
    if wanted is not None:
        number = "int" if kind == "int8" else "float"
        wanted = {"num_bits": 8, "type": number, "symmetric": True, "group_size": None, **wanted}
    assert groups_of(tmp_path)["group_0"]["input_activations"] == wanted


def test_inputs_of_4_bit_weights(tmp_path: Any) -> None:
    token = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "group_size": None, "dynamic": True}
    for each, wanted in (("dynamic", None), ("rows", token)):
        interchange.save_compressed_tensors(with_inputs("int4", each), tmp_path)
        assert groups_of(tmp_path)["group_0"]["input_activations"] == wanted


def test_layers_with_other_inputs_are_groups_of_their_own(tmp_path: Any) -> None:
    interchange.save_compressed_tensors(with_inputs("int8", "rows", "fixed", "rows", "off"), tmp_path)
    groups = groups_of(tmp_path)
    assert [group["targets"] for group in groups.values()] == [["0", "2"], ["1"], ["3"]]
    strategies = [(group["input_activations"] or {}).get("strategy") for group in groups.values()]
    assert strategies == ["token", "tensor", None]
    assert set(interchange.load_checkpoint(tmp_path)) == {f"{i}.{key}" for i in range(4) for key in ("weight", "bias")}


@pytest.mark.parametrize("save", [interchange.save_compressed_tensors, interchange.save_modelopt])
@pytest.mark.parametrize("desc", [QuantDescriptor(8, zero_point=True), QuantDescriptor(8, scale_amax=0.9),
                                  QuantDescriptor(8, axis=1, amax=np.ones((1, 32), np.float32))], ids=repr)
def test_inputs_that_cannot_be_described_are_named(save: Any, desc: Any, tmp_path: Any) -> None:
    layer = nn.QuantLinear(32, 8, quant_desc_input=desc, quant_desc_weight=KINDS["int8"])
    with pytest.warns(UserWarning, match="does not say how the input of 0 is quantised"):
        save(float_nn.Sequential(layer), tmp_path)


@pytest.mark.parametrize("save, kind", [(save, kind) for save in (interchange.save_compressed_tensors,
                                                                    interchange.save_modelopt)
                                         for kind in ("int8", "fp8", "nvfp4")])
def test_fixed_ranges_of_inputs_are_read(save: Any, kind: str, tmp_path: Any) -> None:
    save(network(kind), tmp_path)
    other: Any = network(kind)
    other[0].input_quantizer.amax = 9.0
    bare: Any = float_nn.Sequential(nn.QuantLinear(96, 8), float_nn.ReLU(), float_nn.Linear(8, 3))
    factor: Any = float_nn.Sequential(nn.QuantLinear(96, 8, quant_desc_input=QuantDescriptor(8, scale_amax=0.5)),
                                      float_nn.ReLU(), float_nn.Linear(8, 3))
    shaped: Any = float_nn.Sequential(nn.QuantLinear(96, 8, quant_desc_input=QuantDescriptor(8, amax=[9.0])),
                                      float_nn.ReLU(), float_nn.Linear(8, 3))
    for model, wanted in ((other, 2.5), (bare, 2.5), (factor, 5.0), (shaped, [2.5])):
        interchange.load_checkpoint(tmp_path, model)
        np.testing.assert_allclose(model[0].input_quantizer.amax, wanted, rtol=1e-6)
        assert model[0].input_quantizer.amax.shape == np.shape(wanted)


@pytest.mark.parametrize("save, bits", [(interchange.save_compressed_tensors, 8), (interchange.save_modelopt, (4, 3))])
def test_fixed_ranges_of_inputs_of_4_bit_weights_are_read(save: Any, bits: Any, tmp_path: Any) -> None:
    save(awq(bits), tmp_path)
    other = awq(bits)
    other[0].input_quantizer.amax = 9.0
    interchange.load_checkpoint(tmp_path, other)
    np.testing.assert_allclose(other[0].input_quantizer.amax, 2.5, rtol=1e-6)


@pytest.mark.parametrize("change, wanted", [
    ({"num_bits": 8, "type": "float"}, 2.5 / 127 * 448), ({"num_bits": 8, "type": "int"}, 2.5),
    ({"num_bits": 8, "type": "int", "symmetric": False}, 9.0), ({"num_bits": [8], "type": "int"}, 9.0),
    ({"num_bits": 3, "type": "int"}, 9.0), ("int8", 9.0)])
def test_ranges_of_inputs_are_of_their_own_scheme(change: Any, wanted: float, tmp_path: Any) -> None:
    interchange.save_compressed_tensors(network("int4"), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["quantization_config"]["config_groups"]["group_0"]["input_activations"] = change
    (tmp_path / "config.json").write_text(json.dumps(config))
    other = network("int4")
    other[0].input_quantizer.amax = 9.0
    interchange.load_checkpoint(tmp_path, other)
    np.testing.assert_allclose(other[0].input_quantizer.amax, wanted, rtol=1e-6)


def test_ranges_of_inputs_with_zero_points_are_not_read(tmp_path: Any) -> None:
    """A step of (max - min) / 255 says nothing of a symmetric range without its zero point."""
    interchange.save_compressed_tensors(network("int8"), tmp_path)
    other = network("int8")
    for point, wanted in ((-128, 9.0), (0, 2.5)):
        rewritten(tmp_path, input_zero_point=np.array([point], np.int8))
        other[0].input_quantizer.amax = 9.0
        interchange.load_checkpoint(tmp_path, other)
        np.testing.assert_allclose(other[0].input_quantizer.amax, wanted, rtol=1e-6)


def awq(bits_of_input: Any) -> Any:
    layer = nn.QuantLinear(96, 8, quant_desc_input=QuantDescriptor(bits_of_input, amax=2.5),
                           quant_desc_weight=KINDS["int4"])
    return float_nn.Sequential(layer, float_nn.ReLU(), float_nn.Linear(8, 3))


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("bits_of_input", [8, (4, 3)])
def test_modelopt_weights_in_groups(bits_of_input: Any, scaled: bool, tmp_path: Any) -> None:
    """Model Optimizer's layout: (outputs / 2, inputs) bytes of two outputs each, scales of groups, two's complement."""
    model = awq(bits_of_input)
    layer: Any = model[0]
    factors = np.linspace(0.5, 2, 96, dtype=np.float32)
    if scaled:
        layer.input_quantizer.pre_quant_scale = factors
    wanted = layer.weight_quantizer(layer.weight)
    interchange.save_modelopt(model, tmp_path)
    arrays, config = files(tmp_path, "hf_quant_config.json")
    eight = bits_of_input != 8
    assert config["quantization"] == {
        "quant_algo": "W4A8_AWQ" if eight else "W4A16_AWQ", "kv_cache_quant_algo": None, "exclude_modules": ["2"],
        "group_size": 32, "has_zero_point": False, "pre_quant_scale": scaled}
    packed, scale = arrays["0.weight"], arrays["0.weight_scale"]
    assert packed.dtype == np.uint8 and packed.shape == (4, 96) and scale.shape == (8, 3) and scale.dtype == np.float32
    got = np.zeros((8, 96), np.float32)
    for row in range(4):
        for column in range(96):
            for half in range(2):
                code = int(packed[row, column]) >> 4 * half & 15
                got[2 * row + half, column] = (code - 16 if code > 7 else code) * scale[2 * row + half, column // 32]
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-9)
    amax = np.abs(np.asarray(layer.weight)).reshape(8, 3, 32).max(2)
    np.testing.assert_allclose(scale, amax / 7, rtol=1e-6)
    assert ("0.input_scale" in arrays) == ("0.weight_scale_2" in arrays) == eight
    if eight:
        np.testing.assert_allclose(arrays["0.input_scale"], 2.5 / 448, rtol=1e-6)
        np.testing.assert_allclose(arrays["0.weight_scale_2"], np.abs(np.asarray(layer.weight)).max() / 448, rtol=1e-6)
    other = awq(8)
    found = interchange.load_checkpoint(tmp_path, other if scaled else network("int8"))
    np.testing.assert_array_equal(found["0.weight"], got)
    assert ("0.pre_quant_scale" in found) == scaled
    if scaled:
        np.testing.assert_array_equal(other[0].input_quantizer.pre_quant_scale, factors)


@pytest.mark.parametrize("change, message", [
    ({"has_zero_point": True}, "without zero points"), ({"group_size": 0}, "group_size >= 1"),
    ({"group_size": None}, "group_size >= 1"), ({"group_size": 64}, r"of shape \(8, 3\), expected \(8, 2\)"),
    ({"quant_algo": "W4A16"}, "W4A8_AWQ"),
])
def test_other_weights_in_groups_are_refused(change: dict[str, Any], message: str, tmp_path: Any) -> None:
    interchange.save_modelopt(awq(8), tmp_path)
    path = tmp_path / "hf_quant_config.json"
    config = json.loads(path.read_text())
    config["quantization"].update(change)
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        interchange.load_checkpoint(tmp_path)
    for inputs, outputs in ((96, 7), (80, 8)):
        with pytest.raises(ValueError, match="even number of outputs and a multiple of 32 inputs"):
            interchange.save_modelopt(nn.QuantLinear(inputs, outputs, quant_desc_weight=KINDS["int4"]), tmp_path)


def test_what_is_refused(tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="int8, int4 in groups"):
        interchange.save_compressed_tensors(nn.QuantLinear(4, 2, quant_desc_weight=QuantDescriptor(5)), tmp_path)
    with pytest.raises(ValueError, match="in one format"):
        interchange.save_compressed_tensors(float_nn.Sequential(network("int8"), network("fp8")), tmp_path)
    with pytest.raises(ValueError, match="linear layers"):
        interchange.save_compressed_tensors(nn.QuantConv2d(2, 2, 1), tmp_path)
    interchange.save_compressed_tensors(network("int8"), tmp_path)
    other = network("int8")
    other[2] = float_nn.Linear(8, 5)
    before = np.array(other[0].weight)
    with pytest.raises(ValueError, match=r"2\.weight of shape \(5, 8\)"):
        interchange.load_checkpoint(tmp_path, other)
    np.testing.assert_array_equal(other[0].weight, before)
    (tmp_path / "config.json").write_text('{"quantization_config": {"format": "marlin-24"}}')
    with pytest.raises(ValueError, match="marlin-24"):
        interchange.load_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="config.json"):
        interchange.load_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError):
        interchange.load_checkpoint(tmp_path / "nothing")


@pytest.mark.parametrize("inputs", [80, 31, 33])
def test_the_last_group_may_be_shorter(inputs: int, tmp_path: Any) -> None:
    model = nn.QuantLinear(inputs, 16, quant_desc_weight=KINDS["int4"])
    interchange.save_compressed_tensors(model, tmp_path)
    found = interchange.load_checkpoint(tmp_path)["weight"]
    np.testing.assert_allclose(found, model.weight_quantizer(model.weight), rtol=1e-6, atol=1e-9)
    both = float_nn.Sequential(model, nn.QuantLinear(64, 4, quant_desc_weight=QuantDescriptor(4, block_sizes={-1: 16})))
    with pytest.raises(ValueError, match=r"one size, got \[16, 32\]"):
        interchange.save_compressed_tensors(both, tmp_path)


def smoothed() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 96)).astype(np.float32)
    x[:, 3] *= 50
    model = network("int8")
    improve(model, [x], ["smoothquant"])
    assert model[0].input_quantizer.pre_quant_scale is not None
    return model, x


def test_factors_of_inputs(tmp_path: Any) -> None:
    model, x = smoothed()
    with pytest.raises(ValueError, match=r"pre_quant_scale.* in 0\."):
        interchange.save_compressed_tensors(model, tmp_path)
    assert not list(tmp_path.iterdir())
    interchange.save_modelopt(model, tmp_path)
    arrays, _ = files(tmp_path, "hf_quant_config.json")
    factors = arrays["0.pre_quant_scale"]
    np.testing.assert_array_equal(factors, model[0].input_quantizer.pre_quant_scale)
    step = arrays["0.input_scale"]
    weight = arrays["0.weight"] * arrays["0.weight_scale"][:, None]
    wanted = np.clip(np.rint(x * factors / step), -128, 127) * step @ weight.T + arrays["0.bias"]
    np.testing.assert_allclose(wanted, model[0](x), rtol=1e-3, atol=1e-3)
    other = network("int8")
    other[0].input_quantizer.amax = model[0].input_quantizer.amax
    interchange.load_checkpoint(tmp_path, other)
    np.testing.assert_allclose(other(x), model(x), rtol=1e-3, atol=1e-3)
    plain = float_nn.Sequential(float_nn.Linear(96, 8), float_nn.ReLU(), nn.QuantLinear(8, 3))
    with pytest.raises(ValueError, match=r"quantised input for 0\.pre_quant_scale"):
        interchange.load_checkpoint(tmp_path, plain)
    interchange.save_modelopt(network("int8"), tmp_path)
    with pytest.raises(ValueError, match=r"the pre_quant_scale of 0\."):
        interchange.load_checkpoint(tmp_path, other)


def test_layers_without_floats_are_refused(tmp_path: Any) -> None:
    model = network("int8")
    model.eval()
    freeze(model, keep_float=False)
    assert model[0].weight is None
    for save in (interchange.save_compressed_tensors, interchange.save_modelopt):
        with pytest.raises(ValueError, match="got 0, which is frozen"):
            save(float_nn.Sequential(*model, nn.QuantLinear(3, 2)), tmp_path)


@pytest.mark.parametrize(("kind", "key", "value"), [
    ("int4", "num_bits", 8), ("int4", "symmetric", False), ("int4", "actorder", "group"), ("int4", "group_size", "x"),
    ("int8", "strategy", "group"), ("int8", "num_bits", 4), ("fp8", "strategy", "block"), ("fp8", "type", "int"),
    ("nvfp4", "group_size", 32)])
def test_schemes_that_are_not_read(kind: str, key: str, value: Any, tmp_path: Any) -> None:
    interchange.save_compressed_tensors(network(kind), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["quantization_config"]["config_groups"]["group_0"]["weights"][key] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=key):
        interchange.load_checkpoint(tmp_path)


def rewritten(folder: Any, **changes: Any) -> None:
    path = folder / "model.safetensors"
    arrays = safetensors.numpy.load(path.read_bytes()) | {f"0.{name}": value for name, value in changes.items()}
    path.write_bytes(safetensors.numpy.save(arrays))


def test_arrays_that_are_not_read(tmp_path: Any) -> None:
    model = network("int4")
    interchange.save_compressed_tensors(model, tmp_path)
    rewritten(tmp_path, weight_zero_point=np.zeros((1, 3), np.int32))
    found = interchange.load_checkpoint(tmp_path)
    assert set(found) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    rewritten(tmp_path, weight_zero_point=np.ones((1, 3), np.int32))
    with pytest.raises(ValueError, match=r"0\.weight_zero_point is not supported"):
        interchange.load_checkpoint(tmp_path)
    rewritten(tmp_path, weight_zero_point=np.zeros((1, 3), np.int32), weight_scale=np.ones((8, 6), np.float32))
    with pytest.raises(ValueError, match=r"0\.weight_scale is of shape \(8, 6\), expected \(8, 3\)"):
        interchange.load_checkpoint(tmp_path)
    rewritten(tmp_path, weight_g_idx=np.arange(96, dtype=np.int32))
    with pytest.raises(ValueError, match=r"0\.weight_g_idx is not supported"):
        interchange.load_checkpoint(tmp_path)
    interchange.save_modelopt(network("int8"), tmp_path)
    rewritten(tmp_path, weight_scale=np.ones((2, 4), np.float32))
    with pytest.raises(ValueError, match=r"0\.weight_scale is of shape \(2, 4\)"):
        interchange.load_checkpoint(tmp_path)


def test_the_factor_on_the_range_of_inputs(tmp_path: Any) -> None:
    layer = nn.QuantLinear(8, 4, quant_desc_input=QuantDescriptor(8, amax=2.0, scale_amax=0.75),
                           quant_desc_weight=KINDS["int8"])
    interchange.save_compressed_tensors(layer, tmp_path)
    step = files(tmp_path, "config.json")[0]["input_scale"]
    np.testing.assert_allclose(step, 1.5 / 127, rtol=1e-6)
    np.testing.assert_allclose(layer.input_quantizer(np.float32([9])), 127 * step, rtol=1e-6)


def test_embeddings_stay_floats(tmp_path: Any) -> None:
    model = float_nn.Sequential(nn.QuantEmbedding(10, 8), nn.QuantLinear(8, 4))
    interchange.save_modelopt(model, tmp_path)
    arrays, _ = files(tmp_path, "hf_quant_config.json")
    np.testing.assert_array_equal(arrays["0.weight"], model[0].weight)
    assert "0.weight_scale" not in arrays and arrays["1.weight"].dtype == np.int8


def test_one_format_in_a_folder(tmp_path: Any) -> None:
    (tmp_path / "config.json").write_text('{"hidden_size": 8}')
    interchange.save_modelopt(network("fp8"), tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == {"hidden_size": 8}
    model = network("int4")
    interchange.save_compressed_tensors(model, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "config.json"}
    check_read(tmp_path, model, model[0].weight_quantizer(model[0].weight))
    interchange.save_modelopt(network("int8"), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "hf_quant_config.json"}
    (tmp_path / "config.json").write_text('{"hidden_size": 8, "quantization_config": {}}')
    interchange.save_modelopt(network("int8"), tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == {"hidden_size": 8}


def test_odd_rows_of_nvfp4_are_refused(tmp_path: Any) -> None:
    model = float_nn.Sequential(nn.QuantLinear(33, 4, quant_desc_weight=KINDS["nvfp4"]))
    for save in (interchange.save_compressed_tensors, interchange.save_modelopt):
        with pytest.raises(ValueError, match="got 33 of 0"):
            save(model, tmp_path)


def test_buffers(tmp_path: Any) -> None:
    model = float_nn.Sequential(nn.QuantLinear(8, 4), float_nn.BatchNorm1d(4))
    model.register_buffer("passing", np.zeros(3, np.float32), persistent=False)
    model(np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32))
    interchange.save_modelopt(model, tmp_path)
    arrays, _ = files(tmp_path, "hf_quant_config.json")
    np.testing.assert_array_equal(arrays["1.running_var"], model[1].running_var)
    assert arrays["1.num_batches_tracked"] == 1 and "passing" not in arrays
    other = float_nn.Sequential(nn.QuantLinear(8, 4), float_nn.BatchNorm1d(4))
    interchange.load_checkpoint(tmp_path, other)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        np.testing.assert_array_equal(getattr(other[1], name), getattr(model[1], name))


def test_buffers_and_factors_in_the_twin(tmp_path: Any) -> None:
    torch = pytest.importorskip("torch")
    from pytorch_quantization_c.torch import nn as twin
    made = [torch.nn.Sequential(twin.QuantLinear(8, 4), torch.nn.BatchNorm1d(4)) for _ in range(2)]
    made[0](torch.randn(16, 8))
    made[0][0].input_quantizer.pre_quant_scale = torch.arange(8.0) + 1
    interchange.save_modelopt(made[0], tmp_path)
    interchange.load_checkpoint(tmp_path, made[1])
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(getattr(made[1][1], name), getattr(made[0][1], name))
    assert torch.equal(made[1][0].input_quantizer.pre_quant_scale, torch.arange(8.0) + 1)
