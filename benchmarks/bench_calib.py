"""Calibration against NumPy, torch and onnxruntime's calibrators: collecting, and searching for amax."""
from __future__ import annotations

import contextlib
import gc
import io
import tracemalloc
from typing import Any

import harness
import numpy as np
import peers
from harness import Table, interleaved

from pytorch_quantization_c import threads
from pytorch_quantization_c.calib import HistogramCalibrator
from pytorch_quantization_c.calib.histogram import _compute_amax_entropy, _compute_amax_mse, _compute_amax_percentile

SHAPE = (32, 64, 56, 56)
BINS = 2048
# One thread of a Zen 5 at 3.7 GHz, in seconds, for comparison where the original is not at hand.
ORIGINAL = {"collect": 24.2e-3, ("entropy", 2048): 1.42, ("entropy", 8192): 13.5, ("entropy", 20000): 61.0,
            ("mse", 2048): 0.197, ("percentile", 2048): 17e-6}


def set_threads(count: int) -> None:
    threads.set_num_threads(count)
    peers.set_threads(count)


def ort_collector(method: str) -> Any:
    from onnxruntime.quantization.calibrate import HistogramCollector

    return HistogramCollector(method=method, symmetric=True, num_bins=BINS, num_quantized_bins=128, percentile=99.99,
                              scenario="same")


def collecting_peers(x: Any) -> dict[str, harness.Call]:
    found: dict[str, harness.Call] = {"np.histogram": lambda: np.histogram(np.abs(x), BINS)}
    if peers.HAVE_TORCH:
        import torch

        inputs = peers.as_torch(x)
        edge = inputs.abs().max()
        total = torch.zeros(BINS)

        def histc() -> Any:
            """What one later collect of the original does."""
            wide = inputs.abs() if inputs.min() < 0 else inputs
            return wide.max() > edge, torch.histc(wide.float(), BINS, 0, edge.item()).add_(total)

        found["torch.histc"] = lambda: torch.histc(inputs, BINS, 0, 4)
        found["the original's operations"] = histc
    if peers.HAVE_ORT:
        def ort() -> None:
            with contextlib.redirect_stdout(io.StringIO()):
                ort_collector("entropy").collect({"x": [x]})

        found["ORT collector"] = ort
    return found


def later(x: Any, axis: Any = None, **options: Any) -> harness.Call:
    calibrator = HistogramCalibrator(8, axis, False, **options)
    calibrator.collect(x)
    return lambda: calibrator.collect(x)


def first(x: Any, **options: Any) -> harness.Call:
    return lambda: HistogramCalibrator(8, None, False, **options).collect(x)


def collect(options: Any) -> Table:
    shape = SHAPE if not options.quick else (4, *SHAPE[1:])
    others = ["first batch", "per channel", "np.histogram", "torch.histc", "the original's operations", "ORT collector"]
    table = Table(f"Collect {shape}, {BINS} bins", ["data", "how", "threads"], "later batch", others)
    normal = np.random.default_rng(0).standard_normal(shape, np.float32)
    kinds = {"normal": normal, "ReLU": np.maximum(normal, 0), "float16": normal.astype(np.float16)}
    for kind, x in kinds.items():
        for how, settings in (("default", {}), ("numpy", {"torch_hist": False}), ("double", {"grow_method": "double"})):
            for count in options.threads:
                set_threads(count)
                calls = {"later batch": later(x, **settings), "first batch": first(x, **settings),
                         "per channel": later(x, 1, **settings)}
                if how == "default" and kind != "float16":
                    calls.update(collecting_peers(x))
                table.add([kind, how, count], interleaved(calls, 0.5 if options.quick else 2.0, rounds=3))
    return table


def values() -> Any:
    return np.random.default_rng(1).standard_normal(4_000_000, np.float32)


def histogram(bins: int) -> tuple[Any, Any]:
    return np.histogram(np.abs(values()), bins)


def ort_entropy(x: Any) -> harness.Call:
    """On the histogram that its own collector makes: 2,048 bins for both signs."""
    collector = ort_collector("entropy")
    with contextlib.redirect_stdout(io.StringIO()):
        collector.collect({"x": [x]})
    return lambda: collector.get_entropy_threshold(collector.histogram_dict["x"], 128)


def numpy_percentile(hist: Any, edges: Any) -> harness.Call:
    return lambda: edges[np.searchsorted(np.cumsum(hist / hist.sum()), 0.9999)]


def search(options: Any) -> Table:
    table = Table("Search for amax, 8 bits", ["method", "bins", "threads"], "ours",
                  ["ORT", "NumPy", "original (Zen 5, recorded)"])
    for bins in (2048,) if options.quick else (2048, 8192, 20000):
        hist, edges = histogram(bins)
        methods = {"entropy": lambda hist=hist, edges=edges: _compute_amax_entropy(hist, edges, 8, False),
                   "mse": lambda hist=hist, edges=edges: _compute_amax_mse(hist, edges, 8, False),
                   "mse, E4M3": lambda hist=hist, edges=edges: _compute_amax_mse(hist, edges, (4, 3), False),
                   "percentile": lambda hist=hist, edges=edges: _compute_amax_percentile(hist, edges, 99.99)}
        for method, call in methods.items():
            for count in options.threads:
                set_threads(count)
                calls = {"ours": call}
                if method == "percentile":
                    calls["NumPy"] = numpy_percentile(hist, edges)
                measured = interleaved(calls, 0.3 if options.quick else 1.0)
                if method == "entropy" and bins == 2048 and peers.HAVE_ORT:
                    slow = ort_entropy(values())
                    measured["ORT"] = min(harness.timed(slow, 1) for _ in range(2))
                if (method, bins) in ORIGINAL:
                    measured["original (Zen 5, recorded)"] = ORIGINAL[method, bins]
                table.add([method, bins, count], measured)
    return table


def memory(options: Any) -> str:
    """10,000 batches of changing range: what stays allocated must not grow."""
    rng = np.random.default_rng(2)
    batches = [np.float32(rng.normal(size=(16, 256)) * scale) for scale in (1, 4, 0.1, 2)]
    batches.insert(0, 8 * batches[1])
    lines, count = [], 1000 if options.quick else 10_000
    for name, settings in (("default", {}), ("double", {"grow_method": "double"}), ("per channel", {"axis": 0})):
        calibrator = HistogramCalibrator(8, settings.pop("axis", None), False, **settings)
        for batch in batches:
            calibrator.collect(batch)
        tracemalloc.start()
        calibrator.collect(batches[0])
        before = tracemalloc.get_traced_memory()[0]
        for number in range(count):
            calibrator.collect(batches[number % 5])
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        lines.append(f"{name:>12}: {grown / 1024:.1f} KiB more after {count:,} batches")
    return "\n".join(["Memory", *lines, ""])


def main() -> None:
    options = harness.options(__doc__ or "")
    print(harness.headline("onnxruntime", "torch"))
    print(f"The original, recorded on a Zen 5: a later collect {ORIGINAL['collect'] * 1e3:.1f} ms.\n")
    print(collect(options), flush=True)
    print(search(options), flush=True)
    print(memory(options), flush=True)


if __name__ == "__main__":
    main()
