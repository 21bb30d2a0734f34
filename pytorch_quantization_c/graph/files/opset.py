"""The version of the standard's operators that a model is written in, and models raised to a later one."""
from __future__ import annotations

import onnx
import onnx.version_converter
import onnx_ir as ir

from ..errors import GraphError
from .bodies import give_bodies, take_bodies

__all__ = ["LARGE_CONSTANT", "MAX_OPSET", "MIN_OPSET", "converted", "declared", "raise_opset", "raised",
           "standard_opset"]

MIN_OPSET, MAX_OPSET = 9, 25
LARGE_CONSTANT = 1 << 16  # bytes; neither conversions nor shape inference read larger ones


def standard_opset(model: onnx.ModelProto) -> int:
    """The version of the standard's operators. GraphError for an unknown one."""
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if not versions:
        raise GraphError("Expected an opset of the standard's operators, got none")
    if not MIN_OPSET <= versions[0] <= MAX_OPSET:
        raise GraphError(f"Expected opset {MIN_OPSET} to {MAX_OPSET}, got {versions[0]}")
    return int(versions[0])


def declared(tensor: onnx.TensorProto) -> onnx.ValueInfoProto:
    """The name, type and shape of a constant, as of an input."""
    return onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))


def _set_aside(model: onnx.ModelProto) -> tuple[list[onnx.TensorProto], set[str]]:
    """Moves large constants out of a model, as inputs; returns them, and the names of the inputs it created."""
    inputs, kept = {value.name for value in model.graph.input}, []
    large = [tensor for tensor in model.graph.initializer if len(tensor.raw_data) > LARGE_CONSTANT]
    made = {tensor.name for tensor in large} - inputs
    for tensor in large:
        kept.append(onnx.TensorProto())
        kept[-1].CopyFrom(tensor)
        if tensor.name in made:
            model.graph.input.append(declared(tensor))
    rest = [tensor for tensor in model.graph.initializer if len(tensor.raw_data) <= LARGE_CONSTANT]
    del model.graph.initializer[:]
    model.graph.initializer.extend(rest)
    return kept, made


def raised(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The model at an opset at least this high, the names of its nodes kept; `model` may be changed."""
    own = standard_opset(model)
    if own >= opset:
        return model
    names = {output: node.name for node in model.graph.node for output in node.output}
    large, made = _set_aside(model)
    try:
        new = onnx.version_converter.convert_version(model, opset)
    except MemoryError:
        raise
    except Exception as error:
        raise GraphError(f"Expected a model of opset {own} that can be raised to {opset}: {error}") from None
    for node in new.graph.node:
        node.name = node.name or next((names[output] for output in node.output if output in names), "")
    new.graph.initializer.extend(large)
    inputs = [value for value in new.graph.input if value.name not in made]
    del new.graph.input[:]
    new.graph.input.extend(inputs)
    new.ir_version = max(new.ir_version, onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)]))
    return new


def _decode_once(model: ir.Model) -> None:
    """Large weights become arrays: a tensor of protobuf copies its bytes every time that it is asked for them."""
    for graph in [model.graph, *model.graph.subgraphs()]:
        for value in graph.initializers.values():
            tensor = value.const_value
            if isinstance(tensor, ir.TensorProtoTensor) and tensor.dtype != ir.DataType.STRING and \
                    tensor.dtype.bitwidth >= 8 and tensor.nbytes > LARGE_CONSTANT:
                value.const_value = ir.Tensor(tensor.numpy(), tensor.dtype, name=tensor.name,
                                              doc_string=tensor.doc_string, metadata_props=tensor.metadata_props)


def converted(model: onnx.ModelProto) -> ir.Model:
    """A proto as the model that everything here works with."""
    try:
        made: ir.Model = ir.from_proto(model)
        _decode_once(made)
        return made
    except MemoryError:
        raise
    except Exception as error:
        raise GraphError(f"Expected an ONNX model, got one that cannot be read: {error}") from None


def raise_opset(model: ir.Model, opset: int) -> ir.Model:
    """A model at an opset at least this high, for what older opsets cannot express."""
    if model.opset_imports.get("", opset) >= opset:
        return model
    take_bodies(model)
    made = converted(raised(ir.to_proto(model), opset))
    give_bodies(made)
    return made
