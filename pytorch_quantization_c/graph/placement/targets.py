"""Requirements of the runtimes that a quantised model can be for."""
from __future__ import annotations

from dataclasses import dataclass

from ..._core.errors import shown


@dataclass(frozen=True)
class Target:
    """Where a runtime needs quantisers to run on integers, and what its files can express.

    Attributes:
        opset: the opset that a model is raised to.
        zero_points: whether activations may have them.
        residual: "16" for 16-bit integers on an Add's edge, "u8" for both inputs of an Add, "float".
        quantized_ops: operators beside the layers whose inputs are quantised to 8 bits.
    """

    opset: int
    zero_points: bool
    residual: str
    quantized_ops: tuple[str, ...] = ()


POOLS = ("AveragePool", "GlobalAveragePool")
TARGETS = {
    "here": Target(21, True, "16"),
    "onnxruntime": Target(21, True, "u8", POOLS),
    "openvino": Target(21, True, "u8", POOLS),
    "tensorrt": Target(19, False, "u8"),
}


def target_of(name: str) -> Target:
    """A target by its name. ValueError for an unknown one."""
    if name not in TARGETS:
        raise ValueError(f"Expected `target` to be one of {', '.join(TARGETS)}, got {shown(name)}")
    return TARGETS[name]
