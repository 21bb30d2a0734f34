"""Choosing instruction sets and threads: what is chosen, what is refused, and that results stay the same."""
from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pytorch_quantization_c import _environment, isa, threads
from pytorch_quantization_c.tensor_quant import fake_tensor_quant

from . import oracle
from .process import run_python


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    names, count = isa.selected(), threads.get_num_threads()
    yield
    isa.only(*names)
    threads.set_num_threads(count)


def test_known_available_selected() -> None:
    assert isa.known()[0] == "scalar" and len(set(isa.known())) == len(isa.known())
    assert "scalar" in isa.available() and set(isa.selected()) <= set(isa.available()) <= set(isa.known())


def test_amx_adds_to_what_it_needs() -> None:
    known = isa.known()
    assert known.index("avx2") < known.index("avx512") < known.index("vnni") < known.index("amx")
    if "amx" not in isa.available():
        pytest.skip("not on this machine")
    assert {"scalar", "avx2", "avx512", "vnni"} < set(isa.available())
    assert {"amx_tile", "amx_int8", "avx512_vnni"} <= set(Path("/proc/cpuinfo").read_text().split())


SMALL_SIGNAL_STACK = """
import ctypes

class Stack(ctypes.Structure):
    _fields_ = [("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]

memory = ctypes.create_string_buffer(8192)
stack = Stack(ctypes.cast(memory, ctypes.c_void_p), 0, len(memory))
assert ctypes.CDLL(None).sigaltstack(ctypes.byref(stack), None) == 0
import numpy as np
from pytorch_quantization_c import isa, nn
layer = nn.QuantLinear(64, 8)
layer(np.ones((64, 64), np.float32))
print(layer.execution, *isa.available())
"""


def test_amx_is_not_used_where_the_system_refuses_it() -> None:
    """It does in a process with a signal stack on which the tiles have no room."""
    if "amx" not in isa.available():
        pytest.skip("not on this machine")
    done = fresh(SMALL_SIGNAL_STACK)
    assert done.stdout.split() == ["int8", *[name for name in isa.available() if name != "amx"]], done.stderr


SIGNAL_STACK_AFTERWARDS = ("from pytorch_quantization_c import isa" + SMALL_SIGNAL_STACK.split("assert ")[0]
                           + "print(ctypes.CDLL(None).sigaltstack(ctypes.byref(stack), None))")


@pytest.mark.parametrize("names, answer", [("avx2", "0"), ("scalar,avx2,avx512,vnni", "0"), ("", "-1")])
def test_amx_is_asked_for_only_where_it_is_wanted(names: str, answer: str) -> None:
    """With the right to use tiles a process cannot have small signal stacks any more."""
    if "amx" not in isa.available():
        pytest.skip("not on this machine")
    done = fresh(SIGNAL_STACK_AFTERWARDS, PQC_ISA=names)
    assert done.stdout.split() == [answer], done.stderr


@pytest.mark.parametrize("name", isa.available())
def test_only(name: str) -> None:
    before = isa.selected()
    with isa.only(name):
        assert set(isa.selected()) == {"scalar", name}
        with isa.only("scalar"):
            assert isa.selected() == ("scalar",)
        assert set(isa.selected()) == {"scalar", name}
    assert isa.selected() == before
    isa.only(name)
    assert set(isa.selected()) == {"scalar", name}


def test_only_restores_after_an_exception_and_refuses_what_is_not_there() -> None:
    before = isa.selected()
    with pytest.raises(KeyError), isa.only("scalar"):
        raise KeyError
    assert isa.selected() == before
    with pytest.raises(ValueError, match="Expected one of scalar, .*, got 'mmx'"):
        isa.only("mmx")
    with pytest.raises(TypeError, match="got int"):
        isa.only(3)  # type: ignore[arg-type]
    absent = set(isa.known()) - set(isa.available())
    for name in absent:
        with pytest.raises(ValueError, match=f"not '{name}'"):
            isa.only(name)
    assert isa.selected() == before and absent


