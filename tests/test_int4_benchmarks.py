"""The benchmarks of 4-bit weights: they run, and what they time is the product; the language model of the examples."""
from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np

from pytorch_quantization_c import integer

from .benchmarks import FOLDER, load
from .process import run_python

ROOT = Path(__file__).resolve().parent.parent


def example(name: str) -> ModuleType:
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        return import_module(name)
    finally:
        sys.path.pop(0)


def test_our_call_is_the_product() -> None:
    peers = load("int4_peers")
    product = peers.Product(96, 40, 32, 5)
    weights, x = peers.weights_of(product)
    exact = x.astype(np.float64) @ ((weights.codes - 8.0) * np.repeat(weights.scale, 32, 1)).T
    assert np.abs(peers.CALLS["ours"](product, 1)() - exact).max() < 0.02 * np.abs(exact).max()


def test_the_short_run_prints_a_row_for_each_product() -> None:
    done = run_python(os.path.join(FOLDER, "bench_int4.py"), "--quick")
    assert done.returncode == 0, done.stderr
    assert [line.split()[:5] for line in done.stdout.splitlines()[2:4]] == [["256", "x", "512", "32", "1"],
                                                                            ["256", "x", "512", "32", "3"]]


def test_the_language_model_runs_on_integers_and_remembers_what_it_has_read() -> None:
    model = example("language_model").quantized(words=300, width=128, blocks=2, positions=24)
    prompt = np.array([5, 1, 299, 7, 7, 30])
    at_once = model(prompt, 0)
    for each in range(len(prompt)):
        one_by_one = model(prompt[each:each + 1], each)
    np.testing.assert_allclose(at_once, one_by_one, atol=1e-3 * np.abs(at_once).max())
    layers = [layer for _, layer in model.named_modules() if hasattr(layer, "execution")]
    assert len(layers) == 9 and all(layer.execution == "int8" and layer.weight is None for layer in layers)
    with integer.float_only():
        floats = model(prompt, 0)
    np.testing.assert_allclose(at_once, floats, atol=0.05 * np.abs(floats).max())
    words = model.generate([5, 1, 299], 10)
    assert len(words) == 10 and words == model.generate([5, 1, 299], 10)
    assert words[0] == int(model(np.array([5, 1, 299]), 0).argmax())
