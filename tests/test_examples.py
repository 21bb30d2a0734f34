"""The notebooks in `examples/` are what their scripts say, were run without error, and are small."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
MAX_BYTES = 1_500_000


def cells(notebook: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return found


def text(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def test_there_are_notebooks_and_they_are_small() -> None:
    assert len(NOTEBOOKS) >= 4
    assert sum(path.stat().st_size for path in NOTEBOOKS) < MAX_BYTES


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_its_script(notebook: Path) -> None:
    """Without blank lines and marks, script and notebook have the same lines in the same order."""
    script = notebook.with_suffix(".py").read_text(encoding="utf-8").splitlines()[1:]
    lines = []
    for cell in cells(notebook):
        mark = "# " if cell["cell_type"] == "markdown" else ""
        lines += [(mark + line).rstrip() for line in text(cell).splitlines() if line.strip()]
    assert lines == [line for line in script if line not in ("", "#") and not line.startswith("# %%")], (
        "make notebooks")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_was_run_in_order_and_none_failed(notebook: Path) -> None:
    code = [cell for cell in cells(notebook) if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    kinds = {output["output_type"] for cell in code for output in cell["outputs"]}
    assert "stream" in kinds and "error" not in kinds
    warned = [text(cell) for cell in code for output in cell["outputs"] if output.get("name") == "stderr"]
    assert not warned
