"""Codes of weights that take long to compute, kept in a file so that the same call resumes from there."""
from __future__ import annotations

import hashlib
import time
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._core.files import FilePath, check_folder, write_file
from .._core.safetensors import load_file, serialize
from .layer_rounding import RoundedWeight, WeightProblem

__all__ = ["RoundingState"]

FORMAT, VERSION = "pytorch_quantization_c.rounding", "1"
OTHER = "it is another one in the same format"
SECONDS = 2.0       # the file is written no more often; and at the end


class RoundingState:
    """What "gptq" and "adaround" have found, by a fingerprint of all that they depend on.

    Within a `with` block; what was found is written at its end, whatever ends it.

    Args:
        path: a file in the safetensors format, written whole or not at all; None: nothing is kept.

    Raises:
        ValueError: a file of another kind. FileNotFoundError: no such folder.
    """

    def __init__(self, path: FilePath | None) -> None:
        self.path, self._changed, self._written = path, False, time.monotonic()
        self.codes: dict[str, NDArray[Any]] = {} if path is None else _read(path)

    def rounded(self, problem: WeightProblem, method: str) -> RoundedWeight:
        """What `problem.by(method)` gives, from the file where it is there."""
        if self.path is None:
            return problem.by(method)
        key = _fingerprint(problem, method)
        codes = self.codes.get(key)
        if codes is None or codes.shape != problem.rows.shape:
            codes = self.codes[key] = problem.codes_by(method).astype(np.int8)
            self._changed = True
            if time.monotonic() - self._written > SECONDS:
                self._write()
        if np.any(np.abs(codes.astype(np.int16)) > problem.bound):
            raise ValueError(f"Expected `resume` to hold integers of {problem.bits} bits, got "
                             f"{codes.min()} to {codes.max()}")
        return problem.with_codes(codes.astype(np.float64))

    def _write(self) -> None:
        if self.path is not None and self._changed:
            write_file(self.path, serialize(self.codes, {"format": FORMAT, "version": VERSION}))
            self._changed, self._written = False, time.monotonic()

    def __enter__(self) -> RoundingState:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self._write()


def _read(path: FilePath) -> dict[str, NDArray[Any]]:
    check_folder(path, "resume")
    try:
        arrays, _ = load_file(path, _check_kind)
        if any(array.dtype != np.int8 or array.ndim != 3 for array in arrays.values()):
            raise ValueError(OTHER)
    except FileNotFoundError:
        return {}
    except ValueError as problem:
        raise ValueError(f"Expected `resume` to be a file of rounded weights, but {problem}") from None
    return arrays


def _check_kind(metadata: dict[str, str]) -> None:
    if metadata.get("format") != FORMAT or metadata.get("version") != VERSION:
        raise ValueError(OTHER)


def _fingerprint(problem: WeightProblem, method: str) -> str:
    found = hashlib.sha256(f"{method} {problem.bits} {problem.rows.shape} {problem.amax.shape}".encode())
    for array in (problem.rows, problem.amax, problem.moment):
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:32]
