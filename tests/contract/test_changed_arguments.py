"""Arguments that change others while they are converted: an exception or an answer, never memory out of bounds."""
from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import _C, _arrays, float_nn, tensor_quant

from ..faults.calls import program_tables, public_functions

SIZE = 6000
ONES, ZEROS = (1, 1, 1), (0, 0, 0)

MUTATIONS: dict[str, Callable[[np.ndarray], None]] = {
    "dtype": lambda a: setattr(a, "dtype", np.int8),
    "wider": lambda a: setattr(a, "dtype", np.complex128),
    "shape": lambda a: setattr(a, "shape", (-1, 1, 1, 2)),
    "strides": lambda a: setattr(a, "strides", (0,) * a.ndim),
    "smaller": lambda a: a.resize((3,), refcheck=False),
    "larger": lambda a: a.resize((9000,), refcheck=False),
    "read-only": lambda a: a.setflags(write=False),
}


class Changing:
    """Stands for `value` and changes `victim` whenever it is asked for it."""

    def __init__(self, value: Any, victim: np.ndarray, change: Callable[[np.ndarray], None]) -> None:
        self.value, self.victim, self.change = value, victim, change

    def _answer(self) -> Any:
        try:
            self.change(self.victim)
        except (ValueError, TypeError, DeprecationWarning, AttributeError):
            pass  # NumPy refuses the change: nothing is to be seen
        return self.value

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self._answer(), dtype)

    def __index__(self) -> int:
        return int(self._answer())

    def __bool__(self) -> bool:
        return bool(self._answer())

    def __float__(self) -> float:
        return float(self._answer())

    def __iter__(self) -> Any:
        return iter(self._answer())


