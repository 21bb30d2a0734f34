"""Fake quantisation and abs-max against NumPy, torch and onnxruntime: times, ratios, one and two threads."""
from __future__ import annotations

import harness
import numpy as np
import peers
from harness import Table, interleaved

from pytorch_quantization_c import cuda_ext, tensor_quant, threads, utils

PEERS = ["NumPy out=", "ORT Q+DQ", "torch sequence", "torch fake_quantize"]
SIZES = [100, 1000, 100_000, 1_000_000, 16_000_000]
CHANNELS = 64


def numbers(n: int, dtype: str = "float32") -> np.ndarray:
    if dtype == "bfloat16":
        import ml_dtypes

        return np.random.default_rng(n).standard_normal(n, np.float32).astype(ml_dtypes.bfloat16)
    return np.random.default_rng(n).standard_normal(n, np.float32).astype(dtype)


def set_threads(count: int) -> None:
    threads.set_num_threads(count)
    peers.set_threads(count)


def fake_quant(options, dtype: str = "float32", per_channel: bool = False) -> Table:
    what = f"per channel, ({CHANNELS}, n/{CHANNELS})" if per_channel else "per tensor"
    table = Table(f"Fake quantisation, {dtype}, {what}, 8 bits, amax given", ["n", "threads"], "ours out=",
                  ["ours, new array", "copy", *PEERS])
    for n in SIZES[2::2] if options.quick else SIZES[2 * per_channel:]:
        x = numbers(n, dtype)
        amax = flat_amax = np.float32(3.0)
        if per_channel:
            x = x[:n - n % CHANNELS].reshape(CHANNELS, -1)
            flat_amax = np.linspace(2, 4, CHANNELS, dtype=np.float32)
            amax = flat_amax.reshape(-1, 1)
        out = np.empty_like(x)
        for count in options.threads:
            set_threads(count)
            candidates = {
                "ours out=": lambda x=x, amax=amax, out=out: cuda_ext.fake_tensor_quant(x, amax, out=out),
                "ours, new array": lambda x=x, amax=amax: tensor_quant.fake_tensor_quant(x, amax),
                "copy": lambda x=x, out=out: np.copyto(out, x),
                **peers.fake_quantizers(x, np.asarray(amax), count),
            }
            if per_channel:
                candidates["ours out="] = lambda x=x, amax=flat_amax, out=out: (
                    cuda_ext.fake_tensor_quant_with_axis(x, amax, 0, out=out))
            table.add([f"{n:,}", count], interleaved(candidates, 0.3 if options.quick else 1.5))
    return table


def abs_max(options) -> Table:
    table = Table("Abs-max of the whole array, float32", ["n", "threads"], "ours",
                  ["memchr (read limit)", "NumPy max, min", "NumPy abs.max", "torch abs.max", "torch aminmax"])
    for n in SIZES[2::2] if options.quick else SIZES:
        x = numbers(n)
        for count in options.threads:
            set_threads(count)
            candidates = {
                "ours": lambda x=x: utils.reduce_amax(x),
                "memchr (read limit)": peers.read_bandwidth(x.nbytes),
                **peers.absolute_maxima(x),
            }
            table.add([f"{n:,}", count], interleaved(candidates, 0.3 if options.quick else 1.0))
    return table


def main() -> None:
    options = harness.options(__doc__)
    print(harness.headline("onnxruntime", "torch"))
    print(fake_quant(options), flush=True)
    print(fake_quant(options, per_channel=True), flush=True)
    halves = ["float16"] + ["bfloat16"] * (harness.version("ml_dtypes") is not None)
    for dtype in halves:
        print(fake_quant(options, dtype), flush=True)
    print(abs_max(options), flush=True)


if __name__ == "__main__":
    main()
