"""One call of every function of `_C`, with arguments that take each of its ways through memory."""
from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace as Namespace
from typing import Any, NamedTuple

import numpy as np

from pytorch_quantization_c import _C

F32, F64 = np.float32, np.float64
ONE = (1, 1, 1)
ZERO = (0, 0, 0)


class Call(NamedTuple):
    """`function(*arguments)`, a function of `_C`."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.function.__name__}({', '.join(map(shown, self.arguments))})"


def shown(argument: Any) -> str:
    """Short, and the same in every run."""
    if isinstance(argument, np.ndarray):
        return f"{argument.dtype}{list(argument.shape)}"
    return type(argument).__name__ if isinstance(argument, list) or "capsule" in repr(argument) else repr(argument)


def ramp(*shape: int, dtype: Any = F32) -> Any:
    return (np.arange(1, np.prod(shape, dtype=int) + 1).reshape(shape) % 17 / 4).astype(dtype)


def table(side: int) -> dict[str, list[tuple[Any, ...]]]:
    """Arguments by name of function; the larger arrays have side * side elements."""
    x, h, d = ramp(side, side), ramp(side, side, dtype=np.float16), ramp(side, side, dtype=F64)
    strided, one = ramp(side, 2 * side)[:, ::2], F32(2)
    rows, hole = ramp(side, 1), ramp(2, 1, side)
    image, columns = ramp(1, 4, 1, side, side), ramp(4, 9, 1, side, side)
    edges, counts = np.linspace(0, 5, 65, dtype=F32), np.arange(64, dtype=np.int64)
    weight, scale = np.ones((side, side), np.int8), np.ones(side, F32)
    linear = _C.integer_pack(weight, scale, False, 1, (), (), (), (), (), 8, False, True)
    two_ended = _C.integer_pack(weight, scale, False, 1, (), (), (), (), (), 8, False, True, True)
    kernel = np.ones((8, 4, 3, 3), np.uint8)
    geometry = ((1, 1), (1, 1), (1, 1), (1, 1), (0, 0))
    conv = _C.integer_pack(kernel, scale[:8], False, 1, *geometry, 8, False, True)
    layer = Namespace(kind=float)
    taps, program = np.ones((8, 3, 3, 4), np.int8), program_tables(side)
    program = (*program, (_C.program_weights(taps, 1, False, False, 128, scale[:8], scale[:8]),))
    images, maps = ramp(1, 4, side, side), np.empty((1, 8, side, side), F32)
    codes = np.full((side, 64), 9, np.uint8)
    wide, states = np.ones((3 * side, side), np.int8), ramp(2, 3, side) / 8
    gates = _C.integer_pack(wide, np.ones(3 * side, F32), False, 1, (), (), (), (), (), 8, False, True)
    whole = _C.float_panels(np.ones((4 * side, side), F32))
    panels = _C.int4_pack(codes, np.ones((side, 2), F32), 32)
    rows_of_64, shifts = ramp(3, 64), np.ones(-(-side // 16) * 32, np.int32)
    prepared = (panels, None, None, None, 0, side, 64, 32, None, None, True, scale, 8, False, True, False)
    guards = ((None, Namespace, ("kind", "other"), (float, ...)), (_C.__dict__, dict, ("nothing",), (...,)),
              (float, type, ("real",), (float.real,)))
    return {
        "amax": [(x, None, False), (h, (0,), True), (strided, 1, False), (d, [0, 1], True)],
        "available_cpus": [()], "compiler": [()], "get_num_threads": [()],
        "isa_known": [()], "isa_detected": [()], "isa_selected": [()],
        "isa_select": [(_C.isa_selected(),)], "set_num_threads": [(_C.get_num_threads(),)],
        "set_own_threads": [(0,)],
        "e4m3": [(x,), (h, 2.0), (strided, rows), (d, rows, np.empty_like(d)), (x, ramp(1, side), x.T.copy().T)],
        "float_quant": [(x, 2.0, 5, 2), (h, rows, 2, 1), (d, rows, 3, 2, np.empty_like(d))],
        "block_quant": [(x, 32, 2, 1, 0, 0, 8, 0.0, None, False), (d, 16, 0, 8, -127, 127, 4, 2.0, None, True),
                        (strided, side, 4, 3, 0, 0, 8, 0.0, rows.tolist(), True)],
        "encode": [(x * 0, 4, 3), ([0.5, 2.0], 2, 1)],
        "decode": [(np.zeros((4, 6), np.uint8), np.arange(256, dtype=F32), np.ones((4, 2), F32), 4)],
        "shifted_quant": [(x, 2.0, 3.0, 255, True), (h, rows, rows, 15, False), (d, F64(1), rows, 255, True)],
        "matmul": [(image[0, :, 0].copy(), image[0, :, 0].swapaxes(1, 2).copy()),
                   (image[0, :, 0].copy(), image[0, :, 0].swapaxes(1, 2).copy(), image[0, :, 0, :, 0].tolist(), 2)],
        "softmax": [(x,), (strided,)], "log_softmax": [(x,), (strided,)], "transposed": [(image,), (strided,)],
        "layer_norm": [(x, None, None, 1e-5), (strided, rows, rows, 0.0)],
        "erf": [(x,), (d,), (strided,)], "sigmoid": [(x,), (d,)], "tanh": [(x,), (strided,)],
        "fake_affine": [(x, -1.0, 2.0, 8), (h, rows, 4 + rows, 8), (d, F64(-1), 4 + rows, 4)],
        "fake_quant": [(x, 2.0, 8, False, True), (h, rows, 8, False, True), (d, one, 8, False, True),
                       (ramp(2, side, side), hole, 4, False, False), (strided, rows, 8, True, True, np.empty_like(x)),
                       (x, rows, 8, False, True, x.T.copy().T), ([[1.0, 2.0]] * 4, [0.5, 0.25], 8, False, True),
                       (x, ramp(3, side, 1), 8, False, True)],
        "quantize": [(x, 2.0, 8, False, True), (h, rows, 8, False, True), (d, rows, 8, False, True)],
        "ste": [(x, 2.0, x), (h, rows, h), (d, d, d), (strided, rows, strided)],
        "fingerprint": [(x,), (strided,)],
        "float_panels": [(x,)],
        "program_states": [("GRU", ((gates, 1.0, ramp(3 * side)),) * 2, 2, side, False),
                           ("LSTM", ((whole, None, None),), 1, side, True)],
        "recurrent": [("GRU", ramp(6, 6 * side), ((gates, 1.0, None),) * 2, states, None, None, False, True),
                      ("LSTM", ramp(4, 8 * side), ((whole, None, np.ones(4 * side, F32)),) * 2, states, states,
                       np.array([3, 1]), False, False),
                      ("LSTM_PROJECTED", ramp(3, 8 * side), ((whole, None, None), (_C.float_panels(ramp(side, side)),
                       None, None)) * 2, states, states, None, False, False)],
        "im2col": [(image, (1, 3, 3), ONE, (0, 1, 1), ONE, (1, side, side))],
        "col2im": [(columns, (1, side, side), (1, 3, 3), ONE, (0, 1, 1), ONE)],
        "histc_edges": [(3.0, side)], "magnitudes": [(x,), (strided,), (h,)],
        "histogram": [(x, edges, counts.copy(), False, True), (strided, edges[::2], counts[::2].copy(), True, True)],
        "entropy_search": [(counts, 4, False, 1, 1), (counts.tolist(), 8, True, 2, 3)],
        "mse_search": [(counts, edges[1:], 4, False, 1, 1), (counts, edges[1:].tolist(), None, False, 2, 3)],
        "percentile_search": [(counts, 0.5), (counts.tolist(), 0.99)],
        "integer_pack": [(weight, scale, False, 1, (), (), (), (), (), 8, False, True),
                         (kernel, scale[:8].tolist(), False, 1, *geometry, 8, False, True),
                         (np.ones((4, 2, 3), np.int8), scale[:2], True, 1, (2,), (1,), (1,), (1,), (0,), 4, False,
                           True)],
        "integer_call": [((linear, None, scale, None, guards), layer, x),
                         ((conv, ramp(1), None, None, guards), layer, image[:, :, 0]),
                         ((linear, None, None, None, guards), Namespace(kind=8), x)],
        "int4_pack": [(codes, np.ones((side, 2), F32), 32)],
        "int4_unpack": [(panels, side, 64, 32)],
        "int4_run": [(panels, None, None, None, 0, side, 64, 32, rows_of_64, amax, by_row, scale, 8, False, True)
                     for amax, by_row in ((2.0, False), (None, False), (None, True))] + [
                         (panels, None, shifts, None, 0, side, 64, 32, rows_of_64, np.array([30, 100], F32), False,
                          scale, 8, False, True, True)],
        "int4_call": [((prepared, 2, None, guards), layer, rows_of_64), ((prepared, 3, None, guards), layer, x)],
        "program_weights": [(taps, 1, False, False, 128, scale[:8], scale[:8]),
                            (np.ones((8, 3, 3, 1), np.int8), 8, True, False, 0, scale[:8], scale[:8])],
        "program_plan": [program],
        "program_run": [(_C.program_plan(*program), (images, maps), None),
                        (_C.program_plan(*program), (images, maps), np.zeros(4, np.int64))],
        "in_default_float_mode": [(list,)],
        "integer_run": [(linear, x, 2.0, scale), (linear, x, None, scale, True), (linear, x, rows, scale, True),
                        (two_ended, x, np.array([30, 100], F32), scale), (linear, strided, None, None),
                        (conv, image[:, :, 0], ramp(1), None)],
    }


def program_tables(side: int) -> tuple[Any, ...]:
    """An array is imported, convolved and exported: what `program_plan` takes, but for the weights."""
    codes, size = [2, 0, 0], (side + 2) ** 2 * 4 + 64
    image = [*codes, 0, 1, side, side, 4, 1, 1, 1, 1, 4, 128, 0]
    sums = [1, 0, 0, -(-size // 64) * 64, 1, side, side, 8, 0, 0, 0, 0, 32, 0, 0]
    arrays = [[1, 1, number, 0, 1, side, side, c, 0, 0, 0, 0, 4 * c, 0, 0] for number, c in ((1, 4), (2, 8))]
    ranges = np.tile(np.array([20, 20, -127, 127], F32), (4, 1))
    window = [1, 1, 0, 1] * 2
    chain, none = [-1, -1, 0, 2], [-1, -1, 0, 0]  # of the sums: their negatives, negated
    steps = [[0, 0, -1, 1, 1, -1, -1, *window, -1, 0, *none],
             [2, 1, -1, 1, 2, -1, -1, 1, 1, 1, 3, 1, 1, 1, 3, 0, 0, *none],
             [5, 2, -1, 1, 2, -1, -1, *window, -1, 0, *chain], [1, 2, -1, 1, 3, -1, -1, *window, -1, 0, *none]]
    clamps = np.tile(np.array([-np.inf, np.inf], F32), (4, 2))
    chains, numbers = np.array([[25, 0, 0, 4], [14, 4, 0, 5]], np.int64), np.array([0, -1], F32)
    buffers = [sums[3] + side * side * 32, side * side * 16, side * side * 32]
    steps = [[*step, -1, *[0] * 18] for step in steps]  # no codes between, no layouts
    return (np.array([arrays[0], image, sums, arrays[1]], np.int64), ranges, np.array(steps, np.int64), clamps,
            np.array(buffers, np.int64), chains, numbers)


def every_call(side: int) -> list[Call]:
    return [Call(getattr(_C, name), arguments) for name, each in table(side).items() for arguments in each]


def public_functions() -> set[str]:
    return {name for name in dir(_C) if not name.startswith("_")}
