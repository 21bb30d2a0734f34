"""The Python code blocks of README, csrc and docs run as they stand, a page at a time, in the order of the page."""
from __future__ import annotations

import doctest
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
PACKAGES = ("torch", "onnxruntime", "dask", "matplotlib")


def blocks(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text())


def can_run(block: str) -> bool:
    """False if it imports a package that is not installed; a page's first block decides for the whole page."""
    needed = [name for name in PACKAGES if re.search(rf"^\s*(>>> )?(import|from) {name}\b", block, re.M)]
    if re.search(r"pytorch_quantization_c(\.| import )torch\b", block):
        needed.append("torch")
    return all(find_spec(name) for name in needed)


TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in TEXTS if blocks(page) and can_run(blocks(page)[0])]


@pytest.fixture(autouse=True)
def no_other_name() -> Iterator[None]:
    """Takes back `pytorch_quantization_c.torch.install()`."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "pytorch_quantization":
            del sys.modules[name]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for number, block in enumerate(filter(can_run, blocks(page)), 1):
        if block.startswith(">>>"):
            example = doctest.DocTestParser().get_doctest(block, names, f"{page.name}, block {number}", str(page), 0)
            found: list[str] = []
            runner.run(example, out=found.append, clear_globs=False)
            names = example.globs
            assert not found, "".join(found)
        else:
            exec(compile(block, f"{page.name}, block {number}", "exec"), names)


def test_readme_begins_with_its_two_commands() -> None:
    commands = re.findall(r"^```bash\n(.*?)\n```$", (ROOT / "README.md").read_text(), re.M | re.S)
    assert commands[:2] == [
        "pip install . && python -m pytorch_quantization_c demo",
        "pip install '.[test]' && pytest",
    ]


def test_links_to_files_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "csrc" / "README.md", *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_readme_names_every_deviation() -> None:
    rows = re.findall(r"^\| (D\d+) \|", (ROOT / "README.md").read_text(), re.M)
    assert rows == [f"D{number}" for number in range(1, 26)]
