"""Trains the LeNet that ships with the package and writes `pytorch_quantization_c/data/lenet_digits.npz`.

    pip install torch==2.13.0 scikit-learn && python examples/train_lenet.py [--output FILE] [--check FILE]

The network is the one of pytorch-quantization's README: two 5x5 convolutions (1-10-20), two fully connected layers
(320-50-10). The images are scikit-learn's handwritten digits, 8x8 with values 0 to 16, enlarged to 28x28 (bilinear);
500 of the 1,797 are held out for testing and never seen in training; they are shipped as they are, with 100 of the
training images for calibration.

The run is repeatable: one thread, deterministic algorithms, fixed seeds. It computes in float64 and rounds the weights
to float32 at the end, so that the last bits of a sum, which differ from one CPU to another, do not reach the file.
`--check` compares a fresh run with an existing file, array for array.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

TEST_IMAGES = 500
CALIBRATION_IMAGES = 100
EPOCHS = 24
BATCH = 32
DEFAULT_OUTPUT = Path(__file__).resolve().parent.parent / "pytorch_quantization_c" / "data" / "lenet_digits.npz"


class LeNet(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = torch.nn.Conv2d(1, 10, kernel_size=5)
        self.conv2 = torch.nn.Conv2d(10, 20, kernel_size=5)
        self.fc1 = torch.nn.Linear(320, 50)
        self.fc2 = torch.nn.Linear(50, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        x = F.relu(self.fc1(x.reshape(-1, 320)))
        logits: torch.Tensor = self.fc2(x)
        return logits


def enlarge(images: np.ndarray) -> torch.Tensor:
    """(n, 8, 8) values 0 to 16 -> (n, 1, 28, 28) float64 in 0 to 1."""
    small = torch.from_numpy(images.astype(np.float64) / 16).unsqueeze(1)
    return F.interpolate(small, size=(28, 28), mode="bilinear", align_corners=False)


def split(count: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(2024).permutation(count)
    return order[TEST_IMAGES:], np.sort(order[:TEST_IMAGES])


def shifted(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Each image moved by up to two pixels each way (wrapping round), drawn anew for every batch."""
    moves = rng.integers(-2, 3, (len(images), 2)).tolist()
    return torch.stack([torch.roll(image, move, (1, 2)) for image, move in zip(images, moves, strict=True)])


def initialise(model: LeNet, rng: np.random.Generator) -> None:
    """Uniform in +-1/sqrt(fan in), torch's own default, drawn by NumPy: its stream is the same on every machine."""
    with torch.no_grad():
        for layer in (model.conv1, model.conv2, model.fc1, model.fc2):
            bound = 1 / np.sqrt(layer.weight[0].numel())
            for parameter in layer.parameters():
                parameter.copy_(torch.from_numpy(rng.uniform(-bound, bound, tuple(parameter.shape))))


def train(images: torch.Tensor, labels: torch.Tensor) -> LeNet:
    rng = np.random.default_rng(7)
    model = LeNet().double()
    initialise(model, rng)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for epoch in range(EPOCHS):
        total = 0.0
        for batch in np.array_split(rng.permutation(len(images)), len(images) // BATCH):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(shifted(images[batch], rng)), labels[batch])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        schedule.step()
        print(f"epoch {epoch + 1:2d}  loss {total / len(images):.4f}", flush=True)
    return model


def make_arrays() -> dict[str, Any]:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    digits: Any = load_digits()
    train_rows, test_rows = split(len(digits.images))
    model = train(enlarge(digits.images[train_rows]), torch.from_numpy(digits.target[train_rows].astype(np.int64)))
    weights = {name: value.detach().numpy().astype(np.float32) for name, value in model.state_dict().items()}
    with torch.no_grad():
        model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        predicted = model(enlarge(digits.images[test_rows])).argmax(1).numpy()
    right = int((predicted == digits.target[test_rows]).sum())
    print(f"held-out accuracy {right}/{TEST_IMAGES} = {100 * right / TEST_IMAGES:.1f} %")
    return {
        "calibration_images": digits.images[train_rows[:CALIBRATION_IMAGES]].astype(np.uint8),
        "test_images": digits.images[test_rows].astype(np.uint8),
        "test_labels": digits.target[test_rows].astype(np.uint8),
        **weights,
    }


def compare(arrays: dict[str, np.ndarray], path: Path) -> bool:
    with np.load(path) as stored:
        if sorted(stored.files) != sorted(arrays):
            print(f"other names: {sorted(stored.files)}")
            return False
        different = [name for name in arrays if arrays[name].tobytes() != stored[name].tobytes()]
    for name in different:
        print(f"differs: {name}")
    return not different


def main() -> int:
    parser = argparse.ArgumentParser(description="Train the LeNet of the demo.")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    parser.add_argument("--check", type=Path, help="compare with this file instead of writing one")
    options = parser.parse_args()
    arrays = make_arrays()
    if options.check is not None:
        same = compare(arrays, options.check)
        print("same arrays" if same else "NOT the same arrays")
        return 0 if same else 1
    np.savez_compressed(options.output, **arrays)
    print(f"wrote {options.output} ({options.output.stat().st_size} bytes)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
