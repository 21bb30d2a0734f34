"""Batches that the commands read from files."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..._core.npz import DAMAGE
from ..calibration.batches import Feeds

__all__ = ["Data"]

Batch = Feeds | np.ndarray[Any, Any]


class Data:
    """Batches in files: `.npz` with an array for each input, `.npy` for a model with one, or a folder of such files.

    Args:
        path: the file or folder.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file of another kind, or a folder without any.
    """

    def __init__(self, path: str | Path) -> None:
        given = Path(path)
        if not given.exists():
            raise FileNotFoundError(f"Expected `--data` to be a file or a folder, got {given}, which is not there")
        self.files = sorted(each for each in given.iterdir() if each.suffix in (".npy", ".npz")) if given.is_dir() \
            else [given]
        wrong = [each for each in self.files if each.suffix not in (".npy", ".npz")]
        if wrong or not self.files:
            raise ValueError(f"Expected `--data` to be an .npy or .npz file or a folder of them, got {given}")

    def __iter__(self) -> Iterator[Batch]:
        return map(_read, self.files)

    def __len__(self) -> int:
        return len(self.files)


def _read(path: Path) -> Batch:
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found:
            arrays = {name: found[name] for name in found.files}
    except (ValueError, *DAMAGE) as problem:
        raise ValueError(f"Expected {path} to be an undamaged file of NumPy arrays, but {problem}") from None
    return arrays["arr_0"] if list(arrays) == ["arr_0"] else arrays
