"""oneDNN on the layers of bench_layers.py, by onednn_layer.c: float32 in and out, input calibrated, 8 bit weights.

From the packages `onednn-cpu-gomp` and `onednn-devel-cpu-gomp`.
"""
from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from harness import Call
from layer_shapes import Shape

SOURCE = Path(__file__).with_name("onednn_layer.c")
LIBRARY, HEADERS = "onednn-cpu-gomp", "onednn-devel-cpu-gomp"


def installed(package: str, name: str) -> Path:
    found = next(file for file in metadata.files(package) or [] if file.name == name)
    return Path(str(found.locate())).resolve()


def compiled() -> Any:
    library, header = installed(LIBRARY, "libdnnl.so.3"), installed(HEADERS, "dnnl_version.h")
    include = header.parent if (header.parent / "oneapi").exists() else header.parent.parent.parent
    with tempfile.TemporaryDirectory() as folder:
        target = str(Path(folder) / "onednn_layer.so")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", f"-I{include}", str(SOURCE), str(library),
                        f"-Wl,-rpath,{library.parent}", "-o", target], check=True)
        loaded = ctypes.CDLL(target)
    pointer = ctypes.c_void_p
    loaded.onednn_new.restype, loaded.onednn_new.argtypes = pointer, [pointer] * 7
    loaded.onednn_run.argtypes = loaded.onednn_implementation.argtypes = [pointer]
    loaded.onednn_implementation.restype = ctypes.c_char_p
    return loaded


def onednn_int8(shape: Shape, batch: int, threads: int) -> Iterator[Call]:
    """Signed and unsigned bytes of the input; only what oneDNN has vector code for counts."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read when the library is loaded, once in a process
    library = compiled()
    x, x_step, values, steps, bias = shape.quantised(batch)
    output = np.empty_like(shape.reference(batch))
    made = 0
    for is_unsigned in (0, 1):
        fields = np.array([batch, shape.inputs, shape.outputs, shape.kernel, shape.size, shape.stride, shape.padding,
                           shape.groups, shape.rows, is_unsigned], np.int64)
        arrays = [fields, x, output, values, steps, bias, np.array([x_step])]
        layer = library.onednn_new(*(array.ctypes.data for array in arrays))
        if layer is None or b"ref" in library.onednn_implementation(layer):
            continue
        made += 1

        def call(layer: int = layer, keep: Any = arrays) -> Any:
            assert library.onednn_run(layer) == 0, "oneDNN failed"
            return output

        yield call
    assert made, f"oneDNN has no fast form of {shape.name}"
