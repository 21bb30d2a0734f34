"""What goes into the networks of bench_networks.py."""
from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

Array = np.ndarray[Any, Any]
CONSTANT = {"attention_mask": 1, "token_type_ids": 0, "h": 0, "c": 0}
TOKENS = 1000


def feeds(model: Any, batch: int, rng: np.random.Generator) -> dict[str, Array]:
    """Arrays by the names of a model's inputs, the first axis of each `batch` times as long as for one sample."""
    found = {}
    for value in model.graph.input:
        first, *rest = (dim.dim_value for dim in value.type.tensor_type.shape.dim)
        shape = (batch * max(first, 1), *rest)
        kind = np.float32 if value.type.tensor_type.elem_type == TensorProto.FLOAT else np.int64
        if value.name in CONSTANT:
            found[value.name] = np.full(shape, CONSTANT[value.name], kind)
        else:
            found[value.name] = images(shape, rng) if kind == np.float32 else rng.integers(1, TOKENS, shape)
    return found


def images(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Patches of one colour with a little noise, of mean 0 and deviation 1: as smooth as photographs are."""
    spatial = [size > 16 for size in shape]
    coarse = [-(-size // 16) if wide else size for size, wide in zip(shape, spatial, strict=True)]
    made = rng.standard_normal(coarse)
    for axis, (size, wide) in enumerate(zip(shape, spatial, strict=True)):
        if wide:
            made = np.repeat(made, 16, axis).take(range(size), axis)
    return np.asarray(made + 0.1 * rng.standard_normal(shape), np.float32)
