"""The two of bench_models.py's networks that packages ship as torch checkpoints, written as ONNX models."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from network_models import Builder

SIZE = 224


class FromCheckpoint(Builder):
    """Nodes whose weights are entries of a checkpoint; BatchNorm stays a node."""

    def __init__(self, path: Path) -> None:
        import torch

        super().__init__()
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.state: dict[str, Any] = {name: array.numpy() for name, array in state.items()}

    def of(self, name: str) -> str:
        return self.constant(self.state[name])

    def layer(self, x: str, conv: str, norm: str, stride: int, pads: Sequence[int], groups: int, epsilon: float) -> str:
        kernel = list(self.state[f"{conv}.weight"].shape[2:])
        y = self.add("Conv", x, self.of(f"{conv}.weight"), kernel_shape=kernel, strides=[stride] * 2, pads=list(pads),
                     group=groups)
        parts = ("weight", "bias", "running_mean", "running_var")
        return self.add("BatchNormalization", y, *(self.of(f"{norm}.{part}") for part in parts), epsilon=epsilon)

    def head(self, x: str, linear: str) -> Any:
        y = self.add("Flatten", self.add("GlobalAveragePool", x))
        y = self.add("Gemm", y, self.of(f"{linear}.weight"), self.of(f"{linear}.bias"), transB=1)
        return self.model(y, (3, SIZE, SIZE), len(self.state[f"{linear}.bias"]))


def mobilenet_v2(path: Path) -> Any:
    """Sandler et al. 2018, with torchvision's names."""
    b = FromCheckpoint(path)

    def layer(x: str, conv: str, norm: str, stride: int = 1) -> str:
        weight = b.state[f"{conv}.weight"]
        groups = len(weight) if weight.shape[1] == 1 else 1
        return b.layer(x, conv, norm, stride, [weight.shape[-1] // 2] * 4, groups, 1e-5)

    x = b.relu6(layer("x", "features.0.0", "features.0.1", 2))
    channels = 32
    for number, stride in enumerate((1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1), 1):
        name, y = f"features.{number}.conv", x
        steps = 2 if f"{name}.3.weight" in b.state else 1
        for step in range(steps):
            y = b.relu6(layer(y, f"{name}.{step}.0", f"{name}.{step}.1", stride if step == steps - 1 else 1))
        y = layer(y, f"{name}.{steps}", f"{name}.{steps + 1}")
        outputs = len(b.state[f"{name}.{steps}.weight"])
        x = b.add("Add", x, y) if stride == 1 and outputs == channels else y
        channels = outputs
    return b.head(b.relu6(layer(x, "features.18.0", "features.18.1")), "classifier.1")


def efficientnet_lite0(path: Path) -> Any:
    """Tan and Le 2019 without squeeze and excitation and with ReLU6; borders as TensorFlow's SAME."""
    b = FromCheckpoint(path)

    def layer(x: str, conv: str, norm: str, size: int, stride: int = 1) -> str:
        weight = b.state[f"{conv}.weight"]
        total = max((-(-size // stride) - 1) * stride + weight.shape[-1] - size, 0)
        pads = [total // 2, total // 2, total - total // 2, total - total // 2]
        return b.layer(x, conv, norm, stride, pads, len(weight) if weight.shape[1] == 1 else 1, 1e-3)

    x, size, number = b.relu6(layer("x", "_conv_stem", "_bn0", SIZE, 2)), SIZE // 2, 0
    for repeats, first in ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1)):
        for repeat in range(repeats):
            name, y, stride = f"_blocks.{number}", x, first if repeat == 0 else 1
            if f"{name}._expand_conv.weight" in b.state:
                y = b.relu6(layer(y, f"{name}._expand_conv", f"{name}._bn0", size))
            y = b.relu6(layer(y, f"{name}._depthwise_conv", f"{name}._bn1", size, stride))
            size = -(-size // stride)
            y = layer(y, f"{name}._project_conv", f"{name}._bn2", size)
            x, number = b.add("Add", y, x) if repeat else y, number + 1
    return b.head(b.relu6(layer(x, "_conv_head", "_bn1", size)), "_fc")


CHECKPOINTS = {"mobilenet_v2": mobilenet_v2, "efficientnet_lite0": efficientnet_lite0}