def fresh(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_python("-c", code, **environment)


def test_environment() -> None:
    code = "from pytorch_quantization_c import isa, threads; print(*isa.selected(), threads.get_num_threads())"
    assert fresh(code, PQC_ISA="scalar", PQC_NUM_THREADS="3").stdout == "scalar 3\n"
    assert fresh(code, PQC_ISA="", PQC_NUM_THREADS="").stdout.split() == [*isa.available(),
                                                                          str(threads.available_cpus())]
    for variable, value, message in (("PQC_ISA", "sse9", "PQC_ISA: Expected one of scalar, avx2"),
                                     ("PQC_NUM_THREADS", "0", "PQC_NUM_THREADS to be an integer from 1"),
                                     ("PQC_NUM_THREADS", "many", "got 'many'")):
        wrong = fresh(code, **{variable: value})
        assert wrong.returncode and message in wrong.stderr


LAYERS = """
import hashlib
import numpy as np
from pytorch_quantization_c import isa, nn

rng = np.random.default_rng(1)
for layer, shape in ((nn.QuantLinear(100, 50), (40, 100)), (nn.QuantConv2d(3, 24, 7, 2, 3), (1, 3, 30, 31)),
                     (nn.QuantConv2d(64, 40, 3, padding=1), (2, 64, 14, 15)),
                     (nn.QuantConv2d(20, 17, 3), (2, 20, 9, 9)),
                     (nn.QuantConvTranspose2d(20, 17, 3, 2), (1, 20, 9, 9))):
    layer.weight[...] = rng.standard_normal(layer.weight.shape)
    layer.bias[...] = 0
    y = layer(rng.standard_normal(shape).astype(np.float32))
    print(layer.execution, hashlib.sha256(y.tobytes()).hexdigest())
"""


def test_layers_give_the_same_bits_whatever_the_environment_selects() -> None:
    wanted = fresh(LAYERS, PQC_ISA="scalar").stdout
    assert wanted.count("int8 ") == 5 and wanted.count("\n") == 5
    for names in (("amx",), ("scalar", "avx2", "avx512", "vnni"), ("amx", "avx2"), ("neon", "dotprod"), ("avx2",)):
        if set(names) <= set(isa.available()):
            assert fresh(LAYERS, PQC_ISA=",".join(names)).stdout == wanted, names
    assert fresh(LAYERS, PQC_ISA="", PQC_NUM_THREADS="3").stdout == wanted


def test_environment_is_applied_or_refused() -> None:
    before = isa.selected(), threads.get_num_threads()
    for wrong in ({"PQC_ISA": "sse9"}, {"PQC_NUM_THREADS": "0"}, {"PQC_NUM_THREADS": "many"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            _environment.apply(wrong)
    _environment.apply({})
    assert (isa.selected(), threads.get_num_threads()) == before
    _environment.apply({"PQC_ISA": "scalar", "PQC_NUM_THREADS": "3"})
    assert (isa.selected(), threads.get_num_threads()) == (("scalar",), 3)


def test_threads() -> None:
    assert threads.available_cpus() >= 1
    rng = np.random.default_rng(0)
    x = rng.normal(size=300_000).astype(np.float32)
    wanted = oracle.integer(x, 2.0)[1]
    for count in (1, 2, 3, 8):
        threads.set_num_threads(count)
        assert threads.get_num_threads() == count
        oracle.same(fake_tensor_quant(x, 2.0), wanted)


@pytest.mark.parametrize(("n", "error"), [(0, ValueError), (-1, ValueError), (10 ** 12, ValueError), (1.5, TypeError),
                                          ("2", TypeError), (None, TypeError), (True, TypeError)])
def test_threads_refused(n: object, error: type[Exception]) -> None:
    before = threads.get_num_threads()
    with pytest.raises(error, match="`n` to be an integer from 1"):
        threads.set_num_threads(n)  # type: ignore[arg-type]
    assert threads.get_num_threads() == before
