"""Descriptors of block formats, of small floats, and of asymmetric ranges."""
from __future__ import annotations

from .descriptor import QuantDescriptor

__all__ = [
    "QUANT_DESC_8BIT_AFFINE_PER_TENSOR", "QUANT_DESC_FP8_E5M2_PER_TENSOR", "QUANT_DESC_FP8_PER_TENSOR",
    "QUANT_DESC_INT4_GROUPS_OF_128_WEIGHT", "QUANT_DESC_INT4_GROUPS_OF_32_WEIGHT",
    "QUANT_DESC_INT4_GROUPS_OF_64_WEIGHT", "QUANT_DESC_MXFP4", "QUANT_DESC_MXFP6", "QUANT_DESC_MXFP6_E2M3",
    "QUANT_DESC_MXFP8", "QUANT_DESC_MXFP8_E5M2", "QUANT_DESC_MXINT8", "QUANT_DESC_NVFP4_INPUT",
    "QUANT_DESC_NVFP4_WEIGHT",
]


def _mx(num_bits: int | tuple[int, int], narrow_range: bool = False) -> QuantDescriptor:
    return QuantDescriptor(num_bits, block_sizes={-1: 32, "type": "dynamic", "scale_bits": (8, 0)},
                           narrow_range=narrow_range)


def _nvfp4() -> QuantDescriptor:
    return QuantDescriptor((2, 1), block_sizes={-1: 16, "type": "dynamic", "scale_bits": (4, 3)})


QUANT_DESC_FP8_PER_TENSOR = QuantDescriptor((4, 3))
QUANT_DESC_FP8_E5M2_PER_TENSOR = QuantDescriptor((5, 2))
QUANT_DESC_MXFP8 = _mx((4, 3))
QUANT_DESC_MXFP8_E5M2 = _mx((5, 2))
QUANT_DESC_MXFP6 = _mx((3, 2))
QUANT_DESC_MXFP6_E2M3 = _mx((2, 3))
QUANT_DESC_MXFP4 = _mx((2, 1))
QUANT_DESC_MXINT8 = _mx(8, narrow_range=True)
QUANT_DESC_NVFP4_INPUT = _nvfp4()
QUANT_DESC_NVFP4_WEIGHT = _nvfp4()
QUANT_DESC_INT4_GROUPS_OF_32_WEIGHT = QuantDescriptor(4, block_sizes={-1: 32})
QUANT_DESC_INT4_GROUPS_OF_64_WEIGHT = QuantDescriptor(4, block_sizes={-1: 64})
QUANT_DESC_INT4_GROUPS_OF_128_WEIGHT = QuantDescriptor(4, block_sizes={-1: 128})
QUANT_DESC_8BIT_AFFINE_PER_TENSOR = QuantDescriptor(8, zero_point=True)
