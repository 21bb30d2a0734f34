"""Graphs into files: quantisers become QuantizeLinear and DequantizeLinear, which other runtimes know."""
from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import onnx
import onnx.checker
import onnx.shape_inference
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass, RemoveUnusedOpsetsPass

from ..._core.files import write_file
from ..errors import GraphError
from ..nodes import DOMAIN, Quantizer, checked_graph, is_quantizer, quantizer
from ..passes.editing import is_op, substitute
from ..passes.layers import PRODUCTS, RECURRENT
from ..representation.arithmetic import block_codes, fake_quantize, integers, spread
from ..representation.coding import METADATA, SHIFT, code_type, noted, step_of
from ..representation.constants import constant_of, new_constant
from ..representation.naming import free_node_name, free_value_name, names_remembered
from .bias_rows import widen_biases
from .bodies import take_bodies
from .dynamic_nodes import dynamic_nodes
from .large_files import save_in_two
from .opset import raise_opset

__all__ = ["TARGETS", "exported", "save"]

TARGETS = ("here", "onnxruntime", "openvino", "tensorrt")
LARGEST_FILE = 2 ** 31 - 2 ** 20  # a protobuf holds 2 GiB
FLOAT8_OPSET, SMALL_OPSET, FLOAT4_OPSET = 19, 21, 23
MIN_OPSET = 13
BELOW_ZERO = (ir.DataType.INT4, ir.DataType.FLOAT8E4M3FN, ir.DataType.FLOAT8E5M2, ir.DataType.FLOAT4E2M1)


def _opset_for(found: Quantizer) -> int:
    """The first opset whose nodes can express a quantiser."""
    if found.spec.bits == (2, 1):
        return FLOAT4_OPSET
    if isinstance(found.spec.bits, tuple):
        return FLOAT8_OPSET if found.spec.block is None else SMALL_OPSET
    return MIN_OPSET if 4 < found.spec.bits <= 8 and found.spec.block is None else SMALL_OPSET


def _warn(found: Quantizer, target: str) -> None:
    """Warns of what QuantizeLinear, or a target, does differently from the quantiser."""
    spec, losses = found.spec, []
    if isinstance(spec.bits, int) and not found.is_weight and not found.is_dynamic:  # its own range clamps nothing
        if spec.bits not in (4, 8, 16):
            losses.append(f"other runtimes clamp to {4 if spec.bits < 4 else 8 if spec.bits < 8 else 16} bits, not to "
                          f"{spec.bits}")
        elif spec.narrow and not spec.unsigned:
            losses.append(f"other runtimes clamp to {-spec.bound - 1}, not to {-spec.bound}")
    if target == "tensorrt" and (spec.unsigned or np.any(np.asarray(spec.zero_point or 0))):
        losses.append("TensorRT takes signed integers without zero points alone")
    if losses:
        warnings.warn(f"Quantiser {found.name!r} of {found.input.name!r}: {'; '.join(losses)}", UserWarning,
                      stacklevel=4)


def _needs_unsigned(value: ir.Value) -> bool:
    """Whether onnxruntime wants unsigned codes of a value: it puts a second pair behind an operator that moves the
    value, and on x86 refuses the model if its codes are signed; and where several MatMuls read signed codes, it
    multiplies floats."""
    readers = [use.node for use in value.uses()]
    return any(not is_op(node, *PRODUCTS, *RECURRENT) for node in readers) or (
        len(readers) > 1 and any(is_op(node, "MatMul") for node in readers))


