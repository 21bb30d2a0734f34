"""The command `bench`: the time of a call here and, where it is installed, in onnxruntime."""
from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import GraphError
from ..session import NodeArg, Session, load_session

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Timing", "by_onnxruntime", "file_feeds", "random_feeds", "run_bench", "timings"]

WARM, SECONDS = 2, 0.2  # calls ahead of the timed ones; the least time of a round of one runner
TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16,
         "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(uint8)": np.uint8, "tensor(bool)": np.bool_}

Feeds = dict[str, Any]


class Timing(NamedTuple):
    """What ran, and the milliseconds of its median call; None and a reason if it did not run."""

    name: str
    milliseconds: float | None
    reason: str = ""


def _shapes(options: argparse.Namespace, names: list[str]) -> dict[str, tuple[int, ...]]:
    """The shapes that `--shape` gives, by input name; "" stands for every other input."""
    found: dict[str, tuple[int, ...]] = {}
    for text in options.shape:
        name, _, sizes = text.rpartition("=")
        if name and name not in names:
            raise ValueError(f"Expected `--shape` to name an input of the model, {', '.join(names)}, got {name!r}")
        try:
            found[name] = tuple(int(size) for size in sizes.split(","))
        except ValueError:
            raise ValueError(f"Expected `--shape` as NAME=1,3,224,224, got {text!r}") from None
    unnamed = sum("=" not in text for text in options.shape)
    if unnamed > 1:
        raise ValueError(f"Expected one `--shape` without a name, got {unnamed}")
    return found


def _random(arg: NodeArg, given: tuple[int, ...] | None, batch: int, rng: np.random.Generator) -> Any:
    """Standard normal numbers, and zeros for integers, in the shape of an input."""
    shape = given
    if shape is None:
        sizes = list(arg.shape or [])
        if sizes and not isinstance(sizes[0], int):
            sizes[0] = batch
        if arg.shape is None or not all(isinstance(size, int) for size in sizes):
            raise GraphError(f"Expected `--shape {arg.name}=...` or `--data` for an input of shape {arg.shape}")
        shape = tuple(int(size) for size in sizes if isinstance(size, int))
    kind = TYPES.get(arg.type)
    if kind is None:
        raise GraphError(f"Expected `--data` for input {arg.name!r} of type {arg.type}")
    floats = rng.standard_normal(shape)
    return floats.astype(kind) if np.dtype(kind).kind == "f" else np.zeros(shape, kind)


def file_feeds(session: Session, path: str) -> Iterator[Feeds]:
    """The batches of a file or folder, as the model takes them."""
    from ..calibration.batches import feeds_of
    from .batch_files import Data

    return feeds_of(_taking(session), Data(path))


def random_feeds(session: Session, options: argparse.Namespace, seed: int = 0) -> Feeds:
    """Random inputs of the shapes that `--shape` and `--batch` say."""
    inputs, rng = session.get_inputs(), np.random.default_rng(seed)
    shapes = _shapes(options, [arg.name for arg in inputs])
    return {arg.name: _random(arg, shapes.get(arg.name, shapes.get("")), options.batch, rng) for arg in inputs}


def _taking(session: Session) -> ir.Model:
    """A graph with the inputs of a session and no nodes; a saved program has no other graph."""
    import onnx_ir as ir

    inputs = [ir.Value(name=each.name, shape=None if each.shape is None else ir.Shape(each.shape),
                       type=None if each.dtype is None else ir.TensorType(ir.DataType.from_numpy(each.dtype)))
              for each in session._document.inputs if not each.optional]
    return ir.Model(ir.Graph(inputs, [], nodes=[]), ir_version=10)


def timings(runners: dict[str, Callable[[], Any] | str], rounds: int = 5) -> list[Timing]:
    """The median times of functions called in turns; a string says why something cannot run."""
    working = {name: run for name, run in runners.items() if not isinstance(run, str)}
    counts: dict[str, int] = {}
    times: dict[str, list[float]] = {name: [] for name in working}
    for name, run in working.items():
        for _ in range(WARM):
            run()
        begin = time.perf_counter()
        run()
        counts[name] = max(1, int(SECONDS / max(1e-6, time.perf_counter() - begin)))
    for _ in range(rounds):
        for name, run in working.items():
            begin = time.perf_counter()
            for _ in range(counts[name]):
                run()
            times[name].append((time.perf_counter() - begin) / counts[name] * 1000)
    return [Timing(name, None, run) if isinstance(run, str) else Timing(name, statistics.median(times[name]))
            for name, run in runners.items()]


def by_onnxruntime(source: str, feeds: Feeds, threads: int) -> Callable[[], Any] | str:
    """A call of onnxruntime, or why it is not possible."""
    if find_spec("onnxruntime") is None:
        return "it is not installed"
    ort: Any = import_module("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 4
    try:
        session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        session.run(None, feeds)
    except Exception as error:  # whatever it has no kernel for
        return str(error).splitlines()[0][:100]
    return lambda: session.run(None, feeds)


def _quantized(model: ir.Model, feeds: Feeds, threads: int, folder: str) -> dict[str, Callable[[], Any] | str]:
    """A float network quantised on these inputs, here and as a file for onnxruntime; empty if it already is."""
    from ..files.writer import save
    from ..nodes import is_quantizer
    from ..quantizing import quantize

    if any(map(is_quantizer, model.graph)):
        return {}
    session = Session(quantize(model, [feeds], methods=()), threads)
    runners: dict[str, Callable[[], Any] | str] = {"here, quantised": lambda: session.run(None, feeds)}
    if find_spec("onnxruntime") is not None:
        target = str(Path(folder) / "int8.onnx")
        save(quantize(model, [feeds], methods=(), target="onnxruntime"), target)
        runners["onnxruntime, quantised here for it"] = by_onnxruntime(target, feeds, threads)
    return runners


def run_bench(options: argparse.Namespace) -> None:
    """Times a file and prints the table."""
    path, threads = str(options.model), int(options.threads)
    saved = path.endswith(".pqc")
    session = load_session(path, threads) if saved else Session(path, threads)
    feeds = random_feeds(session, options) if options.data is None else next(file_feeds(session, options.data))
    runners: dict[str, Callable[[], Any] | str] = {"here": lambda: session.run(None, feeds)}
    with tempfile.TemporaryDirectory() as folder:
        if not saved:
            runners["onnxruntime"] = by_onnxruntime(path, feeds, threads)
            runners.update(_quantized(session.model, feeds, threads, folder))
        rows = timings(runners)
    print(table(rows, path, threads))
    if options.profile:
        print(session.profile(feeds))


def table(rows: Sequence[Timing], path: str, threads: int) -> str:
    """The times, each beside the first."""
    first = rows[0].milliseconds or 0.0
    title = f"{Path(path).name}, {threads} thread{'s' if threads > 1 else ''}"
    width = max(len(title), *(len(row.name) for row in rows))
    lines = [f"{title:{width}}  {'ms':>9}  {'x here':>7}"]
    for row in rows:
        if row.milliseconds is None:
            lines.append(f"{row.name:{width}}  {row.reason}")
        else:
            lines.append(f"{row.name:{width}}  {row.milliseconds:9.3f}  {row.milliseconds / first:7.2f}")
    return "\n".join(lines)


def run_command(options: argparse.Namespace) -> int:
    """Runs the command; 2 and a message where the arguments or files do not fit."""
    try:
        run_bench(options)
    except (ImportError, ValueError, TypeError, OSError, MemoryError) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 2
    return 0
