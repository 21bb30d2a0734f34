"""`python -m pytorch_quantization_c demo`: a trained LeNet, quantised in several ways and measured."""
# pyright: reportArgumentType=false
from __future__ import annotations

import time
from collections.abc import Callable
from importlib.resources import as_file, files
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import float_nn
from . import nn as quant_nn
from ._core.files import FilePath, open_file
from ._core.noise import Ratio
from ._core.npz import read_arrays
from .float_nn import functional as F
from .graph.session import load_session
from .model.calibrating import calibrating
from .tensor_quant import QuantDescriptor

Array = npt.NDArray[Any]

SIZE = 28
REPEATS = 5
ALONE = 20  # images that are timed one by one
STORED = {
    "test_images": ("|u1", (500, 8, 8)), "test_labels": ("|u1", (500,)), "calibration_images": ("|u1", (100, 8, 8)),
    "conv1.weight": ("<f4", (10, 1, 5, 5)), "conv1.bias": ("<f4", (10,)), "conv2.weight": ("<f4", (20, 10, 5, 5)),
    "conv2.bias": ("<f4", (20,)), "fc1.weight": ("<f4", (50, 320)), "fc1.bias": ("<f4", (50,)),
    "fc2.weight": ("<f4", (10, 50)), "fc2.bias": ("<f4", (10,)),
}


class Row(NamedTuple):
    """One line of the table: accuracy in percent, sqnr in dB (infinite for the float net), time of one batch, and of
    one image alone in microseconds."""

    name: str
    accuracy: float
    sqnr: float
    milliseconds: float
    microseconds: float
    weight_bytes: int


class Digits(NamedTuple):
    """The package data: (n, 1, 28, 28) float32 images in 0 to 1, the labels of the test images, the trained weights."""

    calibration_images: Array
    test_images: Array
    test_labels: Array
    weights: dict[str, Array]


class LeNet(float_nn.Module):
    """Two convolutions, two fully connected layers; built from float or from quantised layer classes."""

    def __init__(self, conv: Callable[..., Any], linear: Callable[..., Any], **descriptors: QuantDescriptor) -> None:
        super().__init__()
        self.conv1 = conv(1, 10, kernel_size=5, **descriptors)
        self.conv2 = conv(10, 20, kernel_size=5, **descriptors)
        self.fc1 = linear(320, 50, **descriptors)
        self.fc2 = linear(50, 10, **descriptors)

    def forward(self, x: Array) -> Array:
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        x = F.relu(self.fc1(x.reshape(-1, 320)))
        logits: Array = self.fc2(x)
        return logits


def enlarge(images: Array) -> npt.NDArray[np.float32]:
    """(n, 8, 8) values 0 to 16 -> (n, 1, 28, 28) float32 in 0 to 1: bilinear, borders repeated."""
    small = images.shape[-1]
    position = np.clip((np.arange(SIZE) + 0.5) * small / SIZE - 0.5, 0, small - 1)
    weights = np.maximum(0, 1 - abs(position[:, None] - np.arange(small)))
    large: Array = weights @ (images / 16) @ weights.T
    return large[:, None].astype(np.float32)


def load_digits(path: FilePath | None = None) -> Digits:
    """The data shipped with the package, or a file like it. ValueError if it is damaged."""
    if path is None:
        with (files(__package__) / "data" / "lenet_digits.npz").open("rb") as stream:
            arrays = read_arrays(stream, STORED)
    else:
        with open_file(path) as (stream, _):
            arrays = read_arrays(stream, STORED)
    calibration_images = enlarge(arrays.pop("calibration_images"))
    test_images, test_labels = enlarge(arrays.pop("test_images")), arrays.pop("test_labels")
    return Digits(calibration_images, test_images, test_labels, arrays)


def float_net(digits: Digits) -> LeNet:
    return loaded(LeNet(float_nn.Conv2d, float_nn.Linear), digits)


def quantised_net(digits: Digits, num_bits: int | tuple[int, int] | None = None) -> LeNet:
    """The net of quantised layers: their default descriptors, or these bits with one amax a weight row."""
    descriptors = {}
    if num_bits is not None:
        descriptors = {
            "quant_desc_input": QuantDescriptor(num_bits=num_bits),
            "quant_desc_weight": QuantDescriptor(num_bits=num_bits, axis=0),
        }
    return loaded(LeNet(quant_nn.QuantConv2d, quant_nn.QuantLinear, **descriptors), digits)


