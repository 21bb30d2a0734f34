"""NumPy's own functions traced: the same call on the same arrays, so the same bits; and sizes that constants follow."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pytorch_quantization_c import float_nn, graph
from tests.graph.tracing.test_trace import assert_same_bits, flat, normal

Array = NDArray[Any]
DRAWN = np.random.default_rng(1)
W, WT = DRAWN.standard_normal((6, 4)).astype(np.float32), DRAWN.standard_normal((4, 6)).astype(np.float32)

FUNCTIONS: dict[str, Callable[[Array], Any]] = {
    "elementary": lambda x: np.sin(x) + np.cos(x) * np.exp(-np.abs(x)) - np.sqrt(np.square(x)) / np.log(np.abs(x) + 2),
    "numbers": lambda x: 2 * x + 1 - x / 3 + np.float32(0.5) ** 2, "float64 scalar": lambda x: x * np.float64(2.5),
    "powers": lambda x: x ** 2 + x ** 3 + np.abs(x) ** 0.5 + np.power(np.abs(x), np.float32(1.7)),
    "comparisons": lambda x: np.where((x > 0) & (x < 1) | np.logical_not(x != 0), x, -x),
    "clip": lambda x: np.clip(x, -1, 1) + x.clip(0, None) + np.clip(x, None, 0.5),
    "moments": lambda x: (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) + x.std(),
    "softmax": lambda x: np.exp(x - x.max(-1, keepdims=True)) / np.exp(x - x.max(-1)[:, None]).sum(-1, keepdims=True),
    "reductions": lambda x: np.sum(x, axis=1) + x.min(1) + np.prod(x[:, :2], axis=1) + np.amax(x, 1) + np.mean(x),
    "argmax": lambda x: (np.argmax(x, axis=1), x.argmin(1)), "cumsum": lambda x: np.cumsum(x, axis=1),
    "concatenate": lambda x: np.concatenate([x, x * 2, np.ones((x.shape[0], 1), np.float32)], axis=1),
    "stack": lambda x: np.stack([x, x + 1], axis=-1),
    "split": lambda x: np.split(x, 3, axis=1)[1] + np.split(x, [2, 4], axis=1)[0],
    "indices": lambda x: x[:, ::-1] + x[..., -1:] + x[:, None, 1] + x[:, 1:].sum(axis=1, keepdims=True),
    "arrays of indices": lambda x: x[:, [0, 2, 2]] + x[:, np.array([True, True, False, True, False, False])],
    "flip and roll": lambda x: np.flip(x, 1) + np.roll(x, 2, axis=1),
    "pad": lambda x: np.pad(x, ((0, 0), (1, 2)))[:, :6] + np.pad(x, ((0, 0), (2, 0)), mode="edge")[:, 2:],
    "tile and repeat": lambda x: np.tile(x, (1, 2)) + np.repeat(x, 2, axis=1),
    "einsum": lambda x: np.einsum("ni,nj->nij", x, x), "products": lambda x: np.dot(x, W) + x.dot(W) + x @ W,
    "a transposed weight": lambda x: x @ WT.T, "astype": lambda x: (x * 10).astype(np.int64) * 2 + 1,
    "broadcast_to": lambda x: np.broadcast_to(x[:, None, :], (x.shape[0], 3, 6)) + x[:, None],
    "take": lambda x: np.take(x, [1, 3], axis=1) + np.take_along_axis(x, np.zeros((x.shape[0], 2), int), axis=1),
    "rounding": lambda x: np.round(x) + np.floor(x) + np.ceil(x) + np.rint(x),
    "axes": lambda x: np.swapaxes(x[:, :, None], 1, 2).squeeze(1) + np.moveaxis(x[None], 0, -1)[..., 0],
    "like": lambda x: x + np.zeros_like(x) + np.ones_like(x), "sizes": lambda x: x / x.shape[1] + x.size * 0,
    "reshape": lambda x: x.reshape(-1, 2, 3).transpose(0, 2, 1).reshape(x.shape[0], -1).ravel().reshape(x.shape),
    "signs": lambda x: np.maximum(x, 0) + np.minimum(x, np.float32(0.3)) + np.sign(x) + np.negative(x) + +x,
    "booleans": lambda x: (x > 0, np.isnan(x)), "logaddexp": lambda x: np.logaddexp(0, x),
    "zeros with a sign": lambda x: ((-np.abs(x * 0)).max(1), (-np.abs(x * 0)).min(1)),
    "einsum of matrices": lambda x: np.einsum("bij,bjk->bik", x[:, :, None] * x[:, None], x[:, :, None] - x[:, None]),
    "twice": lambda x: (x, x, x + 1), "matrices": lambda x: (x[:, :, None] @ x[:, None, :]).mT.sum(1),
    "copies": lambda x: x.copy() * x.flatten().reshape(x.shape), "rows": lambda x: sum(row for row in x.T),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_numpy(name: str, rng: np.random.Generator) -> None:
    function = FUNCTIONS[name]
    model = graph.trace(function, normal(rng, 1, 6))
    for batch in (1, 3):
        x = normal(rng, batch, 6)
        found, wanted = graph.interpret(model, {"x": x}), [np.asarray(y) for y in flat(function(x))]
        assert [(y.dtype, y.shape, y.tobytes()) for y in found] == [(y.dtype, y.shape, y.tobytes()) for y in wanted]
    assert "trace.inexact_nodes" not in model.graph.metadata_props


class Positions(float_nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.embedding = float_nn.Parameter(normal(DRAWN, 64, 8)), float_nn.Embedding(64, 8)

    def forward(self, x: Array) -> Array:
        length = x.shape[1]
        scores = x @ x.transpose(0, 2, 1) + np.triu(np.full((length, length), -np.inf, np.float32), 1)
        seen = np.where(np.tril(np.ones((1, length, length), bool)), scores, np.float32(-9))
        return x + self.table[:length] + self.embedding(np.arange(length)) + seen.sum(-1, keepdims=True) / length


def test_tables_of_positions_and_causal_masks_follow_the_length(rng: np.random.Generator) -> None:
    net = Positions().eval()
    model = graph.trace(net, normal(rng, 1, 6, 8))
    assert str(model.graph.inputs[0].shape) == "[batch,x_1,8]"
    assert_same_bits(net, model, *(normal(rng, 2, length, 8) for length in (1, 5, 31, 64)))


def test_several_inputs_and_outputs_by_name(rng: np.random.Generator) -> None:
    def net(x: Array, mask: Array) -> dict[str, Array]:
        kept = np.where(mask[:, :, None], x, np.float32(0))
        return {"mean": kept.sum(1) / np.maximum(mask.sum(1, keepdims=True), 1).astype(np.float32), "kept": kept}

    x, mask = normal(rng, 3, 9, 4), rng.random((3, 9)) < 0.5
    for given in ((x[:1, :5], mask[:1, :5]), {"mask": mask[:1, :5], "x": x[:1, :5]}):
        model = graph.trace(net, given)
        assert [value.name for value in model.graph.outputs] == ["mean", "kept"]
        assert all(str(value.shape).startswith("[batch,") for value in model.graph.inputs)
        found = graph.interpret(model, {"x": x, "mask": mask})
        assert [y.tobytes() for y in found] == [y.tobytes() for y in net(x, mask).values()]


def test_a_constant_that_is_used_twice_is_one(rng: np.random.Generator) -> None:
    layer = float_nn.Linear(6, 6)
    model = graph.trace(float_nn.Sequential(layer, layer).eval(), normal(rng, 1, 6))
    assert sorted(model.graph.initializers) == ["0.bias", "0.weight"]
    assert [node.name for node in model.graph] == ["0", "0.gemm"]


def test_weights_are_copied(rng: np.random.Generator) -> None:
    net, x = float_nn.Linear(6, 6).eval(), normal(rng, 2, 6)
    model, wanted = graph.trace(net, x), net(x)
    net.weight[...] = 0
    assert np.array_equal(graph.interpret(model, {"input": x})[0], wanted)