class _Writer:
    """Replaces the quantisers of a model, in place, by the nodes of files."""

    def __init__(self, model: ir.Model, target: str) -> None:
        self.model, self.graph, self.target = model, model.graph, target
        self.codes: dict[tuple[Any, ...], ir.Value] = {}

    def quantiser(self, found: Quantizer) -> None:
        """One quantiser."""
        if found.spec.scale_bits is not None and not found.is_weight:
            raise GraphError(f"Expected quantisers of activations that QuantizeLinear can be, got {found.name!r} in "
                             "blocks with rounded scales")
        if found.amax is None:
            made = dynamic_nodes(self.graph, found, self.model.opset_imports[""])
        elif found.is_weight:
            made = self._constant(found)
        else:
            made = self._pair(found)
        self._put(found, made)

    def _put(self, found: Quantizer, made: ir.Node) -> None:
        old, new = found.output, made.outputs[0]
        new.type, new.shape, name = old.type, old.shape, old.name
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
        old.name, new.name = f"{name}.replaced", name
        self.graph.remove(found.node, safe=True)

    def _scales(self, found: Quantizer, kind: ir.DataType, shift: int = 0) -> list[ir.Value]:
        assert found.amax is not None
        step = step_of(found.amax, found.spec)
        several = found.spec.axis is not None
        step = step if several else step.reshape(())
        point = np.broadcast_to(np.asarray(found.spec.zero_point or 0) + shift, step.shape)
        zero = np.array(point).astype(kind.numpy())
        return [new_constant(self.graph, step, f"{found.name}.scale"),
                new_constant(self.graph, ir.tensor(zero, dtype=kind), f"{found.name}.zero_point")]

    def _attributes(self, found: Quantizer) -> list[ir.Attr]:
        pairs = (("axis", found.spec.axis), ("block_size", found.spec.block))
        return [ir.AttrInt64(name, value) for name, value in pairs if value is not None]

    def _add(self, found: Quantizer, op_type: str, inputs: list[ir.Value], name: str) -> ir.Node:
        note = {METADATA: noted(found.name, found.spec, found.amax)}
        node = ir.Node("", op_type, inputs, self._attributes(found), num_outputs=1, metadata_props=note,
                       name=free_node_name(self.graph, name))
        node.outputs[0].name = free_value_name(self.graph, f"{name}.y")
        self.graph.insert_before(found.node, node)
        return node

    def _pair(self, found: Quantizer) -> ir.Node:
        kind, shift = code_type(found.spec), 0
        if kind == ir.DataType.INT8 and self.target != "tensorrt" and _needs_unsigned(found.output):
            kind, shift = ir.DataType.UINT8, SHIFT
        source = found.input
        if kind in BELOW_ZERO and self.target != "tensorrt":
            source = self._without_relu(source)
        scales = self._scales(found, kind, shift)
        codes = self._add(found, "QuantizeLinear", [source, *scales], f"{found.name}.quantize")
        return self._add(found, "DequantizeLinear", [codes.outputs[0], *scales], f"{found.name}.dequantize")

    def _without_relu(self, value: ir.Value) -> ir.Value:
        """The value; if a Relu makes it, a Max does from now on.

        onnxruntime (1.32) drops a Relu before codes whose zero point is 0, even if their type has negative ones, and
        may refuse a Clip there.
        """
        node = value.producer()
        if node is None or not is_op(node, "Relu"):
            return value
        zero = new_constant(self.graph, np.zeros((), np.float32), f"{node.name}.zero")
        made = ir.node("Max", [node.inputs[0], zero], name=node.name)
        substitute(node, made)
        return made.outputs[0]

    def _constant(self, found: Quantizer) -> ir.Node:
        kind = code_type(found.spec)
        array = constant_of(found.input)
        assert array is not None and found.amax is not None
        if found.spec.scale_bits is not None or (isinstance(found.spec.bits, tuple) and found.spec.block is not None):
            return self._blocks(found, array, kind)
        key = (found.input, found.amax.tobytes(), found.spec)
        if key not in self.codes:
            codes = _codes(array, found).astype(kind.numpy())
            self.codes[key] = new_constant(self.graph, ir.tensor(codes, dtype=kind), f"{found.input.name}.codes")
        values, scales = self.codes[key], self._scales(found, kind)
        if kind == ir.DataType.INT8 and not found.spec.zero_point and self.target != "tensorrt" and \
                all(is_op(use.node, *RECURRENT) for use in found.output.uses()):
            values, scales = self._widened(found, values), scales[:1]
        return self._add(found, "DequantizeLinear", [values, *scales], f"{found.name}.dequantize")

    def _widened(self, found: Quantizer, codes: ir.Value) -> ir.Value:
        """Codes as integers of 32 bits: OpenVINO's recurrent layers take constants alone, and it folds no product with
        integers of 8 bits into one."""
        node = ir.Node("", "Cast", [codes], [ir.AttrInt64("to", ir.DataType.INT32)], num_outputs=1,
                       name=free_node_name(self.graph, f"{found.name}.widen"))
        node.outputs[0].name = free_value_name(self.graph, f"{found.name}.widen.y")
        self.graph.insert_before(found.node, node)
        return node.outputs[0]

    def _blocks(self, found: Quantizer, array: NDArray[Any], kind: ir.DataType) -> ir.Node:
        """A constant in blocks of small floats, or with rounded scales: the codes and their scales."""
        assert found.amax is not None
        codes, step = block_codes(array, found.amax, found.spec)
        step = np.where(step > 0, step, np.float32(1))
        name, numbers = found.input.name, ir.tensor(_as_type(codes, found, kind), dtype=kind)
        values = [new_constant(self.graph, numbers, f"{name}.codes"),
                  new_constant(self.graph, step.astype(np.float32), f"{found.name}.scale"),
                  new_constant(self.graph, ir.tensor(np.zeros(step.shape, kind.numpy()), dtype=kind),
                               f"{found.name}.zero_point")]
        return self._add(found, "DequantizeLinear", values, f"{found.name}.dequantize")


