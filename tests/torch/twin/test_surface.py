"""Every public name of the original is in the twin; `install` puts the twin in the original's place."""
from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch

import pytorch_quantization_c.torch as twin

from ...process import run_python
from ...reference import test_api as api

ROOT = Path(__file__).parents[3]


def run(code: str) -> str:
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("module", "name", "entry"), list(api.members()))
def test_name(module: str, name: str, entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "PACKAGE", "pytorch_quantization_c.torch")
    function = getattr(getattr(api.ours(module), name), "__self__", None)
    if inspect.isclass(function) and issubclass(function, torch.autograd.Function):    # whose `apply` the name is
        assert api.accepts(function.forward, entry["signature"])
        entry = {"kind": "constant", "type": ""}
    api.test_name(module, name, entry)


@pytest.mark.parametrize(("name", "entry"), list(api.API["(package)"]["names"].items()))
def test_name_of_the_package(name: str, entry: dict[str, Any]) -> None:
    found = getattr(twin, name)
    if entry["kind"] == "module":
        assert found is importlib.import_module(f"pytorch_quantization_c.torch.{name}")
    elif entry["kind"] == "function":
        assert api.accepts(found, entry["signature"])


def test_bases() -> None:
    functions = [twin.tensor_quant.TensorQuantFunction, twin.tensor_quant.FakeTensorQuantFunction,
                 twin.tensor_quant.LegacyFakeTensorQuantFunction, twin.tensor_quant.FakeAffineTensorQuantFunction,
                 twin.tensor_quant.ScaledE4M3Function, twin.nn.functional.ClipFunction]
    assert all(issubclass(each, torch.autograd.Function) for each in functions)
    layers = [each for name, each in vars(twin.nn).items() if inspect.isclass(each) and not name.endswith("Mixin")]
    assert len(layers) > 20 and all(issubclass(each, torch.nn.Module) for each in layers)


def test_the_package_alone_does_not_import_torch() -> None:
    assert run("import pytorch_quantization_c as q, sys; q.nn, q.calib, q.quant_modules; "
               "print('torch' in sys.modules)") == "False\n"


def test_install() -> None:
    code = """
import pytorch_quantization_c.torch as twin
twin.install(); twin.install()
import pytorch_quantization
import pytorch_quantization.nn.modules.quant_conv as by_path
from pytorch_quantization import calib, nn as quant_nn, quant_modules, tensor_quant
from pytorch_quantization.nn.modules.tensor_quantizer import TensorQuantizer
from pytorch_quantization.tensor_quant import QuantDescriptor
import pytorch_quantization.utils.reduce_amax
assert pytorch_quantization is twin and quant_nn is twin.nn and by_path.QuantConv2d is quant_nn.QuantConv2d
assert TensorQuantizer is quant_nn.TensorQuantizer
twin.install("another"); import another.calib
assert another.calib is calib
"""
    run(code)


def test_install_refuses_beside_the_original() -> None:
    code = """
import sys, types
sys.modules["pytorch_quantization"] = types.ModuleType("pytorch_quantization")
import pytorch_quantization_c.torch as twin
try:
    twin.install()
except ImportError as error:
    print(error)
"""
    assert "pytorch_quantization is already imported" in run(code)


@pytest.mark.parametrize("name", ["", "a.b", 3, None])
def test_install_refuses_a_name(name: Any) -> None:
    with pytest.raises(ValueError, match="name of a package"):
        twin.install(name)
