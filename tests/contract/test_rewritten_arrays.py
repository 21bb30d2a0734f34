"""Arrays that another thread rewrites during a search or a histogram give wrong numbers at worst."""
from __future__ import annotations

import threading

import numpy as np

from pytorch_quantization_c import _C


def test_arrays_are_rewritten_meanwhile() -> None:
    counts, centres = np.arange(1, 4097), np.arange(4096, dtype=np.float32) + np.float32(0.5)
    edges, x = np.arange(4097, dtype=np.float32), np.arange(200_000, dtype=np.float32) % np.float32(4096)
    stop = threading.Event()

    def rewrite() -> None:
        while not stop.is_set():
            for value in (-1e30, np.nan, 0.0, 1e30):
                for array in (centres, edges, x):
                    array[:] = value
            counts[:] = -2**62
            edges[:], centres[:], counts[:] = np.arange(4097), np.arange(4096) + 0.5, 1

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(60):
            binned = np.zeros(4096, np.int64)
            try:
                assert -1 <= _C.mse_search(counts, centres, 8, False, 7, 0) < 4096
                _C.histogram(x, edges, binned, False, True)
            except ValueError:
                pass  # what was there at that moment is no histogram
            assert 0 <= binned.sum() <= x.size
    finally:
        stop.set()
        writer.join()
