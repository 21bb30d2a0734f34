"""`SmallResNet` of resnet.py on NumPy: the imports and the array type changed, and `flatten` became `reshape`."""
from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from pytorch_quantization_c import float_nn as nn
from pytorch_quantization_c.float_nn import functional as F

Array = NDArray[Any]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside the shortcut."""

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = nn.Sequential(nn.Conv2d(channels_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Array) -> Array:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.downsample(x))


class SmallResNet(nn.Module):
    """(n, 1, 28, 28) -> (n, 10): a 3x3 convolution and three basic blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.block1 = BasicBlock(8, 8, 2)
        self.block2 = BasicBlock(8, 16, 2)
        self.block3 = BasicBlock(16, 32, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(32, 10)

    def forward(self, x: Array) -> Array:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.block3(self.block2(self.block1(x)))
        logits: Array = self.fc(self.avgpool(x).reshape(len(x), -1))
        return logits
