"""Requests a second of `examples/serve.py` with a LeNet, and of the same server over onnxruntime; 1 and 8 clients."""
from __future__ import annotations

import http.client
import io
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import harness
import numpy as np

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
WORKERS = 2


def model() -> tuple[Any, bytes]:
    """A quantised LeNet, and a request for it."""
    from pytorch_quantization_c import float_nn as nn
    from pytorch_quantization_c import graph

    nn.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 10, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(10, 20, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(320, 50), nn.ReLU(), nn.Linear(50, 10)).eval()
    images = np.random.default_rng(0).random((1, 1, 28, 28), np.float32)
    traced = graph.trace(net, images)
    body = io.BytesIO()
    np.savez(body, **{traced.graph.inputs[0].name or "": images})
    return graph.quantize(traced, [images], target="onnxruntime"), body.getvalue()


def served(kind: str, path: str) -> None:
    """A server, until it is killed: what the process that `start` makes runs."""
    sys.path.insert(0, str(EXAMPLES))
    import serve

    session: Any
    if kind == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options)
    else:
        from pytorch_quantization_c import graph

        session = graph.load_session(path, num_threads=1)
    serve.serve(session, "127.0.0.1", 0, WORKERS)


def start(kind: str, path: str) -> tuple[subprocess.Popen[str], int]:
    """The process of a server, and its port."""
    process = subprocess.Popen([sys.executable, __file__, "--serve", kind, path], stdout=subprocess.PIPE, text=True,
                               start_new_session=True)
    assert process.stdout is not None
    found = re.search(r":(\d+)$", process.stdout.readline().strip())
    if found is None:
        raise RuntimeError(f"Expected the server of {kind} to say where it serves")
    return process, int(found[1])


def client(port: int, body: bytes, seconds: float, done: Any) -> None:
    """One request after the other over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    count, until = 0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        connection.request("POST", "/run", body)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        count += 1
    with done.get_lock():
        done.value += count


def requests_a_second(port: int, body: bytes, clients: int, seconds: float) -> float:
    done = multiprocessing.Value("i", 0)
    threads = [threading.Thread(target=client, args=(port, body, seconds, done)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return float(done.value) / seconds


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        return served(sys.argv[2], sys.argv[3])
    import tempfile

    from pytorch_quantization_c import graph

    options = harness.options(__doc__)
    int8, body = model()
    seconds, rounds = (0.3, 1) if options.quick else (2.0, 3)
    with tempfile.TemporaryDirectory() as folder:
        paths = {"ours": os.path.join(folder, "net.pqc")}
        graph.compile(int8).save(paths["ours"])
        if harness.version("onnxruntime"):
            paths["onnxruntime"] = os.path.join(folder, "net.onnx")
            graph.save(int8, paths["onnxruntime"])
        servers = {kind: start(kind, path) for kind, path in paths.items()}
        try:
            print(f"Requests a second, {WORKERS} workers, the best of {rounds}")
            for clients in (1, 8):
                best = dict.fromkeys(servers, 0.0)
                for _ in range(rounds):
                    for kind, (_, port) in servers.items():
                        best[kind] = max(best[kind], requests_a_second(port, body, clients, seconds))
                print(f"{clients} clients: " + ", ".join(f"{kind} {rate:.0f}" for kind, rate in best.items()))
        finally:
            for process, _ in servers.values():
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()


if __name__ == "__main__":
    main()
