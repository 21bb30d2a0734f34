"""What the notebooks share: the digits, the trained weights, accuracy and signal to noise."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytorch_quantization_c import demo

Array = NDArray[Any]

RESNET_WEIGHTS = Path(__file__).resolve().parent / "resnet_digits.npz"


def package_digits() -> demo.Digits:
    """The package's data: 100 images for calibration, 500 for testing with their labels, the LeNet's weights."""
    return demo.load_digits()


def training_digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The other 1,297 digits of scikit-learn, (n, 1, 28, 28) in 0 to 1, and their labels (needs scikit-learn)."""
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    rows = np.random.default_rng(2024).permutation(len(digits.images))[500:]
    return demo.enlarge(digits.images[rows]), digits.target[rows].astype(np.int64)


def resnet_weights() -> dict[str, Array]:
    """The state dictionary that `train_resnet.py` wrote."""
    with np.load(RESNET_WEIGHTS) as stored:
        return {name: stored[name] for name in stored.files}


def logits_of(model: Callable[[Array], Array], images: Array, batch: int = 100) -> Array:
    """(n, 10): the model's answers, `batch` images at a time."""
    return np.concatenate([model(images[start:start + batch]) for start in range(0, len(images), batch)])


def accuracy(logits: Array, labels: Array) -> float:
    """Percent of the rows whose largest logit is the label's."""
    return 100 * float(np.mean(logits.argmax(1) == labels))


def sqnr(reference: Array, noisy: Array) -> float:
    """10 log10(sum(reference^2) / sum((reference - noisy)^2)), in dB."""
    return demo.sqnr(reference, noisy)
