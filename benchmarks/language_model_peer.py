"""The language model of `examples/language_model.py` as an ONNX graph of onnxruntime's own operators, and its loop."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
from int4_peers import Weights, matmul_nbits
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["Peer"]

MICROSOFT = "com.microsoft"


class _Graph:
    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def constant(self, name: str, array: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, op_type: str, inputs: list[str], outputs: list[str], domain: str = "", **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op_type, inputs, outputs, outputs[0], domain=domain, **attributes))
        return outputs[0]

    def linear(self, layer: Any, x: str, name: str) -> str:
        """MatMulNBits with the very integers and scales of a frozen layer."""
        weight = layer._engine.frozen.weight
        scale = (np.float32(1) / weight.scale).astype(np.float32)
        codes = (weight.values.astype(np.int16) + 8).astype(np.uint8)
        node, constants = matmul_nbits(name, Weights(codes, scale), weight.quantization.block)
        node.input[0] = x
        self.nodes.append(node)
        self.constants += constants
        return f"{name}.y"

    def norm(self, x: str, width: int, name: str) -> str:
        ones = self.constant(f"{name}.ones", np.ones(width, np.float32))
        return self.add("SimplifiedLayerNormalization", [x, ones], [name], axis=-1, epsilon=1e-6)

    def block(self, block: Any, x: str, width: int, name: str) -> str:
        qkv = self.linear(block.qkv, self.norm(x, width, f"{name}.norm"), f"{name}.qkv")
        past = [f"{name}.past_key", f"{name}.past_value"]
        present = [f"{name}.key", f"{name}.value"]
        shape = [1, block.heads, "past", block.size]
        self.inputs += [helper.make_tensor_value_info(each, TensorProto.FLOAT, shape) for each in past]
        shape = [1, block.heads, "all", block.size]
        self.outputs += [helper.make_tensor_value_info(each, TensorProto.FLOAT, shape) for each in present]
        inputs = [qkv, "", "", *past, "last", "all", "cos", "sin"]
        self.add("GroupQueryAttention", inputs, [f"{name}.attention", *present], MICROSOFT,
                 num_heads=block.heads, kv_num_heads=block.heads, do_rotary=1)
        y = self.add("Add", [x, self.linear(block.out, f"{name}.attention", f"{name}.out")], [f"{name}.sum"])
        both = self.linear(block.gate_up, self.norm(y, width, f"{name}.norm2"), f"{name}.gate_up")
        gate, up = f"{name}.gate", f"{name}.up"
        self.add("Split", [both], [gate, up], axis=-1, num_outputs=2)
        sigmoid = self.add("Sigmoid", [gate], [f"{name}.sigmoid"])
        hidden = self.add("Mul", [self.add("Mul", [gate, sigmoid], [f"{name}.silu"]), up], [f"{name}.hidden"])
        return self.add("Add", [y, self.linear(block.down, hidden, f"{name}.down")], [f"{name}.end"])


class Peer:
    """The model in onnxruntime; keys and values stay in its own arrays from one step to the next."""

    def __init__(self, model: Any, threads: int) -> None:
        graph, width = _Graph(), model.embedding.shape[1]
        graph.inputs.append(helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, "rows"]))
        for name, shape in (("last", [1]), ("all", [])):
            graph.inputs.append(helper.make_tensor_value_info(name, TensorProto.INT32, shape))
        graph.constant("cos", model.cos[:, 0, 0])
        graph.constant("sin", model.sin[:, 0, 0])
        x = graph.add("Gather", [graph.constant("embedding", model.embedding), "tokens"], ["x"])
        for number, block in enumerate(model.blocks):
            x = graph.block(block, x, width, f"b{number}")
        last = graph.constant("minus one", np.array([-1]))
        end = graph.add("Gather", [graph.norm(x, width, "norm"), last], ["end"], axis=1)
        graph.outputs.insert(0, helper.make_tensor_value_info(graph.linear(model.head, end, "head"), TensorProto.FLOAT,
                                                              [1, 1, len(model.embedding)]))
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid(MICROSOFT, 1)]
        made = helper.make_graph(graph.nodes, "model", graph.inputs, graph.outputs, graph.constants)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = ort.InferenceSession(helper.make_model(made, opset_imports=opsets, ir_version=10)
                                            .SerializeToString(), options)
        self.blocks = [(block.heads, block.size) for block in model.blocks]

    def generate(self, prompt: list[int], tokens: int) -> list[int]:
        """The likeliest token after the prompt, and so on."""
        past = [ort.OrtValue.ortvalue_from_numpy(np.zeros((1, heads, 0, size), np.float32))
                for heads, size in self.blocks for _ in range(2)]
        found, new = list(prompt), list(prompt)
        for _ in range(tokens + 1):
            feeds: dict[str, Any] = {"tokens": np.array([new]), "last": np.array([len(found) - 1], np.int32),
                                     "all": np.array(len(found), np.int32)}
            values = {name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in feeds.items()}
            values.update(zip((each.name for each in self.session.get_inputs()[3:]), past, strict=True))
            scores, *past = self.session.run_with_ort_values(None, values)
            new = [int(scores.numpy()[0, -1].argmax())]
            found += new
        return found[len(prompt):-1]
