"""Calls of every public callable with arguments nobody would think of, and what may come of them."""
from __future__ import annotations

import inspect
from random import Random
from typing import Any

import ml_dtypes
import numpy as np

from ..contract.surface import CASES, Case

REFUSALS = (TypeError, ValueError, IndexError, MemoryError, RuntimeError)  # RuntimeError: torch's, for layers' shapes
DTYPES: list[Any] = [np.float32, np.float32, np.float32, np.float16, np.float64, ml_dtypes.bfloat16, ">f4", np.int8,
                     np.int64, np.uint8, bool, np.complex64, np.longdouble, object, "U3", "M8[s]", "V2"]
VALUES = [0.0, -0.0, 1.0, -1.0, 0.5, 127.5, 1e-45, 1e-38, 3e38, -3e38, np.inf, -np.inf, np.nan, 65504.0, 448.0]
LENGTHS = [0, 1, 1, 2, 3, 4, 5, 6, 8, 9, 17, 33]
OTHERS: list[Any] = [
    None, True, False, -1, 0, 1, 2, 3, 4, 5, 8, 16, 32, 33, -(2**31), 2**31, 2**63, 2**64, 10**30, 10**5000, 0.5, -0.5,
    1.0, float("nan"), float("inf"), 1e308, "", "max", "same", "nearest", "bilinear", "mean", (), (1,), (1, 2), (0, 0),
    (-1, 1), (2**40, 2**40), (3, 3, 3), [1, 2], [None], ((1, 2),), {}, object(), np.float32(2), np.int64(3), b"x", 1j,
    ..., int,
]


def any_array(random: Random, like: Any, repeats: int) -> Any:
    """An array of any kind; often one that differs from an accepted one in a single respect."""
    choice = random.random()
    if choice < 0.1:
        return random.choice(OTHERS)
    if choice < 0.4:
        values = np.array(like)
    else:
        shape = tuple(random.choice(LENGTHS) for _ in range(random.choice((0, 1, 2, 3, 3, 4, 5))))
        values = np.resize(np.array(random.sample(VALUES, 6)), shape)
    if choice < 0.2 and values.size and values.dtype.kind == "f":
        values.flat[random.randrange(values.size)] = random.choice(VALUES)
    with np.errstate(all="ignore"):
        values = values.astype(random.choice(DTYPES) if random.random() < 0.5 else np.float32)
        return any_layout(random, values, repeats)


def any_layout(random: Random, values: Any, repeats: int) -> Any:
    action = random.randrange(9)
    if action == 0 and values.ndim:
        return values[::-1]
    if action == 1 and values.ndim:
        return values[..., ::2]
    if action == 2:
        return np.asfortranarray(values)
    if action == 3:
        return np.broadcast_to(values, (random.choice((1, 2, repeats)), *values.shape))
    if action == 4:
        return values.T
    if action == 5:
        values.flags.writeable = False
    if action == 6:
        return values.tolist()
    return np.ma.masked_array(values) if action == 7 else values


def arguments(case: Case, random: Random) -> dict[str, Any]:
    """Some of the arguments of a case replaced by others."""
    repeats = 3 if case.name.startswith("float_nn.") else 2**38  # NumPy's own arithmetic would set out to compute
    replaced = {name: any_array(random, array, repeats) for name, array in case.arrays.items() if random.random() < 0.5}
    if case.call.__name__ != "<lambda>":
        parameters = [name for name in inspect.signature(case.call).parameters if name not in case.arrays]
        for name in random.sample(parameters, min(len(parameters), random.choice((0, 0, 1, 1, 2)))):
            replaced[name] = random.choice(OTHERS)
    return replaced


def attempt(case: Case, random: Random) -> str | None:
    """None if the call works or is refused as it should be; else what is wrong."""
    case = Case(case.name, case.call, {name: array.copy() for name, array in case.arrays.items()}, case.others)
    replaced = arguments(case, random)
    given = [array for array in (*case.arrays.values(), *replaced.values()) if isinstance(array, np.ndarray)]
    before = [array.tobytes() if array.nbytes < 1 << 20 else b"" for array in given]
    error: Exception | None = None
    try:
        with np.errstate(all="ignore"):
            case(**replaced)
    except REFUSALS as caught:
        error = caught
    except UserWarning:
        return None
    except Exception as caught:
        return f"{type(caught).__name__}: {caught}"
    if error is not None and (len(str(error)) > 1000 or not str(error)):
        return f"a message of {len(str(error))} characters: {str(error):.80}"
    in_place = case.name.endswith("_") or replaced.keys() & {"inplace", "out", "training"}
    if in_place and error is None:
        return None
    after = [array.tobytes() if array.nbytes < 1 << 20 else b"" for array in given]
    return None if after == before else f"an argument was changed by a call that {error or 'worked'}"


__all__ = ["CASES", "attempt"]
