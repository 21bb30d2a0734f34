"""Layers on integers: exact sums of 8-bit products, faster and smaller than floats.

The quantised layers of `nn` use them automatically wherever the result equals fake quantisation (docs/guide.md
says when); `layer.execution` says how the last call was computed. `float_only()` and PQC_INTEGER=0 disable it.
"""
from .._core.formats import Float, Int
from .._core.quantization import Quantization
from .float_only import enabled, float_only
from .int4 import PackedInt4
from .packed import Format, Geometry, PackedWeights

__all__ = ["Float", "Format", "Geometry", "Int", "PackedInt4", "PackedWeights", "Quantization", "enabled", "float_only"]
