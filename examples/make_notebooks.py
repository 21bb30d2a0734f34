"""Makes the notebooks from the scripts of the same name, and runs them.

    python examples/make_notebooks.py [--run-only] [--jobs N] [NAME ...]

A script is divided into cells by lines that begin `# %%`; cells of text begin `# %% [markdown]`. The notebook holds the
same cells and what they printed and drew. `--run-only` runs the scripts' cells and writes nothing; `--jobs`, for which
times in the notebooks are no measure, runs several at a time.
"""
from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

FOLDER = Path(__file__).resolve().parent
NAMES = ("quantization_basics", "post_training", "accuracy_methods", "onnx_model", "mixed_precision",
         "fine_tuning", "resnet50")
LONGEST_RUN = 300


def cells_of(script: Path) -> list[tuple[str, str]]:
    """("markdown" or "code", text) of each cell of a script."""
    cells = []
    for part in script.read_text(encoding="utf-8").split("\n# %%")[1:]:
        head, _, body = part.partition("\n")
        if "[markdown]" in head:
            text = "\n".join(line.removeprefix("#").removeprefix(" ") for line in body.strip().splitlines())
            cells.append(("markdown", text))
        else:
            cells.append(("code", body.strip()))
    return cells


def notebook_of(script: Path) -> Any:
    cells = []
    for number, (kind, text) in enumerate(cells_of(script), 1):
        cell = new_markdown_cell(text) if kind == "markdown" else new_code_cell(text)
        cell["id"] = f"cell-{number:02}"
        cells.append(cell)
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return new_notebook(cells=cells, metadata=kernel)


def run(notebook: Any) -> None:
    """Runs the cells in this folder. CellExecutionError for one that raises."""
    client = NotebookClient(notebook, timeout=LONGEST_RUN, kernel_name="python3", record_timing=False,
                            coalesce_streams=True, resources={"metadata": {"path": str(FOLDER)}})
    client.execute()
    notebook.metadata.pop("language_info", None)


def make(name: str, is_written: bool) -> None:
    """Runs one notebook, and writes it if it is to be written."""
    start = time.perf_counter()
    notebook = notebook_of(FOLDER / f"{name}.py")
    run(notebook)
    print(f"{name}: {time.perf_counter() - start:.1f} s", flush=True)
    if is_written:
        nbformat.write(notebook, FOLDER / f"{name}.ipynb")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the notebooks from the scripts of the same name.")
    parser.add_argument("--run-only", action="store_true", help="run the cells and write nothing")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="how many at a time (default: 1)")
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME")
    options = parser.parse_args()
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda name: make(name, not options.run_only), options.names))


if __name__ == "__main__":
    main()
