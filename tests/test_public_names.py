"""Docs and examples use public names alone, and what was private in the original has a public name of its own."""
from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest

from pytorch_quantization_c import calib, nn
from pytorch_quantization_c.tensor_quant import QuantDescriptor

ROOT = Path(__file__).resolve().parent.parent
QUANTIZERS = r"_(input|weight)_quantizers?"  # parts of names in state dictionaries, as the original has them
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").glob("*.py"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_private_is_used(page: Path) -> None:
    found = re.findall(rf"(?<!self)(?<!os)(?<!\.)\.(?!{QUANTIZERS})_[a-z]\w*", page.read_text())
    assert not found


def test_the_histogram_of_a_quantizer_has_public_names() -> None:
    quantizer = nn.TensorQuantizer(QuantDescriptor(calib_method="histogram"), if_quant=False, if_calib=True)
    calibrator = quantizer.calibrator
    assert isinstance(calibrator, calib.HistogramCalibrator) and calibrator.histogram is None
    x = np.linspace(-1, 1, 1001, dtype=np.float32)
    quantizer(x)
    counts, edges = calibrator.histogram
    wanted, bounds = np.histogram(np.abs(x), 2048, (0, 1))
    np.testing.assert_allclose(edges, bounds, atol=1e-6)
    assert counts.sum() == wanted.sum() == 1001
    counts[...] = 0
    assert calibrator.histogram[0].sum() == 1001


def test_the_histogram_of_each_channel() -> None:
    calibrator = calib.HistogramCalibrator(8, 0, False)
    calibrator.collect(np.arange(1, 7, dtype=np.float32).reshape(2, 3))
    counts, edges = calibrator.histogram
    assert [each.sum() for each in counts] == [3, 3] and [each[-1] for each in edges] == [3, 6]


def test_the_mixins_for_own_layers_are_public() -> None:
    from pytorch_quantization_c.nn.modules import _utils

    for name in ("QuantMixin", "QuantInputMixin", "pop_quant_desc_in_kwargs"):
        assert getattr(nn, name) is getattr(_utils, name) and name in nn.__all__


def listed(path: Path) -> set[str]:
    """`__all__` as the file has it: what it imports need not be there."""
    found = re.search(r"^__all__ = (\[.*?\])", path.read_text(), re.M | re.S)
    assert found, path
    return set(ast.literal_eval(found.group(1)))


@pytest.mark.parametrize("package", ["graph", "methods"])
def test_the_pages_of_the_api_have_every_name(package: str) -> None:
    text = (ROOT / "docs" / "api" / f"{package}.md").read_text()
    shown = set(re.findall(r"^::: [\w.]+\.(\w+)$", text, re.M)) | set(re.findall(r"\w+", " ".join(
        re.findall(r"members: \[(.*)\]", text))))
    files = [ROOT / f"{name.replace('.', '/')}.py" for name in re.findall(r"^::: ([\w.]+)$", text, re.M)]
    for path in filter(Path.exists, files):
        shown |= listed(path)
    names = listed(ROOT / "pytorch_quantization_c" / package / "__init__.py")
    assert names and names <= shown, sorted(names - shown)
