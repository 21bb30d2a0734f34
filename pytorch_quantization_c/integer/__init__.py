"""Layers on integers: exact sums of 8-bit products, faster and smaller than floats."""
from .packed import Format, Geometry, PackedWeights

__all__ = ["Format", "Geometry", "PackedWeights"]
