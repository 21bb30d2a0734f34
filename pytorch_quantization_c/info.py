"""`python -m pytorch_quantization_c info`: what a bug report needs."""
from __future__ import annotations

import os
import platform
from importlib import metadata

import numpy as np

from . import _C, isa, threads
from .version import __version__

OPTIONAL = ("ml_dtypes", "PyYAML", "torch", "onnx", "onnxruntime", "dask", "safetensors")


def installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def facts() -> dict[str, str]:
    """Name -> value, in the order they are printed. Optional packages are looked up, not imported."""
    chosen = {name: value for name, value in sorted(os.environ.items()) if name.startswith("PQC_")}
    return {
        "pytorch_quantization_c": __version__,
        "compiler": _C.compiler(),
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "NumPy": np.__version__,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "instruction sets found": ", ".join(isa.available()),
        "instruction sets used": ", ".join(isa.selected()),
        "threads": f"{threads.get_num_threads()} of {threads.available_cpus()} CPUs",
        "environment": ", ".join(f"{name}={value}" for name, value in chosen.items()) or "no PQC_ variable set",
        **{package: installed(package) for package in OPTIONAL},
    }


def report() -> str:
    lines = facts()
    width = max(map(len, lines)) + 1
    return "\n".join(f"{name + ':':{width}} {value}" for name, value in lines.items())
