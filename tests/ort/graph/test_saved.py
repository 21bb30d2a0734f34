"""Quantised graphs in files: read again they have the same bits, and onnxruntime and OpenVINO compute the same."""
from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx.helper import make_node

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.nodes import quantizers
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from ...graph.models import model_of
from ...graph.quantized import FORMATS, Format, quantized
from ...graph.small_network import batches, classifier
from .peer import optimized, run, signal_to_noise


def saved(folder: Path, model: ir.Model) -> str:
    path = str(folder / "saved.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what other runtimes do otherwise
        graph.save(model, path)
    return path


@pytest.mark.parametrize("form", FORMATS, ids=str)
@pytest.mark.parametrize("opset", [13, 17, 21])
def test_files_give_the_same_bits(rng: np.random.Generator, tmp_path: Path, form: Format, opset: int) -> None:
    """`interpret(load(save(q)))` equals `interpret(q)`; the file is valid and of the opset that the format needs."""
    (feeds,) = batches(rng, 1, 8)
    model = quantized(classifier(rng, opset), feeds, form)
    path = saved(tmp_path, model)
    loaded = graph.load(path)
    assert np.array_equal(graph.interpret(model, feeds)[0], graph.interpret(loaded, feeds)[0])
    said = [(found.name, found.spec, found.amax is None) for found in quantizers(model)]
    assert [(found.name, found.spec, found.amax is None) for found in quantizers(loaded)] == said
    for ours, theirs in zip(quantizers(model), quantizers(loaded), strict=True):
        assert ours.amax is None or np.array_equal(ours.amax, theirs.amax)  # type: ignore[arg-type]
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    needed = form.opset if form.opset > 17 else 13
    assert [(each.domain, each.version) for each in proto.opset_import] == [("", max(opset, needed))]


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_onnxruntime_computes_the_same(rng: np.random.Generator, tmp_path: Path, form: Format) -> None:
    """The difference is far below the noise of quantising, but where a format clamps elsewhere."""
    proto, (feeds,) = classifier(rng), batches(rng, 1, 16)
    model = quantized(proto, feeds, form)
    (reference,), (ours,) = run(proto, feeds), graph.interpret(model, feeds)
    (theirs,) = run(saved(tmp_path, model), feeds)
    if form.clamps:
        assert signal_to_noise(theirs, ours) >= signal_to_noise(ours, reference) + 20
    else:
        assert signal_to_noise(theirs, reference) >= signal_to_noise(ours, reference) - 3


@pytest.mark.parametrize("bits", [(16, 8), (8, 16), (16, 16)])
def test_operands_of_16_bits_are_pairs_of_8_in_onnxruntime(rng: np.random.Generator, tmp_path: Path,
                                                           bits: tuple[int, int]) -> None:
    """With its optimisations and without; no type of 16 bits, but for the residual, is in the file."""
    proto, (feeds,) = classifier(rng), batches(rng, 1, 16)
    model = graph.quantize(graph.load(proto), [feeds], input=QuantDescriptor(bits[0]),
                           weight=QuantDescriptor(bits[1], axis=0))
    (reference,), (ours,), path = run(proto, feeds), graph.interpret(model, feeds), saved(tmp_path, model)
    for source in (path, optimized(path)):
        assert signal_to_noise(run(source, feeds)[0], ours) > min(signal_to_noise(ours, reference) + 20, 70)
    if bits == (16, 16):
        assert signal_to_noise(ours, reference) > 55
    np.testing.assert_array_equal(graph.interpret(graph.load(path), feeds)[0], ours)
    wide = [each.name for each in onnx.load(path).graph.initializer if each.data_type in (
        onnx.TensorProto.INT16, onnx.TensorProto.UINT16)]
    assert len(wide) == len([each for each in quantizers(model) if each.spec.bits == 16]) <= 1


@pytest.mark.parametrize("bits", [4, (4, 3), (5, 2)])
@pytest.mark.parametrize("target", ["here", "onnxruntime", "tensorrt"])
@pytest.mark.parametrize("opset", [14, 17, 21])
def test_a_relu_ahead_of_codes_below_zero(rng: np.random.Generator, tmp_path: Path, bits: Any, target: str,
                                          opset: int) -> None:
    """onnxruntime would drop it; for TensorRT it stays, and what our own programs compute is the same to the bit."""
    proto = model_of([make_node("MatMul", ["x", "a"], ["m"], "first"), make_node("Relu", ["m"], ["r"], "relu"),
                      make_node("MatMul", ["r", "b"], ["y"], "second")], {"x": ["N", 16]}, {"y": ["N", 4]},
                     {"a": rng.standard_normal((16, 24)), "b": rng.standard_normal((24, 4))}, opset)
    feeds = {"x": rng.standard_normal((8, 16)).astype(np.float32)}
    model = graph.quantize(graph.load(proto), [feeds], input=QuantDescriptor(bits), weight=QuantDescriptor(8, axis=0),
                           zero_point=False, methods=())
    spec, = (found.spec for found in quantizers(model) if found.input.name == "r")
    path = str(tmp_path / "saved.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph.save(model, path, target=target)
    made = {node.name: node.op_type for node in onnx.load(path).graph.node}
    assert made["relu"] == ("Relu" if target == "tensorrt" or spec.unsigned else "Max")
    (ours,) = graph.interpret(model, feeds)
    for again in (graph.interpret(graph.load(path), feeds), graph.compile(path).run(None, feeds)):
        assert np.array_equal(again[0], ours)
    if target != "tensorrt":
        assert signal_to_noise(run(path, feeds)[0], ours) > 20


def test_signed_codes_that_are_moved_run_in_onnxruntime(rng: np.random.Generator, tmp_path: Path) -> None:
    """Its optimizer puts a second pair behind the Transpose, and on x86 then refuses signed codes."""
    nodes = [onnx.helper.make_node("Tanh", ["x"], ["t"], "tanh"),
             onnx.helper.make_node("Transpose", ["t"], ["moved"], "move", perm=[0, 2, 1]),
             onnx.helper.make_node("MatMul", ["moved", "w"], ["y"], "layer")]
    model = graph.load(model_of(nodes, {"x": [2, 6, 5]}, {"y": [2, 5, 7]}, {"w": rng.standard_normal((6, 7))}))
    feeds = {"x": rng.standard_normal((2, 6, 5)).astype(np.float32)}
    int8 = graph.quantize(model, [feeds], zero_point=False)
    (ours,), path = graph.interpret(int8, feeds), saved(tmp_path, int8)
    assert signal_to_noise(run(path, feeds)[0], ours) > 60
    assert np.array_equal(graph.interpret(graph.load(path), feeds)[0], ours)
    assert [found.spec for found in quantizers(graph.load(path))] == [found.spec for found in quantizers(int8)]
    graph.save(int8, path, target="tensorrt")
    kinds = {each.name: each.data_type for each in onnx.load(path).graph.initializer}
    assert all(kind != onnx.TensorProto.UINT8 for kind in kinds.values())


@pytest.mark.parametrize("zero_point", [False, "auto"])
@pytest.mark.parametrize("opset", [17, 21, 23])
def test_products_of_three_axes_with_a_bias_run_on_integers_in_onnxruntime(
        rng: np.random.Generator, tmp_path: Path, zero_point: Any, opset: int) -> None:
    """Its optimizer would make float products of them, and refuse signed codes from opset 21 on."""
    make = onnx.helper.make_node
    nodes = [make("Tanh", ["x"], ["t"], "tanh"), make("MatMul", ["t", "v"], ["p"], "first"),
             make("Add", ["b", "p"], ["a"], "bias"), make("MatMul", ["t", "w"], ["q"], "second"),
             make("Add", ["q", "b"], ["c"], "same_bias"), make("Mul", ["a", "c"], ["y"], "product")]
    constants = {"v": rng.standard_normal((6, 7)), "w": rng.standard_normal((6, 7)), "b": rng.standard_normal(7)}
    model = graph.load(model_of(nodes, {"x": ["N", 5, 6]}, {"y": ["N", 5, 7]}, constants, opset))
    feeds = {"x": rng.standard_normal((2, 5, 6)).astype(np.float32)}
    int8 = graph.quantize(model, [feeds], zero_point=zero_point, methods=[])
    (ours,), path = graph.interpret(int8, feeds), saved(tmp_path, int8)
    assert signal_to_noise(run(path, feeds)[0], ours) > 60
    assert np.array_equal(graph.interpret(graph.load(path), feeds)[0], ours)
    ran = [node.op_type for node in optimized(path).graph.node]
    assert "Gemm" not in ran and sum(name.startswith("MatMulInteger") for name in ran) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zero points
        graph.save(int8, path, target="tensorrt")
    assert {tuple(each.dims) for each in onnx.load(path).graph.initializer if each.name == "b"} == {(7,)}


@pytest.mark.parametrize("step", [1 / 255, 1 / 127, 0.1, 0.0073])
def test_numbers_half_way_between_two_codes_go_where_a_division_takes_them(tmp_path: Path, step: float) -> None:
    kind = onnx.helper.make_node
    nodes = [kind("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
             kind("DequantizeLinear", ["q", "scale", "zero"], ["d"]), kind("MatMul", ["d", "w"], ["y"])]
    proto = model_of(nodes, {"x": ["N", 1]}, {"y": ["N", 1]},
                     {"scale": np.float32(step), "zero": np.uint8(0), "w": np.ones((1, 1))})
    x = {"x": np.arange(65, dtype=np.float32)[:, None] / np.float32(16)}
    theirs, = run(proto, x)
    ours, = graph.interpret(graph.load(proto), x)
    np.testing.assert_array_equal(np.rint(ours / step), np.rint(theirs / step))


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_metadata_that_do_not_fit_are_not_trusted(rng: np.random.Generator, tmp_path: Path, form: Format) -> None:
    """A step that somebody has changed is the file's word; damaged metadata are as if they were not there."""
    (feeds,) = batches(rng, 1, 8)
    path = saved(tmp_path, quantized(classifier(rng), feeds, form))
    proto = onnx.load(path)
    for tensor in proto.graph.initializer:
        if tensor.name == "stem.x.scale":
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * 2, tensor.name))
    by_name = {found.name: found for found in quantizers(graph.load(proto))}
    before = {found.name: found for found in quantizers(graph.load(path))}
    if not form.dynamic:
        changed, same = by_name["stem.x"], before["stem.x"]
        assert changed.amax is not None and same.amax is not None
        assert np.allclose(changed.amax / changed.spec.bound, 2 * same.amax / same.spec.bound)
    for node in proto.graph.node:
        for entry in node.metadata_props:
            entry.value = entry.value[: len(entry.value) // 2]
    assert form.dynamic or len(list(quantizers(graph.load(proto)))) == len(before)


def test_weights_that_may_be_fed_stay_numbers(rng: np.random.Generator, tmp_path: Path) -> None:
    """An initialiser that is an input too has no codes: its quantiser is a pair of nodes."""
    from onnx.helper import make_node

    proto = model_of([make_node("Gemm", ["x", "w"], ["y"], "fc", transB=1)], {"x": [4, 6], "w": [3, 6]}, ["y"],
                     {"w": rng.normal(size=(3, 6))})
    feeds = {"x": rng.normal(size=(4, 6)).astype(np.float32)}
    model = quantized(proto, feeds, FORMATS[0])
    path = saved(tmp_path, model)
    assert np.array_equal(graph.interpret(graph.load(path), feeds)[0], graph.interpret(model, feeds)[0])
    other = feeds | {"w": np.float32(0.77) * onnx.numpy_helper.to_array(proto.graph.initializer[0])}
    (theirs,), (ours,) = run(path, other), graph.interpret(model, other)
    assert np.abs(theirs - ours).max() < 1e-5


def test_what_a_file_cannot_say_is_a_warning(rng: np.random.Generator, tmp_path: Path) -> None:
    (feeds,) = batches(rng, 1, 8)
    for form, target, text in ((FORMATS[1], "here", "other runtimes clamp to -128, not to -127"),
                               (FORMATS[2], "tensorrt", "TensorRT takes signed integers without zero points alone")):
        model = quantized(classifier(rng), feeds, form)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            graph.save(model, tmp_path / "a.onnx", target=target)
        assert f"Quantiser 'stem.x' of 'x': {text}" in [str(each.message) for each in seen]
    with pytest.raises(ValueError, match="Expected `target` to be one of here, onnxruntime"):
        graph.save(quantized(classifier(rng), feeds, FORMATS[0]), tmp_path / "b.onnx", target="phone")
    assert not (tmp_path / "b.onnx").exists()


def test_everything_else_is_kept(rng: np.random.Generator, tmp_path: Path) -> None:
    """Names, shapes, metadata and texts of the model; it itself is left as it was."""
    proto, (feeds,) = classifier(rng), batches(rng, 1, 8)
    proto.producer_name, proto.doc_string, proto.model_version, proto.domain = "somebody", "a text", 7, "there"
    onnx.helper.set_model_props(proto, {"author": "me"})
    model = quantized(proto, feeds, FORMATS[0])
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    kept = onnx.load(saved(tmp_path, model))
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before
    assert (kept.producer_name, kept.doc_string, kept.model_version, kept.domain) == ("somebody", "a text", 7, "there")
    assert {each.key: each.value for each in kept.metadata_props} == {"author": "me"}
    assert kept.graph.input[0] == proto.graph.input[0] and kept.graph.output[0] == proto.graph.output[0]
    names = {node.name for node in kept.graph.node}
    assert names >= {node.name for node in proto.graph.node}


def test_weights_are_as_small_as_their_codes(rng: np.random.Generator, tmp_path: Path) -> None:
    big: Any = rng.normal(size=(256, 256))
    from onnx.helper import make_node

    from ...graph.models import model_of
    proto = model_of([make_node("Gemm", ["x", "w"], ["y"], "fc", transB=1)], {"x": [4, 256]}, ["y"], {"w": big})
    feeds = {"x": rng.normal(size=(4, 256)).astype(np.float32)}
    sizes = [Path(saved(tmp_path, quantized(proto, feeds, form))).stat().st_size for form in FORMATS]
    assert sizes[0] < 256 * 256 + 8000 and sizes[5] < 256 * 256 // 2 + 8000
