"""Choosing instruction sets and threads: what is chosen, what is refused, and that results stay the same."""
from __future__ import annotations

import subprocess
from collections.abc import Iterator

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