def _as_type(codes: NDArray[Any], found: Quantizer, kind: ir.DataType) -> NDArray[Any]:
    """Codes, one a byte, as numbers of the type of a file."""
    return codes.view(kind.numpy()) if isinstance(found.spec.bits, tuple) else codes.astype(kind.numpy())


def _codes(array: NDArray[Any], found: Quantizer) -> NDArray[Any]:
    """The codes of a constant, as numbers."""
    assert found.amax is not None
    if isinstance(found.spec.bits, tuple):
        scale = np.float32(found.spec.bound) / np.where(found.amax > 0, found.amax, np.float32(found.spec.bound))
        return fake_quantize(array, found.amax, found.spec) * spread(scale, array.ndim, found.spec.axis)
    shifted, _ = integers(array, found.amax, found.spec)
    if not np.isfinite(shifted).all():
        raise GraphError(f"Expected finite numbers in {found.input.name!r}, which quantiser {found.name!r} quantises")
    point = np.asarray(found.spec.zero_point or 0, np.float32)
    axis = found.spec.axis
    wide = [-1 if axis is not None and i == axis % array.ndim else 1 for i in range(array.ndim)]
    return shifted + (point.reshape(wide) if point.ndim else point)


def exported(model: ir.Model, target: str = "here") -> onnx.ModelProto:
    """The model as `save` writes it.

    Args:
        model: is not changed.
        target: "here", "onnxruntime", "openvino" or "tensorrt": the runtime that the warnings are about.

    Raises:
        ValueError: another target. GraphError: a model that would not be valid, with the checker's message.
    """
    if target not in TARGETS:
        raise ValueError(f"Expected `target` to be one of {', '.join(TARGETS)}, got {target!r}")
    found = [quantizer(node) for node in model.graph if is_quantizer(node)]
    needed = max([MIN_OPSET, *(_opset_for(each) for each in found)])
    copy = raise_opset(model.clone(), needed)
    writer = _Writer(copy, target)
    with names_remembered():
        for node in list(copy.graph):
            if is_quantizer(node):
                each = quantizer(node)
                _warn(each, target)
                writer.quantiser(each)
    if target != "tensorrt":
        widen_biases(copy.graph)
    take_bodies(copy)
    copy.opset_imports.pop(DOMAIN, None)
    RemoveUnusedNodesPass()(copy)
    RemoveUnusedOpsetsPass()(copy)
    copy.ir_version = max(copy.ir_version, _least_ir_version(copy.opset_imports))
    return ir.to_proto(copy)


def _least_ir_version(opsets: dict[str, int]) -> int:
    standard = {domain: version for domain, version in opsets.items() if domain in ("", "ai.onnx")}
    known = [onnx.helper.make_opsetid(domain, version) for domain, version in standard.items()]
    return int(onnx.helper.find_min_ir_version_for(known)) if known else onnx.IR_VERSION


def _without_shape(proto: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    return [value for value in proto.graph.output
            if value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape")]


def _give_shapes(proto: onnx.ModelProto) -> None:
    """Gives outputs without a shape the one that follows from the graph, as a valid model must have it."""
    if not _without_shape(proto):
        return
    inferred = onnx.shape_inference.infer_shapes(proto)
    found = {value.name: value for value in inferred.graph.output}
    for value in _without_shape(proto):
        value.CopyFrom(found.get(value.name, value))


def _checked(proto: onnx.ModelProto) -> None:
    """GraphError if ONNX's checker rejects a model for anything but unknown shapes."""
    if _without_shape(proto):
        return
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as error:
        raise GraphError(f"Expected a model that ONNX's checker accepts, got: {error}") from None


def save(model: ir.Model, path: str | os.PathLike[str], *, target: str | None = None) -> None:
    """Writes a graph to a file that other runtimes read.

    Quantisers become QuantizeLinear and DequantizeLinear, constants before them codes; the float32 ranges go into the
    metadata of the nodes, so that `load` gives the same bits. The opset is raised where it has to be: 13 for 8 bits, 19
    for E4M3, 21 for 4 and 16 bits and for blocks. What the nodes cannot express is a warning with the quantiser's name.

    Args:
        model: what `load`, `trace` and `quantize` return; it is not changed.
        path: an existing file is replaced once the new one is complete. Beyond 2 GB the constants go to a second file,
            `path` with a fingerprint and ".data" behind it; those of the model that is replaced are removed.
        target: the runtime that the file is for, as in `quantize`; None: what the model was quantised for, or "here".

    Raises:
        GraphError: a model that would not be valid; nothing is written.
        TypeError: `model` is not an `onnx_ir.Model`.
        ValueError: another target.
    """
    wanted = checked_graph(model).metadata_props.get(f"{DOMAIN}.target", "here") if target is None else target
    proto = exported(model, wanted)
    if proto.ByteSize() < LARGEST_FILE:
        _give_shapes(proto)
        _checked(proto)
        write_file(path, proto.SerializeToString())
        return
    save_in_two(proto, path)
