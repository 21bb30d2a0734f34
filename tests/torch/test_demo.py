"""The demonstration against torch: the enlarged images, and the float network's logits."""
from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from pytorch_quantization_c import demo


def test_enlarging_is_torchs_bilinear() -> None:
    images = np.random.default_rng(3).integers(0, 17, (20, 8, 8)).astype(np.uint8)
    small = torch.from_numpy(images / 16).unsqueeze(1)
    expected = F.interpolate(small, size=(28, 28), mode="bilinear", align_corners=False).numpy()
    np.testing.assert_allclose(demo.enlarge(images), expected, rtol=0, atol=1e-7)


def test_float_logits_are_torchs() -> None:
    digits = demo.load_digits()
    weights = {name: torch.from_numpy(value) for name, value in digits.weights.items()}
    x = torch.from_numpy(digits.test_images[:40])
    for name in ("conv1", "conv2"):
        x = F.relu(F.max_pool2d(F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"]), 2))
    x = F.relu(F.linear(x.reshape(-1, 320), weights["fc1.weight"], weights["fc1.bias"]))
    expected = F.linear(x, weights["fc2.weight"], weights["fc2.bias"]).numpy()
    np.testing.assert_allclose(demo.float_net(digits)(digits.test_images[:40]), expected, rtol=1e-4, atol=1e-4)
