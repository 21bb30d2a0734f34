"""What importing the package brings in."""
from __future__ import annotations

from ..process import run_python

HEAVY = (
    "torch", "onnx", "onnxruntime", "dask", "scipy", "sklearn", "yaml", "safetensors", "matplotlib", "ml_dtypes",
    "tqdm", "unittest", "multiprocessing", "pathlib", "random", "secrets", "tempfile", "asyncio", "concurrent.futures",
)
PROGRAM = """
import sys, numpy
before = set(sys.modules)
import pytorch_quantization_c
from pytorch_quantization_c import calib, float_nn, nn, quant_modules, tensor_quant
print(*sorted(set(sys.modules) - before), sep="\\n")
"""


def test_import_is_lean() -> None:
    """NumPy, our own modules and small parts of the standard library: nothing that takes long to load."""
    done = run_python("-c", PROGRAM)
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    assert "pytorch_quantization_c.nn" in loaded
    assert not [name for name in loaded if name in HEAVY or name.split(".")[0] in HEAVY]
    assert not [name for name in loaded if name.startswith("pytorch_quantization_c.torch")]
