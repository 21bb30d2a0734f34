"""Models beyond 2 GB, here beyond 2 KB: two files that are replaced as one."""
from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.files import writer
from tests.graph.networks import network, normal


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "LARGEST_FILE", 1 << 11)


def layers(seed: int) -> ir.Model:
    rng = np.random.default_rng(seed)
    return network("a = Gemm (x, w)  y = Gemm (a, v)", "float[N,32] x", "float[N,32] y", w=normal(rng, 32, 32),
                   v=normal(rng, 32, 32))


X = np.linspace(-1, 1, 64, dtype=np.float32).reshape(2, 32)


def output(model: Any) -> bytes:
    return graph.interpret(graph.load(model), {"x": X})[0].tobytes()


@pytest.mark.parametrize("quantised", [False, True])
def test_a_model_in_two_files_is_read_back(tmp_path: Path, quantised: bool) -> None:
    model = graph.quantize(layers(0), [X]) if quantised else layers(0)
    path = tmp_path / "model.onnx"
    graph.save(model, path)
    data, = (name for name in os.listdir(tmp_path) if name != path.name)
    assert data.startswith("model.onnx.") and data.endswith(".data") and path.stat().st_size < 4096
    assert output(path) == output(model)
    onnx.checker.check_model(str(path))
    (tmp_path / "model.onnx.other.data").write_bytes(b"somebody else's")
    graph.save(layers(1), path)
    assert output(path) == output(layers(1)) and len(os.listdir(tmp_path)) == 3 and data not in os.listdir(tmp_path)


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("name", ["open", "write", "fsync", "replace", "close"])
def test_whatever_fails_the_old_or_the_new_model_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str,
                                                          exists: bool) -> None:
    path, old, new = tmp_path / "model.onnx", layers(0), layers(1)
    outputs = {output(old), output(new)} if exists else {output(new)}
    for number in range(40):
        for each in os.listdir(tmp_path):
            os.unlink(tmp_path / each)
        if exists:
            graph.save(old, path)
        real, left = getattr(os, name), [number]

        def fails(*args: Any, real: Any = real, left: list[int] = left) -> Any:
            left[0] -= 1
            if left[0] == -1:
                if name == "close":
                    real(*args)
                raise OSError(errno.EIO, "injected")
            return real(*args)

        with monkeypatch.context() as patch:
            patch.setattr(os, name, fails)
            try:
                graph.save(new, path)
            except OSError:
                assert left[0] < 0
        assert (path.exists() and output(path) in outputs) or not exists
        if not path.exists():
            assert os.listdir(tmp_path) == []
        if left[0] >= 0:
            break
    assert 0 < number < 39 and output(path) == output(new)
