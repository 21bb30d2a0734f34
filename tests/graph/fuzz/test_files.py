"""Damaged files of graphs are read or refused: ONNX models, what searches resume from, data for the commands."""
from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.__main__ import main
from tests.fuzz.callables import OTHERS
from tests.fuzz.limits import address_space
from tests.fuzz.loaders import Loader, attempt
from tests.fuzz.mutations import mutated_bytes, mutated_text, mutated_zip
from tests.graph.networks import convolutional, images

from .subjects import FEEDS, X, model, stored

ROUNDS = 25


def run_model(path: Path) -> None:
    loaded = graph.load(path)
    graph.compile(loaded, num_threads=1).run(None, FEEDS)


def searched(path: Path) -> None:
    rng = np.random.default_rng(0)
    graph.auto_quantize(convolutional(rng), [images(rng, 2)], 5.0, formats=(8, 3), resume=path)


def dropped(path: Path) -> None:
    def metric(each: Any) -> float:
        return -float(np.square(graph.interpret(each, FEEDS)[0] - graph.interpret(model(), FEEDS)[0]).mean())

    graph.quantize(model(), [FEEDS], method="max", max_drop=1e-5, metric=metric, resume=path)


def resumed(name: str, run: Callable[[Path], None]) -> Loader:
    """A search that finds the file under this name, with what it resumes from."""
    def read(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / name).write_bytes(path.read_bytes())
            run(Path(folder) / "kept.json")

    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder) / "kept.json")
        return Loader(f"{name} of {run.__name__}", (Path(folder) / name).read_bytes(), mutated_text, read)


def command(*given: str) -> tuple[int, str]:
    """What a command returns and prints as an error; the exit of argparse counts as a return."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            return main(list(given)), errors.getvalue()
        except SystemExit as ended:
            return int(ended.code or 0), errors.getvalue()


def data_run(path: Path) -> None:
    """The file as data of a command, whose refusal is a return of 2."""
    source, data = path.with_name("model.onnx"), path.with_name("data.npz")
    source.write_bytes(stored(True))
    path.replace(data)
    code, message = command("run", str(source), "--data", str(data))
    if code:
        raise ValueError(message)


def npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, x=X)
    return stream.getvalue()


LOADERS = [
    Loader("an ONNX model", stored(False), mutated_bytes, run_model),
    Loader("a quantised ONNX model", stored(True), mutated_bytes, run_model),
    resumed("kept.3bits.json", searched), resumed("kept.json", dropped), resumed("kept.metric.json", dropped),
    Loader("data of a command", npz(), mutated_zip, data_run),
]


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    with address_space():
        yield


@pytest.mark.filterwarnings("ignore")     # of NumPy, about the numbers of damaged constants
@pytest.mark.parametrize("loader", LOADERS, ids=lambda loader: loader.name)
def test_a_damaged_file_is_read_or_refused(loader: Loader, tmp_path: Path) -> None:
    assert attempt(loader, loader.data, tmp_path / "file", measure=False) is None
    refused = 0
    for seed in range(ROUNDS):
        data = loader.damage(loader.data, Random(seed))
        with np.errstate(all="ignore"):
            assert attempt(loader, data, tmp_path / "file", measure=False) is None, f"with seed {seed}"
        (tmp_path / "file").write_bytes(data)
        try:
            loader.read(tmp_path / "file")
        except Exception:
            refused += 1
    assert refused > ROUNDS // 10, "the damage is too small to be seen"


TEXTS = [repr(other)[:50] for other in OTHERS if not isinstance(other, int) or abs(other) < 2**65]
COMMANDS: dict[str, dict[str, Any]] = {
    "quantize": {"": "model.onnx", "-o": "int8.onnx", "--data": "data.npz", "--method": "max", "--percentile": 99,
                 "--residual": "auto", "--target": "here", "--exclude": "Conv"},
    "compare": {"": "model.onnx", " ": "int8.onnx", "--data": "data.npz", "--report": "page.html"},
    "run": {"": "model.onnx", "--data": "data.npz", "-o": "out.npz"},
    "bench": {"": "int8.onnx", "--data": "data.npz", "--batch": 1, "--threads": 1},
    "demo": {"--onnx": "model.onnx", "--shape": "2,2,5,5", "--batch": 1},
    "info": {},
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_take_any_arguments(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What argparse lets through is done, or refused with 2 and a line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pytorch_quantization_c.graph.commands.benchmark.SECONDS", 0.001)
    for seed in range(8):
        random = Random(f"{seed} {name}")
        Path("model.onnx").write_bytes(stored(False))
        Path("int8.onnx").write_bytes(stored(True))
        Path("data.npz").write_bytes(npz())
        given = {**COMMANDS[name]}
        for each in random.sample(list(given), min(len(given), 1 if seed else 0)):
            given[each] = random.choice(TEXTS + ["model.onnx", "data.npz", ".", "/"])
        words = [word for key, value in given.items() for word in ((key,) if key.strip() else ()) + (str(value),)]
        code, message = command(name, *words)
        assert code in (0, 2) and (code == 0 or 0 < len(message) < 1500), (words, code, message)
        assert seed or code == 0, message


def test_every_command_is_here() -> None:
    code, message = command("no such command")
    assert code == 2
    assert all(f"'{name}'" in message for name in COMMANDS) and message.count("', '") == len(COMMANDS) - 1
