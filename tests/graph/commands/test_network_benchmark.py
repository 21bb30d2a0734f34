"""The benchmark of whole networks: what its files compute, its tables, and a quick run."""
from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph
from tests.benchmarks import load

from ..networks import network

models, files, worker, report, bench, peak, inputs = map(load, (
    "network_models", "network_files", "network_worker", "network_report", "bench_networks", "product_peak",
    "network_inputs"))


def test_operations_are_multiplications_and_additions() -> None:
    expected = 24 * 24 * 10 * 25 + 8 * 8 * 20 * 250 + 320 * 50 + 50 * 10
    assert models.operations(models.lenet(), 3) == 2 * 3 * expected
    assert models.operations(models.mobilenet_v2(), 1) == pytest.approx(2 * 0.30e9, rel=0.02)  # as published
    assert models.operations(models.efficientnet_lite0(), 1) == pytest.approx(2 * 0.39e9, rel=0.05)
    encoder = 3 * 10 * (4 * 16 * 16 + 2 * 16 * 64 + 2 * 10 * 16)
    assert models.operations(models.bert_base(3, 16, 2, 10), 2) == 2 * 2 * encoder


def test_inputs_by_name() -> None:
    model = network("y = Cast <to = 1> (input_ids)  z = Cast <to = 1> (attention_mask)  r = Neg (x)  s = Neg (h)",
                    "int64[1,9] input_ids, int64[1,9] attention_mask, float[N,3,40] x, float[1,1,8] h",
                    "float[1,9] y, float[1,9] z, float[N,3,40] r, float[1,1,8] s")
    found = inputs.feeds(ir.to_proto(model), 2, np.random.default_rng(0))
    assert {name: (array.shape, array.dtype.name) for name, array in found.items()} == {
        "input_ids": ((2, 9), "int64"), "attention_mask": ((2, 9), "int64"), "x": ((2, 3, 40), "float32"),
        "h": ((2, 1, 8), "float32")}
    assert found["attention_mask"].all() and not found["h"].any() and found["input_ids"].min() > 0


def test_a_program_is_accepted_and_another_network_is_not(tmp_path: Path) -> None:
    folder = files.prepared("lenet", tmp_path, None, {files.OURS}, [2])
    (call,) = worker.ours(files.OURS)(folder, 2, 1)
    exact = np.load(folder / "answer_2.npy")
    worker.check("ours", call, exact, folder)
    assert list(worker.ours("absent.pqc")(folder, 2, 1)) == []
    with pytest.raises(ValueError, match="wrong"):
        worker.check("ORT fp32", call, exact, folder)
    with pytest.raises(ValueError, match="wrong"):
        worker.check("ours", lambda: -call(), exact, folder)
    expected = graph.interpret(graph.load(onnx.load(folder / files.FLOAT)), worker.data(folder, 2))[0]
    np.testing.assert_allclose(exact, expected, rtol=1e-4, atol=1e-4)


def test_shares_of_the_best_peer() -> None:
    times = {"ours": {"a": 1e-3, "b": 4e-3}, "ours, residual u8": {"a": 5e-4}, "ORT int8": {"a": 2e-3, "b": 3e-3},
             "OpenVINO int8": {"a": 4e-3, "b": 2e-3}, "ORT fp32": {"a": 1e-4}, "absent": {}}
    rows = report.table(times, {"a": 10 ** 8, "b": 10 ** 8}, peak.Peak("some", 400e9), 2).splitlines()
    assert rows[0] == ("| network | ours | of peak | / best int8 peer | ours, residual u8 | of peak | "
                       "/ best int8 peer | ORT int8 | OpenVINO int8 | ORT fp32 |")
    assert rows[2:] == ["| a | 1 ms | 12 % | 0.50 | 500 us | 25 % | 0.25 | 2 ms | 4 ms | 100 us |",
                        "| b | 4 ms | 3 % | 2.00 | - | - | - | 3 ms | 2 ms | - |"]
    assert report.mean(times, ["a", "b"], "ours") == pytest.approx(1.0) and report.worst(times) == ["b", "a"]
    assert report.ratio({"ours": {"a": 1.0}}, "a", "ours") is None


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes are stopped by a signal that this system lacks")
def test_a_quick_run(tmp_path: Path, capsys: Any) -> None:
    bench.main(["--quick", "--libraries", "ours", "--files", str(tmp_path)])
    text = capsys.readouterr().out
    assert "Batch 1, 1 thread:" in text and "| lenet |" in text and (tmp_path / "lenet" / files.OURS).exists()