def loaded(net: LeNet, digits: Digits) -> LeNet:
    net.load_state_dict(digits.weights)
    net.eval()
    return net


def calibrate(net: LeNet, images: Array) -> None:
    """Max calibration: collect with quantisation off, then fix every amax."""
    with calibrating(net, load_amax=True):
        net(images)


def program() -> Callable[[Array], Array]:
    """The calibrated net as the package ships it: a program, made by `examples/compile_lenet.py`."""
    with as_file(files(__package__) / "data" / "lenet.pqc") as path:
        session = load_session(path)
    return lambda images: session.run(None, {"x": images})[0]


def weight_bytes(digits: Digits, bits: int = 32) -> int:
    """Weights at this width and float32 biases; below 32 bits also one float32 scale for each weight row."""
    total = 0
    for name, array in digits.weights.items():
        if name.endswith(".bias") or bits == 32:
            total += 4 * array.size
        else:
            total += (array.size * bits + 7) // 8 + 4 * len(array)
    return total


def batches(images: Array, size: int) -> list[Array]:
    return [images[start:start + size] for start in range(0, len(images), size)]


def logits_and_time(net: Callable[[Array], Array], images: Array, batch: int) -> tuple[Array, float]:
    """The logits of all images, and the milliseconds of the fastest full batch in a few rounds."""
    parts = batches(images, batch)
    logits = np.concatenate([net(part) for part in parts])
    return logits, 1000 * fastest(net, parts[:max(1, len(images) // batch)], REPEATS)


def fastest(net: Callable[[Array], Array], parts: list[Array], repeats: int) -> float:
    """The seconds of the fastest call."""
    found = float("inf")
    for _ in range(repeats):
        for part in parts:
            start = time.perf_counter()
            net(part)
            found = min(found, time.perf_counter() - start)
    return found


def sqnr(reference: Array, noisy: Array) -> float:
    """Signal to quantisation noise ratio in dB: 10 log10(sum(reference^2) / sum((reference - noisy)^2))."""
    ratio = Ratio()
    ratio.add(reference, noisy)
    return ratio.sqnr


def run(batch: int = 100) -> list[Row]:
    """Measures every variant on the test images, `batch` images at a time."""
    digits = load_digits()
    calibrated = quantised_net(digits)
    calibrate(calibrated, digits.calibration_images)
    variants: list[tuple[str, Callable[[Array], Array], int]] = [
        ("float32", float_net(digits), 32),
        ("8 bits, dynamic amax (default)", quantised_net(digits), 8),
        ("8 bits, max calibration", calibrated, 8),
        ("the same, whole network compiled", program(), 8),
        ("4 bits, dynamic amax", quantised_net(digits, 4), 4),
        ("E4M3, dynamic amax", quantised_net(digits, (4, 3)), 8),
    ]
    rows, reference = [], None
    for name, net, bits in variants:
        logits, milliseconds = logits_and_time(net, digits.test_images, batch)
        reference = logits if reference is None else reference
        accuracy = 100 * float(np.mean(logits.argmax(1) == digits.test_labels))
        alone = 1e6 * fastest(net, batches(digits.test_images[:ALONE], 1), REPEATS)
        rows.append(Row(name, accuracy, sqnr(reference, logits), milliseconds, alone, weight_bytes(digits, bits)))
    return rows


def table(rows: list[Row], batch: int) -> str:
    title, speed = "LeNet on handwritten digits", f"ms / {batch} images"
    lines = [f"{title:33} {'accuracy':>9} {'SQNR':>9} {speed:>15} {'us / 1 image':>13} {'weights':>9}"]
    for row in rows:
        noise = "" if row.sqnr == float("inf") else f"{row.sqnr:.1f} dB"
        size = f"{row.weight_bytes / 1000:.1f} kB"
        lines.append(f"{row.name:33} {row.accuracy:7.1f} % {noise:>9} {row.milliseconds:15.2f} "
                     f"{row.microseconds:13.0f} {size:>9}")
    return "\n".join(lines)
