"""The Python code blocks of README and docs run as they stand, a page at a time, in the order of the page."""
from __future__ import annotations

import ast
import codeop
import doctest
import itertools
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
FENCE = re.compile(r"^[ \t>*+\d.-]*(```|~~~)", re.M)
PACKAGES = ("torch", "onnx", "onnxruntime", "dask", "matplotlib")


def blocks(page: Path, language: str = "python") -> list[str]:
    return [text for found, text in BLOCK.findall(page.read_text()) if found == language]


def can_run(block: str) -> bool:
    """False if it imports a package that is not installed; a page ends there, as later blocks may build on it."""
    needed = [name for name in PACKAGES if re.search(rf"^\s*(>>> )?(import|from) {name}\b", block, re.M)]
    if re.search(r"pytorch_quantization_c(\.| import )torch\b", block):
        needed.append("torch")
    if re.search(r"pytorch_quantization_c(\.| import ([\w, ]+, )?)graph\b", block):
        needed.append("onnxscript")
    return all(find_spec(name) for name in needed)


TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BASH = [(page, line) for page in TEXTS for block in blocks(page, "bash") for line in block.splitlines()]
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
    names: dict[str, object] = {"__name__": "__main__"}     # as in a script: worker processes get what it defines
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for number, block in enumerate(itertools.takewhile(can_run, blocks(page)), 1):
        if block.startswith(">>>"):
            example = doctest.DocTestParser().get_doctest(block, names, f"{page.name}, block {number}", str(page), 0)
            found: list[str] = []
            runner.run(example, out=found.append, clear_globs=False)
            names = example.globs
            assert not found, "".join(found)
        else:
            exec(compile(block, f"{page.name}, block {number}", "exec"), names)


def test_no_block_is_missed() -> None:
    """Every fence opens or closes a block that the expression above finds, and its language is one with a check."""
    for page in TEXTS:
        found = BLOCK.findall(page.read_text())
        assert len(FENCE.findall(page.read_text())) == 2 * len(found), page.name
        assert {language for language, _ in found} <= {"python", "bash", "text"}, page.name
    assert sum(len(blocks(page)) for page in TEXTS) >= 40


def test_no_code_hides_in_a_block_of_text() -> None:
    for page in TEXTS:
        for block in blocks(page, "text"):
            with pytest.raises(SyntaxError):
                ast.parse(block)


@pytest.mark.parametrize(("page", "line"), BASH, ids=lambda value: str(getattr(value, "name", value)))
def test_commands_name_what_is_there(page: Path, line: str) -> None:
    for extra in re.findall(r"pip install '[\w.-]*\[([\w,]+)\]'", line):
        project = (ROOT / "pyproject.toml").read_text().partition("[project.optional-dependencies]\n")[2]
        assert set(extra.split(",")) <= set(re.findall(r"^(\w+) =", project.partition("\n\n")[0], re.M))
    for script in re.findall(r"python (\S+\.py)", line):
        assert (ROOT / script).exists()
    assert re.match(r"pip (install|wheel) |python |make ", line)


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


def test_the_table_of_deviations_is_whole() -> None:
    rows = re.findall(r"^\| (D\d+) \|", (ROOT / "docs" / "migration.md").read_text(), re.M)
    assert [row for row in rows if row != "D27"] == [f"D{number}" for number in range(1, 35) if number != 27]
    assert "](docs/migration.md#the-deviations)" in (ROOT / "README.md").read_text()


def pasted(block: str) -> None:
    """Compiles a block as the plain prompt of Python does that gets it line by line."""
    waiting: list[str] = []
    for number, line in enumerate([*block.splitlines(), ""], 1):
        waiting.append(line)
        try:
            if codeop.compile_command("\n".join(waiting), symbol="single") is not None:
                waiting = []
        except SyntaxError as error:
            raise AssertionError(f"line {number}, {line!r}: {error.msg}") from None
    assert not [line for line in waiting if line.strip()]


@pytest.mark.parametrize("page", [page for page in TEXTS if blocks(page)], ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_can_be_pasted_at_a_plain_prompt(page: Path) -> None:
    for number, block in enumerate(blocks(page), 1):
        if not block.startswith(">>>"):
            try:
                pasted(block)
            except AssertionError as error:
                raise AssertionError(f"{page.name}, block {number}, {error}") from None


def test_code_of_pages_is_narrow() -> None:
    """The site shows 90 columns without a scroll bar."""
    for page in TEXTS[1:]:
        for block in blocks(page):
            assert max(map(len, block.splitlines()), default=0) <= 90, (page.name, block)


def test_what_a_function_returns_is_no_type_on_its_page() -> None:
    """The site sets what stands before a colon on the first line of "Returns:" as code, as if it were a type."""
    for path in sorted((ROOT / "pytorch_quantization_c").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                first = re.findall(r"^(?:Returns|Yields):\n +(.*)$", ast.get_docstring(node) or "", re.M)
                assert not [line for line in first if re.search(r":(?: |$)", line)], f"{path.name}: {first}"
