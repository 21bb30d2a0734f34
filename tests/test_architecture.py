"""docs/architecture.md: the files that its traces name exist, and those in Python are the ones that run."""
from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import pytorch_quantization_c
from pytorch_quantization_c import nn, quant_modules

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "pytorch_quantization_c"
INSTALLED = Path(pytorch_quantization_c.__file__).parent
PAGE = (ROOT / "docs" / "architecture.md").read_text()
CALL, FREEZE = "One call of QuantConv2d, file by file", "One weight through freeze, file by file"


def steps(title: str) -> list[str]:
    """The numbered steps of a section."""
    section = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
    return re.split(r"^\d+\. ", section, flags=re.M)[1:]


def modules_in(step: str) -> list[str]:
    return re.findall(r"`([\w/]+/\w+\.py)`", step)


def files_that_run(call: Callable[[], Any]) -> list[str]:
    """The package's files whose functions a call enters, in the order of their first ones."""
    found: dict[str, None] = {}

    def enter(frame: FrameType, event: str, argument: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(INSTALLED):
            found[path.relative_to(INSTALLED).as_posix()] = None

    before = sys.getprofile()
    sys.setprofile(enter)
    try:
        call()
    finally:
        sys.setprofile(before)
    return list(found)


@pytest.mark.parametrize("title", re.findall(r"^## (.* file by file)$", PAGE, re.M))
def test_files_of_the_traces_exist(title: str) -> None:
    folder, found = ROOT, 0
    for path in re.findall(r"`((?:\w+/)*\w+\.(?:c|h|py))`", "".join(steps(title))):
        if "/" in path:  # a bare name is beside the one before it
            folder = next((root for root in (ROOT, PACKAGE) if (root / path).exists()), ROOT) / Path(path).parent
        assert (folder / Path(path).name).exists(), path
        found += 1
    assert found > 8


def test_a_call_goes_through_the_files_of_its_trace(rng: np.random.Generator) -> None:
    layer, x = nn.QuantConv2d(8, 8, 3), rng.standard_normal((1, 8, 9, 9)).astype(np.float32)
    named = [path for step in steps(CALL)[:-1] for path in modules_in(step)]
    layer(x)  # makes the engine
    layer.weight *= 2
    ran = [path for path in files_that_run(lambda: layer(x)) if path in named]
    assert layer.execution == "int8" and ran == list(dict.fromkeys(named))
    again = files_that_run(lambda: layer(x))
    assert again == named[:len(again)] and len(again) == 3, "nothing has changed since the last call"
    layer.weight_quantizer.disable()
    on_floats = files_that_run(lambda: layer(x))
    assert layer.execution.startswith("float") and set(modules_in(steps(CALL)[-1])) <= set(on_floats)


def test_a_weight_goes_through_the_files_of_its_trace(tmp_path: Path, rng: np.random.Generator) -> None:
    layer, x = nn.QuantConv2d(8, 8, 3), rng.standard_normal((1, 8, 9, 9)).astype(np.float32)

    def freeze_call_and_save() -> None:
        quant_modules.freeze(layer, keep_float=False)
        layer(x)
        quant_modules.save_frozen(layer, tmp_path / "frozen.safetensors")

    named = {path for step in steps(FREEZE) for path in modules_in(step)} - {"torch/_integer.py"}
    assert len(named) >= 7 and named <= set(files_that_run(freeze_call_and_save))
