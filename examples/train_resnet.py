"""Trains the small residual network of the notebooks and writes `examples/resnet_digits.npz`.

    pip install torch scikit-learn && python examples/train_resnet.py [--output FILE]

Same images and same split as `train_lenet.py`: the 500 test images of the package are never seen here.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from digits import RESNET_WEIGHTS, package_digits, training_digits
from resnet import SmallResNet

EPOCHS = 20
BATCH = 32


def train(images: torch.Tensor, labels: torch.Tensor) -> SmallResNet:
    torch.manual_seed(11)
    rng = np.random.default_rng(11)
    model = SmallResNet().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=True)
    steps = EPOCHS * (len(images) // BATCH)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=steps)
    for _ in range(EPOCHS):
        order = rng.permutation(len(images))
        for start in range(0, len(images) - BATCH + 1, BATCH):
            rows = torch.from_numpy(order[start:start + BATCH])
            down, right = rng.integers(-2, 3, 2).tolist()
            loss = F.cross_entropy(model(torch.roll(images[rows], (down, right), (2, 3))), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the small residual network of the notebooks.")
    parser.add_argument("--output", type=Path, default=RESNET_WEIGHTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    images, labels = training_digits()
    model = train(torch.from_numpy(images), torch.from_numpy(labels))
    digits = package_digits()
    with torch.no_grad():
        predicted = model(torch.from_numpy(digits.test_images)).argmax(1).numpy()
    print(f"held-out accuracy {100 * np.mean(predicted == digits.test_labels):.1f} %")
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    np.savez_compressed(options.output, **weights)
    print(f"wrote {options.output} ({options.output.stat().st_size} bytes)")


if __name__ == "__main__":
    main()
