"""Code that depends on a size, by parity or by a threshold, is never traced into a graph that is silently wrong."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pytorch_quantization_c import graph

Array = NDArray[Any]


def normal(*shape: int) -> Array:
    return np.random.default_rng(7).standard_normal(shape).astype(np.float32)


BY_SIZE: dict[str, Callable[[Array], Array]] = {
    "even": lambda x: x * np.float32(2) if x.shape[1] % 2 == 0 else x * np.float32(3),
    "odd alone has a node more": lambda x: np.abs(x) if x.shape[1] % 2 else x + np.float32(1),
    "above a threshold": lambda x: x - x.mean(1, keepdims=True) if x.shape[1] > 12 else x * np.float32(2),
    "half, rounded down": lambda x: x * np.float32(x.shape[1] // 2),
    "the next multiple of 4": lambda x: x + np.float32(-(-x.shape[1] // 4)),
    "above 100": lambda x: x * np.float32(2) if x.shape[1] > 100 else x,
    "above 100, by len": lambda x: x * np.float32(2) if len(x[0]) > 100 else x,
    "at most 100": lambda x: x * np.float32(np.minimum(x.shape[1], 100)),
    "twice the size above 151": lambda x: np.abs(x) if 2 * np.shape(x)[1] > 151 else x,
    "hundreds": lambda x: x + np.float32(x.shape[1] // 100),
    "below 4": lambda x: np.abs(x) if x.shape[1] < 4 else x,
    "multiples of 11": lambda x: np.abs(x) if x.shape[1] % 11 == 0 else x,
    "3 above a multiple of 11": lambda x: np.abs(x) if x.shape[1] % 11 == 3 else x,
    "one of two": lambda x: np.abs(x) if x.shape[1] in (33, 65) else x,
    "powers of 2": lambda x: np.abs(x) if x.shape[1] & (x.shape[1] - 1) == 0 else x,
}
LARGE = (22, 25, 32, 33, 50, 64, 65, 75, 76, 77, 99, 100, 101, 110, 200, 512)


@pytest.mark.parametrize("name", BY_SIZE)
@pytest.mark.parametrize("size", [6, 7, 8])
def test_an_axis_whose_size_decides_stays_fixed(name: str, size: int) -> None:
    net = BY_SIZE[name]
    model = graph.trace(net, normal(2, size))
    for other in (*range(1, 20), *LARGE):
        x = normal(2, other)
        try:
            got, = graph.interpret(model, {model.graph.inputs[0].name or "": x})
        except graph.GraphError:
            assert other != size
            continue
        np.testing.assert_array_equal(got, net(x))
    assert "x_1" in model.graph.metadata_props["trace.fixed_axes"]


@pytest.mark.parametrize("net", [lambda x: x * np.float32(1 + len(x) % 2), lambda x: np.abs(x) if len(x) > 5 else x + 1,
                                 lambda x: np.abs(x) if len(x) == 8 else np.exp(x)],
                         ids=["parity", "threshold", "blocks of 8"])
def test_a_batch_that_decides_is_refused(net: Callable[[Array], Array]) -> None:
    with pytest.raises(graph.GraphError, match="batch"):
        graph.trace(net, normal(1, 4))


@pytest.mark.parametrize("batch", [1, 20])
def test_the_example_itself_is_compared(batch: int) -> None:
    def net(x: Array) -> Array:
        return x * np.float32(2) if len(x) in (1, 20) else x * np.float32(3)

    with pytest.raises(graph.GraphError, match=rf"does not agree.*'x' \[{batch}, 4\]"):
        graph.trace(net, normal(batch, 4))


def test_a_batch_of_one_that_is_squeezed_is_refused() -> None:
    with pytest.raises(graph.GraphError, match="does not agree|cannot do what the model does"):
        graph.trace(lambda x: np.squeeze(x.sum(axis=1, keepdims=True)), normal(1, 4))


def test_a_size_that_the_model_does_not_take_fixes_nothing() -> None:
    def halves(x: Array) -> Array:
        return x.reshape(len(x), -1, 2).sum(axis=2)  # an odd number raises

    model = graph.trace(halves, normal(2, 6))
    assert str(model.graph.inputs[0].shape) == "[batch,x_1]"
    x = normal(3, 10)
    np.testing.assert_array_equal(graph.interpret(model, {"x": x})[0], halves(x))


def test_pairs_that_are_padded_to_a_multiple_keep_their_size() -> None:
    def net(x: Array) -> Array:
        pairs = x.reshape(len(x), -1, 2).sum(axis=2)  # takes even sizes alone: 16 and 32 need no padding
        return np.pad(pairs, ((0, 0), (0, -pairs.shape[1] % 8)))

    model = graph.trace(net, normal(2, 16))
    assert str(model.graph.inputs[0].shape) == "[batch,16]"


def test_a_size_that_the_graph_does_wrong_stays_fixed() -> None:
    net = lambda x: x * np.float32({8: 2}.get(x.shape[1], 3))  # noqa: E731 - nothing is compared in a dictionary

    model = graph.trace(net, normal(2, 5))  # 5 + 3 is tried for all axes at once
    assert str(model.graph.inputs[0].shape) == "[batch,5]"


def test_a_batch_above_a_threshold_is_refused() -> None:
    with pytest.raises(graph.GraphError, match="batch"):
        graph.trace(lambda x: np.abs(x) if x.size > 1000 else x, normal(1, 4))


@pytest.mark.parametrize("net", [
    lambda x: x * x.shape[1] + np.multiply(x, x.shape[1]) - x.shape[1] / x, lambda x: np.where(x > 0, x, x.shape[1]),
    lambda x: x / np.sqrt(x.shape[1]), lambda x: np.float32(2) * x.shape[0] * x, lambda x: x ** x.shape[0] + x.size,
    lambda x: x + np.full(np.shape(x), 2, x.dtype), lambda x: np.clip(x, -x.ndim, x.shape[0]),
    lambda x: x[:, :x.shape[1] // 2] * divmod(x.shape[1], 2)[0] + np.size(x, 1)])
def test_sizes_are_numbers_as_any_other(net: Callable[[Array], Array]) -> None:
    model, x = graph.trace(net, normal(2, 6)), normal(2, 6)
    got, = graph.interpret(model, {model.graph.inputs[0].name or "": x})
    assert got.dtype == net(x).dtype
    np.testing.assert_array_equal(got, net(x))


def test_axes_of_two_inputs_that_may_differ_do() -> None:
    def attention(q: Array, k: Array) -> Array:
        return np.matmul(q, np.swapaxes(k, 1, 2)).max(axis=2)

    model = graph.trace(attention, (normal(2, 5, 4), normal(2, 5, 4)))
    assert [str(value.shape) for value in model.graph.inputs] == ["[batch,q_1,q_2]", "[batch,k_1,q_2]"]
    q, k = normal(3, 4, 4), normal(3, 9, 4)
    np.testing.assert_array_equal(graph.interpret(model, {"q": q, "k": k})[0], attention(q, k))


@pytest.mark.parametrize("run", [graph.interpret, lambda model, feeds: graph.compile(model).run(None, feeds)])
def test_axes_of_two_inputs_that_cannot_differ_are_checked_at_every_call(run: Callable[..., Any]) -> None:
    def net(a: Array, b: Array) -> Array:
        return np.concatenate([a, b], axis=2).mean(axis=1)

    model = graph.trace(net, (normal(2, 5, 4), normal(2, 5, 4)))
    assert [str(value.shape) for value in model.graph.inputs] == ["[batch,a_1,a_2]", "[batch,a_1,b_2]"]
    for a, b, axis in ((normal(2, 6, 4), normal(2, 7, 4), "a_1"), (normal(2, 6, 4), normal(1, 6, 4), "batch")):
        with pytest.raises(graph.GraphError, match=rf"'a' and 'b' with the same axis '{axis}', got \d and \d"):
            run(model, {"a": a, "b": b})
