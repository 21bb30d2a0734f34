"""Models of NumPy arrays for tests of tracing; `conv` and `linear` are the classes of their layers."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytorch_quantization_c import float_nn
from pytorch_quantization_c.float_nn import functional as F

Array = NDArray[Any]


class LeNet(float_nn.Module):
    def __init__(self, conv: Any = float_nn.Conv2d, linear: Any = float_nn.Linear) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv(1, 4, 5), conv(4, 8, 5)
        self.fc1, self.fc2 = linear(128, 20), linear(20, 10)

    def forward(self, x: Array) -> Array:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.reshape(x.shape[0], -1))))


class Block(float_nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, conv: Any) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, outputs, 3, stride, 1, bias=False), float_nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = conv(outputs, outputs, 3, 1, 1, bias=False), float_nn.BatchNorm2d(outputs)
        self.down = None if inputs == outputs else float_nn.Sequential(
            conv(inputs, outputs, 1, stride, bias=False), float_nn.BatchNorm2d(outputs))

    def forward(self, x: Array) -> Array:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.down is None else self.down(x)))


class ResNet(float_nn.Module):
    def __init__(self, conv: Any = float_nn.Conv2d, linear: Any = float_nn.Linear) -> None:
        super().__init__()
        self.stem, self.bn = conv(3, 8, 3, 2, 1, bias=False), float_nn.BatchNorm2d(8)
        self.layers = float_nn.Sequential(Block(8, 8, 1, conv), Block(8, 16, 2, conv))
        self.pool, self.flat, self.fc = float_nn.AdaptiveAvgPool2d(1), float_nn.Flatten(), linear(16, 10)

    def forward(self, x: Array) -> Array:
        x = F.max_pool2d(F.relu(self.bn(self.stem(x))), 3, 2, 1)
        return self.fc(self.flat(self.pool(self.layers(x))))


class Transformer(float_nn.Module):
    """One block: 2 heads, 16 wide."""

    def __init__(self, linear: Any = float_nn.Linear) -> None:
        super().__init__()
        self.norm1, self.norm2 = float_nn.LayerNorm(16), float_nn.LayerNorm(16)
        self.q, self.k, self.v, self.out = (linear(16, 16) for _ in range(4))
        self.up, self.down, self.act = linear(16, 64), linear(64, 16), float_nn.GELU()

    def heads(self, x: Array) -> Array:
        return x.reshape(x.shape[0], x.shape[1], 2, 8).transpose(0, 2, 1, 3)

    def forward(self, x: Array) -> Array:
        y = self.norm1(x)
        q, k, v = (self.heads(layer(y)) for layer in (self.q, self.k, self.v))
        attention = F.softmax(q @ k.transpose(0, 1, 3, 2) / np.sqrt(np.float32(8)), -1)
        x = x + self.out((attention @ v).transpose(0, 2, 1, 3).reshape(x.shape))
        return x + self.down(self.act(self.up(self.norm2(x))))


class PlainGRU:
    """In plain NumPy: (N, T, inputs) to all states and the last."""

    def __init__(self, rng: np.random.Generator, inputs: int = 5, size: int = 6) -> None:
        self.size = size
        self.w, self.u, self.b = (rng.standard_normal(shape).astype(np.float32) for shape in
                                  ((inputs, 3 * size), (size, 3 * size), (3 * size,)))

    def __call__(self, x: Array) -> tuple[Array, Array]:
        h, states, n = np.zeros((x.shape[0], self.size), np.float32), [], self.size
        for t in range(x.shape[1]):
            a, c = x[:, t] @ self.w + self.b, h @ self.u
            z, r = 1 / (1 + np.exp(-(a[:, :2 * n] + c[:, :2 * n]).reshape(-1, 2, n))).transpose(1, 0, 2)
            h = (1 - z) * np.tanh(a[:, 2 * n:] + r * c[:, 2 * n:]) + z * h
            states.append(h)
        return np.stack(states, axis=1), h


def ready(net: Any, rng: np.random.Generator) -> Any:
    """In evaluation mode, with ranges and statistics of no special value."""
    for name, module in net.named_modules():
        if name.endswith("_input_quantizer") or "_input_quantizers." in name:
            module.amax = np.float32(rng.uniform(2, 4))
        if isinstance(module, float_nn.BatchNorm2d):
            for array in (module.running_mean, module.weight, module.bias):
                array[...] = rng.standard_normal(array.shape)
            module.running_var[...] = rng.uniform(0.5, 2, module.running_var.shape)
    return net.eval()
