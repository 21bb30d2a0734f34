"""`examples/serve.py`: a saved program behind HTTP answers what the session answers, and survives what it gets."""
from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import float_nn as nn
from pytorch_quantization_c import graph
from tests.process import started_python

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "serve.py"
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the example forks its workers")


@pytest.fixture(scope="module")
def session() -> Any:
    nn.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
    x = np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32)
    return graph.compile(graph.quantize(graph.trace(net, x), [x]))


@pytest.fixture(scope="module")
def port(session: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    path = tmp_path_factory.mktemp("served") / "net.pqc"
    session.save(path)
    with started_python(str(EXAMPLE), str(path), "--port", "0", "--workers", "2") as process:
        said = process.stdout.readline()
        yield int(re.search(r":(\d+)$", said.strip())[1])       # type: ignore[index]
        process.send_signal(signal.SIGTERM)
        process.wait(300)


def post(port: int, body: bytes, path: str = "/run", **headers: str) -> tuple[int, bytes]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=300)) as connection:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def packed(**arrays: Any) -> bytes:
    body = io.BytesIO()
    np.savez(body, **arrays)
    return body.getvalue()


def test_answers_are_those_of_the_session(session: Any, port: int) -> None:
    failed: list[Exception] = []

    def client(seed: int) -> None:
        try:
            x = np.random.default_rng(seed).standard_normal((1 + seed, 8)).astype(np.float32)
            for _ in range(5):
                status, body = post(port, packed(input=x))
                assert status == 200
                wanted = session.run(None, {"input": x})[0]
                with np.load(io.BytesIO(body)) as found:
                    assert np.array_equal(found[session.get_outputs()[0].name], wanted)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_inputs_are_described(session: Any, port: int) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=300)) as connection:
        connection.request("GET", "/inputs")
        said = json.loads(connection.getresponse().read())
    assert said == [{"name": "input", "shape": ["batch", 8], "type": "tensor(float)"}]


@pytest.mark.parametrize(("body", "status"), [
    (b"junk", 400), (b"", 400), (packed(other=np.ones((1, 8), np.float32)), 400),
    (packed(input=np.ones((1, 9), np.float32)), 400), (packed(input=np.full((1, 8), np.nan, np.float32)), 400),
    (packed(input=np.ones((1, 8), np.float32))[:-30], 400)])
def test_bad_requests_are_told(session: Any, port: int, body: bytes, status: int) -> None:
    found, text = post(port, body)
    assert found == status and text.endswith(b"\n")
    assert post(port, packed(input=np.ones((1, 8), np.float32)))[0] == 200


def test_sizes_paths_and_broken_connections(port: int) -> None:
    assert post(port, b"", "/other")[0] == 404
    with socket.create_connection(("127.0.0.1", port), 30) as raw:
        raw.sendall(b"POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 413")
    with socket.create_connection(("127.0.0.1", port), 30) as raw:
        raw.sendall(b"POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
    assert post(port, packed(input=np.ones((1, 8), np.float32)))[0] == 200
