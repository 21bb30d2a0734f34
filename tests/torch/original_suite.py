"""Runs the original's own tests on the twin, on a machine without CUDA.

    python tests/torch/original_suite.py CHECKOUT [arguments of pytest]

CHECKOUT is the folder tools/pytorch-quantization of NVIDIA's TensorRT repository; nothing of it is copied or changed.
Needed besides torch: onnx, onnxruntime, scipy, absl-py, and torchvision for the tests that use its models. What asks
for a GPU is made harmless, and what has changed in torch since is put back:

- `.cuda()`, `device="cuda"`, `torch.cuda.device(...)` and CUDA's default tensor type mean the CPU;
- `torch.load` reads vectors that were saved on a GPU, with pickle, as it used to;
- `torch.onnx.export` means the exporter of the time, `dynamo=False`;
- weights that would be downloaded are torchvision's random ones (the tests only export the model).
"""
from __future__ import annotations

import contextlib
import functools
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

FACTORIES = ("arange", "as_tensor", "empty", "eye", "full", "linspace", "ones", "rand", "randint", "randn", "tensor",
             "zeros")


def with_defaults(function: Any, **defaults: Any) -> Any:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **{**defaults, **kwargs})
    return call


def on_the_cpu(function: Any) -> Any:
    """`function`, with "cpu" for "cuda" among its arguments."""
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        def there(value: Any) -> Any:
            return value.replace("torch.cuda.", "torch.").replace("cuda", "cpu") if isinstance(value, str) else value
        return function(*map(there, args), **{name: there(value) for name, value in kwargs.items()})
    return call


def make_harmless() -> None:
    for cls in (torch.Tensor, torch.nn.Module):
        cls.cuda = lambda self, *args, **kwargs: self       # type: ignore[method-assign]
        cls.to = on_the_cpu(cls.to)                         # type: ignore[method-assign]
    for name in FACTORIES:
        setattr(torch, name, on_the_cpu(getattr(torch, name)))
    torch.set_default_tensor_type = on_the_cpu(torch.set_default_tensor_type)
    torch.cuda.device = contextlib.nullcontext              # type: ignore[assignment, misc]
    torch.load = with_defaults(torch.load, map_location="cpu", weights_only=False)
    torch.onnx.export = with_defaults(torch.onnx.export, dynamo=False)
    with contextlib.suppress(ImportError):
        import torchvision

        def random_weights(url: str, *args: Any, **kwargs: Any) -> Any:
            return getattr(torchvision.models, url.rpartition("/")[2].partition("-")[0])().state_dict()

        torch.hub.load_state_dict_from_url = random_weights  # type: ignore[assignment]


def main(checkout: Path, arguments: list[str]) -> int:
    make_harmless()
    os.chdir(checkout)
    sys.path[:0] = [str(checkout), str(Path(__file__).parents[2])]
    import pytorch_quantization_c.torch as twin

    twin.install()
    tests = checkout / "tests"
    files = sorted(str(each) for each in (*tests.glob("*_test.py"), *tests.glob("test_*.py")))
    return int(pytest.main(["-q", "-p", "no:cacheprovider", f"--rootdir={checkout}", "--import-mode=prepend",
                            *arguments, *files]))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2:]))
