"""The commands on ONNX files: `quantize`, `compare`, `run` and `demo --onnx`."""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from ..._core.files import write_file
from ..._core.npz import npz_of
from ..analysis.comparison import Comparison, compare
from ..analysis.node_summary import summary
from ..calibration.batches import fitting, numbered
from ..files.reader import load
from ..files.writer import save
from ..nodes import quantizers
from ..quantizing import quantize
from ..session import Session
from .batch_files import Data
from .model_demo import run_demo

ROUNDING_DB = 100.0  # above, the noise is that of float32


def run_quantize(options: argparse.Namespace) -> None:
    """Quantises a file, writes the result and prints what became of it."""
    _output_of_its_own(Path(options.model), Path(options.output))
    model, data = load(options.model), None if options.data is None else Data(options.data)
    int8 = quantize(model, data, method=options.method, percentile=options.percentile, residual=options.residual,
                    zero_point=False if options.symmetric else "auto", target=options.target,
                    exclude=tuple(options.exclude))
    save(int8, options.output)
    if options.summary:
        summary(int8)
    count = sum(1 for _ in quantizers(int8))
    sizes = [Path(path).stat().st_size for path in (options.model, options.output)]
    print(f"{options.output}: {count} quantisers, {_megabytes(sizes[1])} (float: {_megabytes(sizes[0])})")
    if data is not None:
        found = compare(model, int8, data)
        for name, value in found.outputs.items():
            print(f"SQNR of {name}: {value:.1f} dB, on the calibration data")
        for name, value in found.agreement.items():
            print(f"{name}: {100 * value:.2f} % equal, on the calibration data")


def _output_of_its_own(model: Path, output: Path) -> None:
    """Looks at the output before minutes are spent on what goes into it."""
    if output.exists() and model.exists() and output.samefile(model):
        raise ValueError(f"Expected `--output` to be another file than the float model, got {output} for both")
    if not output.absolute().parent.is_dir():
        raise FileNotFoundError(f"Expected `--output` in a folder that exists, {output.parent} does not")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB"


def run_compare(options: argparse.Namespace) -> None:
    """Prints the comparison of two files."""
    b = load(options.b)
    found: Comparison = compare(load(options.a), b, Data(options.data))
    print(found)
    weights = {each.name for each in quantizers(b) if each.is_weight}
    if any(row.quantizer in weights and row.alone > ROUNDING_DB for row in found.rows):
        print("Weights stored as integers show no noise of their own; the outputs include it. `graph.compare` of the "
              "model that `graph.quantize` returns shows it.")
    if options.report is not None:
        found.report(options.report)


def run_run(options: argparse.Namespace) -> None:
    """Runs a file on the first batch, prints the outputs' shapes, and writes them."""
    session = Session(options.model)
    feeds = next(numbered(session.model, Data(options.data)))
    names = [each.name for each in session.get_outputs()]
    parts = [session.run(None, each) for each in fitting(session.model, feeds)]
    results = parts[0] if len(parts) == 1 else [np.concatenate(each) for each in zip(*parts, strict=True)]
    for name, array in zip(names, results, strict=True):
        print(f"{name}: {array.dtype} {list(array.shape)}")
    if options.output is not None:
        write_file(options.output, npz_of(dict(zip(names, results, strict=True))))


COMMANDS = {"quantize": run_quantize, "compare": run_compare, "run": run_run, "demo": run_demo}


def run_command(options: argparse.Namespace) -> int:
    """Runs one of the commands; 2 and a message where the arguments or files do not fit."""
    try:
        COMMANDS[options.command](options)
    except (ValueError, TypeError, OSError, MemoryError) as problem:
        print(f"{options.command}: {problem}", file=sys.stderr)
        return 2
    return 0
