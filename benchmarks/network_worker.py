"""One library, alone in a process, measures the networks that it is asked for. Started by layer_turns.py.

It reads lines [network, seconds] and answers each with the seconds of a call, the least of its files of the network,
or null if it has none. An answer is compared with the float network's before it is timed.
"""
from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import harness
import numpy as np
import onnx
from harness import Call, calls_in_a_block
from layer_worker import best, decibels
from network_files import FLOAT, OPENVINO_NNCF, OPENVINO_OURS, ORT_OURS, ORT_STATIC, OURS, OURS_U8
from network_inputs import feeds
from network_models import SEEDED

PROBLEMS = "problems.txt"
MIN_DB = {"fp32": 60.0, "int8": 3.0}  # dB; weights and inputs are random
SEGMENTS = ("ocr_det_v4",)  # of noise, nothing: probabilities near 0, whose errors are compared with 1


def data(folder: Path, batch: int) -> dict[str, Any]:
    """What goes into the network, by the names of its inputs."""
    return feeds(onnx.load(folder / FLOAT), batch, np.random.default_rng(0))


def ours(name: str) -> Callable[[Path, int, int], Iterator[Call]]:
    def make(folder: Path, batch: int, threads: int) -> Iterator[Call]:
        from pytorch_quantization_c import graph

        x = data(folder, batch)
        if (folder / name).exists():
            session = graph.load_session(folder / name, num_threads=threads)
            yield lambda: session.run(None, x)[0]
    return make


def onnxruntime(*names: str) -> Callable[[Path, int, int], Iterator[Call]]:
    def make(folder: Path, batch: int, threads: int) -> Iterator[Call]:
        import onnxruntime as ort

        x = data(folder, batch)
        for name in names:
            if (folder / name).exists():
                options = ort.SessionOptions()
                options.intra_op_num_threads, options.log_severity_level = threads, 4
                session = ort.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])
                yield lambda session=session: session.run(None, x)[0]
    return make


def openvino(*names: str) -> Callable[[Path, int, int], Iterator[Call]]:
    """Inputs and output are bound beforehand."""
    def make(folder: Path, batch: int, threads: int) -> Iterator[Call]:
        import openvino as ov

        given = data(folder, batch)
        for name in names:
            if (folder / name).exists():
                model = ov.Core().read_model(str(folder / name))
                model.reshape({name: list(each.shape) for name, each in given.items()})
                compiled = ov.Core().compile_model(model, "CPU", {
                    "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
                    "INFERENCE_PRECISION_HINT": "f32"})
                request = compiled.create_infer_request()
                for name, each in given.items():
                    request.set_tensor(name, ov.Tensor(each, shared_memory=True))
                output = request.get_output_tensor(0).data
                yield _bound(request, output, (given, compiled))
    return make


def _bound(request: Any, output: Any, kept: Any) -> Call:
    """A call whose inputs lie where `kept` keeps them."""
    def call(kept: Any = kept) -> Any:
        request.infer(share_outputs=True)
        return output
    return call


def torch_float(folder: Path, batch: int, threads: int) -> Iterator[Call]:
    import torch
    from network_torch import Network, Unknown

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    x = next(iter(data(folder, batch).values()))
    for layout in (torch.contiguous_format, torch.channels_last):
        try:
            network = Network(onnx.load(folder / FLOAT), layout)
        except Unknown:
            return
        tensor = torch.from_numpy(x).to(memory_format=layout)
        yield lambda network=network, tensor=tensor: network(tensor).numpy()


LIBRARIES: dict[str, Callable[[Path, int, int], Iterator[Call]]] = {
    "ours": ours(OURS), "ours, residual u8": ours(OURS_U8), "ORT int8": onnxruntime(ORT_STATIC, ORT_OURS),
    "OpenVINO int8": openvino(OPENVINO_NNCF, OPENVINO_OURS), "ORT fp32": onnxruntime(FLOAT),
    "torch fp32": torch_float,
}


def made(library: str, folder: Path, batch: int, threads: int) -> list[tuple[Call, int]]:
    """The library's forms of a network, and how many calls to time together; what fails is left out, with a line."""
    forms: list[tuple[Call, int]] = []
    try:
        for call in LIBRARIES[library](folder, batch, threads):
            check(library, call, np.load(folder / f"answer_{batch}.npy"), folder)
            forms.append((call, calls_in_a_block(call)))
    except Exception as why:  # of one network, which says nothing of the others
        with (folder / PROBLEMS).open("a") as problems:
            print(f"{library}, batch {batch}, {folder.name}: {type(why).__name__}: {str(why)[:200]}", file=problems)
    return forms


def check(library: str, call: Call, exact: Any, folder: Path) -> None:
    """ValueError for a wrong answer; that of a shipped network on int8, whose inputs are random, is only told."""
    segments = folder.name in SEGMENTS
    reached = decibels(1 + call() - exact, np.ones_like(exact)) if segments else decibels(call(), exact)
    if reached >= MIN_DB["fp32" if library.endswith("fp32") else "int8"]:
        return
    if folder.name in SEEDED or library.endswith("fp32") or not np.isfinite(reached):
        raise ValueError(f"the answer is wrong: {reached:.1f} dB")
    with (folder / PROBLEMS).open("a") as problems:
        print(f"{library}, {folder.name}: {reached:.1f} dB", file=problems)


def main() -> None:
    library, batch, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    folder = Path(os.environ["NETWORKS"])
    if os.environ.get("NETWORKS_CLOCK") == "cpu":
        harness.clock = time.process_time
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    forms: dict[str, list[tuple[Call, int]]] = {}
    for line in sys.stdin:
        name, seconds = json.loads(line)
        if name not in forms:
            forms[name] = made(library, folder / name, batch, threads)
        found = min((best(*form, seconds) for form in forms[name]), default=None)
        print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main()
