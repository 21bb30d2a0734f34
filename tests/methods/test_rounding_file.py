"""Files of rounded weights that lie: refused before anything is done with what they hold."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c._core.safetensors import load_file, serialize
from pytorch_quantization_c.methods.layer_rounding import WeightProblem
from pytorch_quantization_c.methods.rounding_state import RoundingState


def problem(rng: np.random.Generator) -> WeightProblem:
    weight = rng.normal(size=(4, 8)).astype(np.float32)
    return WeightProblem(weight, np.abs(weight).max(axis=1), 4, None)


@pytest.mark.parametrize("code", [8, 127, -8, -128])
def test_codes_beyond_their_bits_are_refused(code: int, tmp_path: Path, rng: np.random.Generator) -> None:
    path, weights = tmp_path / "state", problem(rng)
    with RoundingState(path) as state:
        found = state.rounded(weights, "gptq")
    with RoundingState(path) as state:
        np.testing.assert_array_equal(state.rounded(weights, "gptq").weight, found.weight)
    arrays, metadata = load_file(path)
    for codes in arrays.values():
        codes[0, 1, 2] = code
    path.write_bytes(serialize(arrays, metadata))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="`resume` to hold integers of 4 bits"), RoundingState(path) as state:
        state.rounded(weights, "gptq")
    assert path.read_bytes() == before


@pytest.mark.parametrize("metadata", [{}, {"format": "pytorch_quantization_c.rounding", "version": "2"}])
def test_another_file_is_refused_by_its_header(metadata: dict[str, str], tmp_path: Path) -> None:
    """A terabyte that takes no room on the disk: its body is not read."""
    whole = serialize({"codes": np.zeros((1, 1, 8), np.int8)}, metadata)
    header: Any = whole[8:-8].replace(b"[1,1,8]", b"[1,1,1099511627776]").replace(b"[0,8]", b"[0,1099511627776]")
    path = tmp_path / "state"
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + (1 << 40))
    with pytest.raises(ValueError, match="another one in the same format"):
        RoundingState(path)
