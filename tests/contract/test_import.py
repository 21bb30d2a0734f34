"""What importing the package brings in."""
from __future__ import annotations

import pytest

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


LAYERS = """
import sys, numpy
before = set(sys.modules)
import pytorch_quantization_c, pytorch_quantization_c.nn
print(*sorted(set(sys.modules) - before), sep="\\n")
"""
STANDARD = {"__future__", "_thread", "copy", "errno", "fcntl", "msvcrt", "threading", "numpy.typing",
            "numpy._typing._add_docstring"}
OWN = """
_C _arrays _core _environment _function _lazy calib float_nn formats integer nn tensor_quant utils version
_core.axes _core.block_quant _core.blocks _core.calibrator _core.descriptor _core.element_codes _core.errors _core.files
_core.format_descriptors _core.formats _core.frozen _core.ggml _core.histogram_search _core.host _core.input_layers
_core.integer_engine _core.integer_layer _core.integer_state _core.layer_rules _core.lazy_logger _core.onnx
_core.quantization _core.quantizer _core.quantizer_parts _core.quantizer_ranges _core.quantizer_text _core.state_bits
_core.switches _core.tracing
calib.calibrator calib.max calib.merging
float_nn.checks float_nn.container float_nn.conv float_nn.functional float_nn.init float_nn.linear float_nn.module
float_nn.parameter float_nn.pooling float_nn.state
float_nn.functional.activation float_nn.functional.adaptive float_nn.functional.blockwise float_nn.functional.conv
float_nn.functional.dropout float_nn.functional.linear float_nn.functional.mirrored float_nn.functional.norm
float_nn.functional.pooling float_nn.functional.special float_nn.functional.windows
integer.eligibility integer.float_only integer.guards integer.halves integer.int4 integer.packed integer.pointwise
integer.settings integer.weights
cuda_ext nn.functional nn.modules nn.modules._integer nn.modules._utils nn.modules.clip nn.modules.quant_conv
nn.modules.quant_linear nn.modules.quant_pooling nn.modules.tensor_quantizer
utils.quant_logging utils.reduce_amax
""".split()


def test_what_layers_bring_in() -> None:
    """Convolutions, linear layers and pooling: each module more is a tenth of a millisecond."""
    done = run_python("-c", LAYERS)
    assert done.returncode == 0, done.stderr
    loaded = {name for name in done.stdout.split() if not name.startswith("org")}  # Jython's, which `copy` looks for
    allowed = {"pytorch_quantization_c", *(f"pytorch_quantization_c.{name}" for name in OWN)}
    assert loaded - STANDARD <= allowed


@pytest.mark.parametrize("package", ["float_nn", "float_nn.functional", "nn", "nn.modules", "calib"])
def test_names_that_are_imported_on_first_use(package: str) -> None:
    """All of them are there, whatever was asked for before, and so are the modules that hold them."""
    program = f"""
import pytorch_quantization_c.{package} as package
names = [*getattr(package, "__all__", ()), *package._HOMES]
names = [name for name in names if "." not in name]
assert set(names) <= set(dir(package))
found = [getattr(package, name) for name in names]
assert all(value is getattr(package, name) for name, value in zip(names, found))
for home, held in package._HOMES.items():
    assert set(held.split()) <= set(package.__all__ if held else ()), home
try:
    package.nothing_of_that_name
except AttributeError as error:
    print(error)
"""
    done = run_python("-c", program)
    assert done.stdout == f"module 'pytorch_quantization_c.{package}' has no attribute 'nothing_of_that_name'\n", done
