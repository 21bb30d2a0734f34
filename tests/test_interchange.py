"""Checkpoints of other projects: keys, types and values as those define them, read with the safetensors package."""
from __future__ import annotations

import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors

from pytorch_quantization_c import float_nn, interchange, nn, tensor_quant
from pytorch_quantization_c.tensor_quant import QuantDescriptor

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


def test_what_is_refused(tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="4-bit integers"):
        interchange.save_modelopt(network("int4"), tmp_path)
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
