"""Which values depend on the shapes of a graph's inputs alone, such as sizes that are computed from a Shape."""
from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..nodes import is_quantizer

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["fixed_values"]

#: Operators whose outputs have shapes that follow from those of their inputs.
BY_SHAPES = set("""
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization BitShift
    BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu Clip Concat Conv ConvTranspose Cos Cosh
    CumSum DepthToSpace DequantizeLinear Div Einsum Elu Equal Erf Exp Flatten Floor GRU Gather GatherElements
    GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GroupNormalization HardSigmoid
    HardSwish Identity InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual
    Log LogSoftmax MatMul MatMulInteger Max MaxPool Mean Min Mish Mod Mul Neg Not Or PRelu Pow QuantizeLinear
    RMSNormalization RNN Reciprocal Relu Round ScatterElements ScatterND Selu Shape Sigmoid Sign Sin Sinh Size
    Softmax Softplus Softsign SpaceToDepth Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Transpose Trilu Where Xor
    """.split())
#: Likewise, given the values of the sizes or axes in the inputs after the first.
BY_FURTHER_INPUTS = set("""
    Expand Pad ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
    ReduceSum ReduceSumSquare Reshape Resize Slice Split Squeeze Tile TopK Unsqueeze
    """.split())
#: Likewise, with sizes in all inputs.
BY_ALL_INPUTS = {"ConstantOfShape", "OneHot", "Range"}


def fixed_values(steps: Iterable[Any], inputs: Iterable[ir.Value], constants: Iterable[ir.Value]) -> set[ir.Value]:
    """The values that calls with inputs of the same shapes share; constants are among them.

    Args:
        steps: of the interpreter, in their order.
        inputs: of the graph.
        constants: of the graph.
    """
    fixed = set(constants)
    sized = {*inputs, *fixed}  # values whose shapes are shared
    for step in steps:
        reads, node = [value for value in step.reads if value is not None], step.node
        standard, op = node.domain in ("", "ai.onnx"), node.op_type
        known = is_quantizer(node) or (standard and op in BY_SHAPES)
        if standard and op in BY_FURTHER_INPUTS:
            known = all(value in fixed for value in reads[1:])
        elif standard and op in BY_ALL_INPUTS:
            known = all(value in fixed for value in reads)
        if not known or not all(value in sized for value in reads):
            continue
        outputs = [value for value in step.outputs if value is not None]
        sized.update(outputs)
        if (standard and op in ("Shape", "Size")) or all(value in fixed for value in reads):
            fixed.update(outputs)
    return fixed