def floats(*shape: int) -> np.ndarray:
    return np.linspace(0.5, 1.5, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def packed() -> object:
    return _C.integer_pack(np.ones((60, 100), np.int8), floats(60), False, 1, (), (), (), (), (), 8, False, True)


def int4_panels() -> np.ndarray:
    return _C.int4_pack(np.ones((60, 104), np.uint8), np.ones((60, 4), np.float32), 32)


def program_packed() -> tuple[object]:
    return _C.program_weights(np.ones((8, 3, 3, 4), np.int8), 1, False, False, 128, floats(8), floats(8)),


CALLS: dict[str, Callable[[], list[Any]]] = {
    "quantize": lambda: [floats(60, 100), floats(60, 1), 8, False, True],
    "fake_quant": lambda: [floats(60, 100), floats(60, 1), 8, False, True, floats(60, 100)],
    "e4m3": lambda: [floats(60, 100), floats(60, 1), floats(60, 100)],
    "ste": lambda: [floats(60, 100), floats(60, 1), floats(60, 100)],
    "fake_affine": lambda: [floats(60, 100), floats(60, 1), floats(60, 1) + 1, 8],
    "amax": lambda: [floats(60, 100), (0,), True],
    "histogram": lambda: [floats(SIZE), np.linspace(0, 2, 65, dtype=np.float32), np.zeros(64, np.int64), False, False],
    "entropy_search": lambda: [np.arange(1, 2049), 8, False, 7, 128],
    "mse_search": lambda: [np.arange(1, 2049), floats(2048), 8, False, 7, 128],
    "percentile_search": lambda: [np.arange(1, 2049), 0.9],
    "im2col": lambda: [floats(1, 2, 3, 10, 100), ONES, ONES, ZEROS, ONES, (3, 10, 100)],
    "col2im": lambda: [floats(6, 1, 1, 10, 100), (1, 10, 100), ONES, ONES, ZEROS, ONES],
    "integer_pack": lambda: [np.ones((60, 25, 2), np.int8), floats(60), False, 1, (1,), (0,), (0,), (1,), (0,), 8,
                             False, True],
    "integer_run": lambda: [_C.integer_pack(np.ones((60, 100), np.int8), floats(60), False, 1, (), (), (), (), (), 8,
                                            False, True), floats(60, 100), floats(1), floats(60)],
    "layer_norm": lambda: [floats(60, 100), floats(100), floats(100), 1e-5],
    "transposed": lambda: [floats(3, 20, 100)],
    "log_softmax": lambda: [floats(60, 100)],
    "softmax": lambda: [floats(60, 100)],
    "matmul": lambda: [floats(3, 20, 100), floats(3, 100, 20)],
    "erf": lambda: [floats(60, 100)],
    "sigmoid": lambda: [floats(60, 100)],
    "tanh": lambda: [floats(60, 100)],
    "magnitudes": lambda: [floats(60, 100)],
    "fingerprint": lambda: [floats(60, 100)],
    "float_quant": lambda: [floats(60, 100), floats(60, 1), 5, 2, floats(60, 100)],
    "block_quant": lambda: [floats(60, 100), 32, 2, 1, 0, 0, 8, 0.0, floats(60, 4), False],
    "encode": lambda: [floats(60, 100), 4, 3],
    "decode": lambda: [np.zeros((60, 100), np.uint8), floats(256), np.ones((60, 4), np.float32), 32],
    "shifted_quant": lambda: [floats(60, 100), floats(60, 1), floats(60, 1), 255, True],
    "float_panels": lambda: [floats(60, 100)],
    "recurrent": lambda: ["LSTM", floats(6, 240), ((_C.float_panels(floats(120, 30)), None, floats(120)),) * 2,
                          floats(2, 3, 30), floats(2, 3, 30), np.array([3, 3]), False, False],
    "program_states": lambda: ["LSTM", ((_C.float_panels(floats(120, 30)), None, floats(120)),) * 2, 2, 30, False],
    "program_weights": lambda: [np.ones((8, 3, 3, 4), np.int8), 1, False, False, 128, floats(8), floats(8)],
    "program_plan": lambda: [*program_tables(9), program_packed()],
    "program_run": lambda: [_C.program_plan(*program_tables(9), program_packed()),
                            (floats(1, 4, 9, 9), np.zeros((1, 8, 9, 9), np.float32)), np.zeros(4, np.int64)],
    "integer_call": lambda: [(packed(), floats(1), floats(60), None, (((None, SimpleNamespace, ("kind",), (float,)),))),
                             SimpleNamespace(kind=float), floats(60, 100)],
    "int4_pack": lambda: [np.ones((60, 104), np.uint8), np.ones((60, 4), np.float32), 32],
    "int4_unpack": lambda: [int4_panels(), 60, 104, 32],
    "int4_call": lambda: [((int4_panels(), None, None, None, 0, 60, 104, 32, None, None, True, floats(60), 8, False,
                            True, False), 2, None, ((None, SimpleNamespace, ("kind",), (float,)),)),
                          SimpleNamespace(kind=float), floats(60, 104)],
    "int4_run": lambda: [_C.int4_pack(np.ones((60, 104), np.uint8), np.ones((60, 1), np.float32), 104),
                         np.zeros(64, np.uint8), np.zeros(64, np.int32), np.ones(60), 8, 60, 104, 104, floats(60, 104),
                         floats(60), True, floats(60), 8, True, True],
}
NO_ARRAYS = {"available_cpus", "compiler", "get_num_threads", "histc_edges", "in_default_float_mode", "isa_detected",
             "isa_known", "isa_select", "isa_selected", "set_num_threads", "set_own_threads"}


def test_every_function_that_takes_arrays_is_here() -> None:
    assert set(CALLS) == public_functions() - NO_ARRAYS


@pytest.mark.parametrize("name", CALLS)
def test_the_calls_as_they_are(name: str) -> None:
    getattr(_C, name)(*CALLS[name]())


CASES = [(name, at, victim) for name, make in CALLS.items()
         for at in range(len(make())) for victim in range(len(make()))
         if at != victim and isinstance(make()[victim], np.ndarray)]


@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize("name, at, victim", CASES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_argument_changes_another(name: str, at: int, victim: int, mutation: str) -> None:
    arguments = CALLS[name]()
    changing = Changing(arguments[at], arguments[victim], MUTATIONS[mutation])
    arguments[at] = (changing, *arguments[at][1:]) if isinstance(arguments[at], tuple) and arguments[at] else changing
    if isinstance(arguments[at], tuple):
        changing.value = CALLS[name]()[at][0]
    try:
        getattr(_C, name)(*arguments)
    except (TypeError, ValueError, IndexError):
        pass


class Raising:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise self.error


class RaisingInt(int):
    def __float__(self) -> float:
        raise ValueError("mine")


@pytest.mark.parametrize("error", [ValueError("mine"), TypeError("mine"), RuntimeError("mine")], ids=repr)
def test_exceptions_of_a_conversion_reach_the_caller(error: Exception) -> None:
    x = floats(6)
    for call in (lambda: _C.fake_quant(x, Raising(error), 8, False, True), lambda: _C.e4m3(x, Raising(error)),
                 lambda: _C.ste(x, Raising(error), x), lambda: _C.fake_affine(x, Raising(error), 1.0, 8),
                 lambda: _C.quantize(Raising(error), 1.0, 8, False, True)):
        with pytest.raises(type(error)) as caught:
            call()
        assert caught.value is error


def test_an_exception_of_float_reaches_the_caller() -> None:
    with pytest.raises(ValueError, match="mine"):
        _C.e4m3(floats(6), RaisingInt(1))
    with pytest.raises(OverflowError):
        _C.e4m3(floats(6), 10**400)


@pytest.mark.parametrize("error", [ValueError("mine"), TypeError("mine"), RuntimeError("mine")], ids=repr)
def test_exceptions_of_a_conversion_in_python_reach_the_caller(error: Exception) -> None:
    for call in (lambda: _arrays.number_array(Raising(error), "amax"), lambda: _arrays.float_array(Raising(error), "x"),
                 lambda: float_nn.Parameter(Raising(error)), lambda: float_nn.ReLU()(Raising(error)),
                 lambda: tensor_quant.fake_tensor_quant(floats(6), Raising(error)),
                 lambda: _C.amax(Raising(error), None, True)):
        with pytest.raises(type(error)) as caught:
            call()
        assert caught.value is error


def test_an_exception_of_index_reaches_the_caller() -> None:
    class Index:
        def __index__(self) -> int:
            raise TypeError("mine")
    with pytest.raises(TypeError, match="^mine$"):
        _C.fake_quant(floats(6), 1.0, Index(), False, True)
