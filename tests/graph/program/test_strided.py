"""Arrays in another order, and products of two: against NumPy and onnxruntime, with the interpreter's bits."""
from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import _C, graph
from pytorch_quantization_c.graph.interpreter.exact import fma

from ...everywhere import everywhere
from ..networks import network, normal
from .same_bits import assert_same_bits

LARGEST_DIFFERENCE = 2e-6  # from onnxruntime's float, of an encoder's block whose outputs are about 1
I64 = np.int64
MOVES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "transpose": ("b = Transpose <perm = [0, 2, 1, 3]> (a)", lambda x: x.transpose(0, 2, 1, 3)),
    "reversed": ("b = Transpose (a)", lambda x: x.transpose()),
    "last to first": ("b = Transpose <perm = [3, 0, 1, 2]> (a)", lambda x: x.transpose(3, 0, 1, 2)),
    "images": ("b = Transpose <perm = [0, 3, 1, 2]> (a)", lambda x: x.transpose(0, 3, 1, 2)),
    "views": ("c = Reshape (a, three)  d = Unsqueeze (c, axes)  e = Squeeze (d)  b = Flatten <axis = 2> (e)",
              lambda x: np.squeeze(x.reshape(-1, x.shape[1], 20)).reshape(x.shape[0] * x.shape[1], -1)),
    "slices": ("b = Slice (a, starts, ends, two, steps)", lambda x: x[:, 1:-1:2, :, -3:]),
    "expand": ("c = Slice (a, zero, one, last)  b = Expand (c, wide)",
               lambda x: np.broadcast_to(x[..., :1], (*x.shape[:3], 6))),
    "split": ("c, d = Split <axis = 1, num_outputs = 2> (a)  b = Concat <axis = 1> (d, c)",
              lambda x: np.concatenate([x[:, 4:], x[:, :4]], 1)),
    "split last": ("c, d, e = Split <axis = -1> (a, parts)  b = Add (c, e)", lambda x: x[..., :2] + x[..., 3:]),
    "concat": ("c = Neg (a)  b = Concat <axis = -1> (a, c, a)", lambda x: np.concatenate([x, -x, x], -1)),
    "concat rows": ("c = Neg (a)  b = Concat <axis = 1> (a, c)", lambda x: np.concatenate([x, -x], 1)),
}
CONSTANTS: dict[str, Any] = {
    "three": np.array([0, 0, 20], I64), "axes": np.array([0, -1], I64), "starts": np.array([1, -3], I64),
    "ends": np.array([-1, 99], I64), "two": np.array([1, -1], I64), "steps": np.array([2, 1], I64),
    "parts": np.array([2, 1, 2], I64),
    "zero": np.array([0], I64), "one": np.array([1], I64), "last": np.array([-1], I64), "wide": np.array([6], I64)}


def of_rank(rank: int) -> str:
    return f"float[{','.join('PQRST'[:rank])}] y"


def compiled_alike(model: ir.Model, x: Any, python: int = 0) -> list[Any]:
    """Compiled with this many steps of Python, the model has the interpreter's bits."""
    session = graph.compile(model)
    assert [row.kernel for row in session.summary()].count("Python") == python
    return assert_same_bits(session, model, {"x": x}, (1, 3))


@pytest.mark.parametrize("name", MOVES)
def test_orders_and_shapes(rng: np.random.Generator, name: str) -> None:
    body, wanted = MOVES[name]
    x = normal(rng, 2, 7, 4, 5)
    model = network(f"a = Sigmoid (x)  {body}  y = Mul (b, b)", "float[2,7,4,5] x", of_rank(wanted(x).ndim),
                    **{key: each for key, each in CONSTANTS.items() if key in body})
    found, = compiled_alike(model, x)
    np.testing.assert_allclose(found, wanted(1 / (1 + np.exp(-x))) ** 2, rtol=1e-5)


@pytest.mark.parametrize(("split", "size"), [
    ("Split <axis = 1> (a, parts)", "N"), ("Split <axis = 1, num_outputs = 3> (a)", "4"),
    ("Split <axis = 1, num_outputs = 3> (a)", "N")])
def test_splits_that_may_be_empty_or_not_add_up_stay_the_interpreters(rng: np.random.Generator, split: str,
                                                                      size: str) -> None:
    model = network(f"a = Sigmoid (x)  b, c, d = {split}", f"float[2,{size},3] x",
                    "float[2,P,3] b, float[2,Q,3] c, float[2,R,3] d", opset=18, parts=np.array([2, 2, 0], I64))
    session, x = graph.compile(model), normal(rng, 2, 4, 3)
    found = session.run(None, {"x": x})
    assert [each.shape[1] for each in found] == [2, 2, 0]
    assert [each.tobytes() for each in found] == [each.tobytes() for each in graph.interpret(model, {"x": x})]
    if size == "N" and "parts" in split:
        with pytest.raises(graph.GraphError, match="add up to 5"):
            session.run(None, {"x": normal(rng, 2, 5, 3)})


def test_views_of_inputs_and_outputs_are_copies(rng: np.random.Generator) -> None:
    model = network("a = Reshape (x, flat)  b = Neg (a)  y = Reshape (b, shape)  z = Reshape (y, flat)",
                    "float[3,4] x", "float[4,3] y, float[12] z", flat=np.array([-1], I64), shape=np.array([4, 3], I64))
    x = normal(rng, 3, 4)
    y, z = graph.compile(model).run(None, {"x": x})
    assert not np.shares_memory(y, z) and not np.shares_memory(y, x)
    np.testing.assert_array_equal(y, -x.reshape(4, 3))
    np.testing.assert_array_equal(z, -x.ravel())


STRIDED = 13  # the kind of a copying step


@pytest.mark.parametrize(("text", "outputs", "copies"), [
    ("a = Sigmoid (x)  b = Reshape (a, flat)  y = Reshape (b, shape)", "float[4,3] y", 0),
    ("y = Sigmoid (x)  b = Reshape (y, flat)  z = Neg (b)", "float[3,4] y, float[12] z", 0),
    ("a = Sigmoid (x)  y = Reshape (a, shape)  b = Reshape (a, flat)  z = Neg (b)", "float[4,3] y, float[12] z", 0),
    ("a = Sigmoid (x)  y = Reshape (a, shape)  z = Reshape (a, flat)  s = Neg (a)",
     "float[4,3] y, float[12] z, float[3,4] s", 1),
    ("y = Reshape (x, shape)  z = Reshape (y, flat)", "float[4,3] y, float[12] z", 2),
    ("s = Softmax (x)  y = Reshape (s, flat)  m = MatMul (s, x)  z = Add (m, s)", "float[16] y, float[4,4] z", 0)])
def test_what_outputs_are_views_of_is_made_in_their_memory(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch,
                                                            text: str, outputs: str, copies: int) -> None:
    kinds: list[int] = []
    real = _C.program_plan

    def program_plan(images: Any, ranges: Any, steps: Any, *rest: Any) -> Any:
        kinds.extend(np.array(steps)[:, 0])
        return real(images, ranges, steps, *rest)

    monkeypatch.setattr(_C, "program_plan", program_plan)
    size = "float[4,4] x" if "Softmax" in text else "float[3,4] x"
    model = network(text, size, outputs, flat=np.array([-1], I64), shape=np.array([4, 3], I64))
    session, x = graph.compile(model), normal(rng, 4 if "Softmax" in text else 3, 4)
    found = session.run(None, {"x": x})
    assert kinds.count(STRIDED) == copies
    assert [each.tobytes() for each in found] == [each.tobytes() for each in graph.interpret(model, {"x": x})]
    assert not any(np.shares_memory(one, x) for one in found)
    assert not any(np.shares_memory(one, other) for one in found for other in found if one is not other)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 5, 7), (3, 25, 33, 32), (1, 13, 300, 65), (4, 64, 0, 3)])
def test_sums_are_fused_multiply_adds_in_order(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    batch, m, k, n = shape
    a, b = normal(rng, batch, m, k), normal(rng, batch, k, n)
    wanted = np.zeros((batch, m, n), np.float32)
    for number in range(k):
        wanted = fma(a[:, :, number:number + 1], b[:, number:number + 1], wanted)
    assert set(everywhere(lambda: _C.matmul(a, b).tobytes(), counts=(1,)).values()) == {wanted.tobytes()}
    np.testing.assert_allclose(wanted, a.astype(float) @ b.astype(float), atol=1e-6 * max(k, 1))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (2, 5, 3, 4, 33), (3, 25, 31, 9, 40), (1, 13, 300, 2, 65)])
def test_sums_begin_with_numbers_and_go_tap_by_tap(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    groups, m, channels, taps, n = shape
    for batch in (1, 3):
        a, b = normal(rng, groups, m, taps * channels), normal(rng, batch * groups, channels * taps, n)
        start = normal(rng, groups, m)
        tap_by_tap = b.reshape(-1, channels, taps, n).swapaxes(1, 2).reshape(b.shape)
        wide = np.concatenate([a] * batch)
        wanted = np.repeat(np.concatenate([start] * batch)[..., None], n, 2)
        for number in range(taps * channels):
            wanted = fma(wide[:, :, number:number + 1], tap_by_tap[:, number:number + 1], wanted)
        for x, count in ((b, taps), (tap_by_tap, 1)):
            made = everywhere(partial(_C.matmul, a, x, start, count), counts=(1, 3))
            assert {each.tobytes() for each in made.values()} == {wanted.tobytes()}
    zeros = _C.matmul(np.zeros((1, 2, 3), np.float32), np.zeros((1, 3, 4), np.float32), np.full(2, -0.0, np.float32))
    assert not np.signbit(zeros).any()


def test_products_that_cannot_be(rng: np.random.Generator) -> None:
    a = normal(rng, 2, 3, 4)
    for b in (a, a[:1].swapaxes(1, 2).copy()):
        with pytest.raises(ValueError, match="Expected `b` of shape"):
            _C.matmul(a, b)
    for b in (a[0], a.astype(np.float64), a.swapaxes(1, 2), [1.0]):
        with pytest.raises(TypeError, match="`b`"):
            _C.matmul(a, b)
    for start in (np.zeros(5, np.float32), np.zeros(6)):
        with pytest.raises(ValueError, match="Expected `start` of 6 float32 elements"):
            _C.matmul(a, a.swapaxes(1, 2).copy(), start)
    for taps in (0, -1, 3):
        with pytest.raises(ValueError, match="Expected `taps` to divide 4"):
            _C.matmul(a, a.swapaxes(1, 2).copy(), None, taps)


@pytest.mark.parametrize("a, b", [((4, 6, 5), (4, 5, 3)), ((2, 4, 6, 5), (5, 3)), ((6, 5), (2, 4, 5, 3)),
                                  ((2, 1, 6, 5), (1, 4, 5, 3)), ((1, 6, 5), (3, 5, 1))], ids=str)
def test_products_broadcast(rng: np.random.Generator, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    sizes = math.prod(a), math.prod(b)
    model = network("p = Slice (x, zero, at)  q = Slice (x, at, end)  a = Reshape (p, left)  b = Reshape (q, right)  "
                    "y = MatMul (a, b)", f"float[{sum(sizes)}] x", of_rank(max(len(a), len(b))),
                    zero=np.array([0], I64), at=np.array([sizes[0]], I64), end=np.array([sum(sizes)], I64),
                    left=np.array(a, I64), right=np.array(b, I64))
    x = normal(rng, sum(sizes))
    found, = compiled_alike(model, x)
    np.testing.assert_allclose(found, np.matmul(x[:sizes[0]].reshape(a), x[sizes[0]:].reshape(b)), atol=1e-5)


def attention(rng: np.random.Generator, width: int = 24, heads: int = 3) -> ir.Model:
    """A block of an encoder: attention with a mask of zeros, LayerNorm, GELU."""
    def weight(*shape: int) -> Any:
        return normal(rng, *shape) / np.float32(math.sqrt(shape[0]))

    return network(
        """q0 = MatMul (x, wq)  q1 = Reshape (q0, split)  q = Transpose <perm = [0, 2, 1, 3]> (q1)
           k0 = MatMul (x, wk)  k1 = Reshape (k0, split)  k = Transpose <perm = [0, 2, 3, 1]> (k1)
           v0 = MatMul (x, wv)  v1 = Reshape (v0, split)  v = Transpose <perm = [0, 2, 1, 3]> (v1)
           s0 = MatMul (q, k)  s1 = Mul (s0, factor)  s = Softmax <axis = -1> (s1)
           o0 = MatMul (s, v)  o1 = Transpose <perm = [0, 2, 1, 3]> (o0)  o = Reshape (o1, whole)
           p = MatMul (o, wo)  r = Add (p, x)  n = LayerNormalization (r, gamma, beta)
           g0 = MatMul (n, w1)  g = Gelu (g0)  h = MatMul (g, w2)  y = Add (h, n)""",
        f"float[N,L,{width}] x", f"float[N,L,{width}] y", split=np.array([0, 0, heads, width // heads], I64),
        whole=np.array([0, 0, width], I64), factor=np.float32(0.3), gamma=normal(rng, width), beta=normal(rng, width),
        **{name: weight(width, width) for name in ("wq", "wk", "wv", "wo")}, w1=weight(width, 40),
        w2=weight(40, width))


def test_attention(rng: np.random.Generator) -> None:
    model = attention(rng)
    x = normal(rng, 2, 11, 24)
    int8 = graph.quantize(model, [normal(rng, 2, 11, 24)], methods=())
    compiled_alike(int8, x)
    assert [row.kernel for row in graph.compile(int8).summary()].count("transpose") == 0  # products do that
    session = graph.compile(int8)
    whole, = session.run(None, {"x": x})
    for number in range(2):  # a batch of one, and a plan of its own
        assert session.run(None, {"x": x[number:number + 1]})[0].tobytes() == whole[number:number + 1].tobytes()
    assert session.run(None, {"x": normal(rng, 1, 5, 24)})[0].shape == (1, 5, 24)


def test_against_onnxruntime(rng: np.random.Generator) -> None:
    ort = pytest.importorskip("onnxruntime")
    model, x = attention(rng), normal(rng, 2, 11, 24)
    peer = ort.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    wanted, = peer.run(None, {"x": x})
    found, = graph.compile(model).run(None, {"x": x})
    assert np.abs(found - wanted).max() <= LARGEST_DIFFERENCE * np.abs(wanted).max()


EXTREMES = [-2 ** 63, -2 ** 62, -1, 0, 1, 2, 5, 9, 2 ** 16, 2 ** 31 - 1, 2 ** 31, 2 ** 62, 2 ** 63 - 1]


@pytest.mark.parametrize("kind, layout, inputs", [(13, [1, 1, 1, 1, 4, 6, 0, 0, 0, 0, 1, 4, 0, 0, 0, 0, 6, 1], 1),
                                                  (14, [1, 2, 2, 3, 2, 0, 4, 2, 0, 6, 3, 1, 0, 6, 3, 0, 0, 0], 2)])
def test_layouts_that_do_not_fit(kind: int, layout: list[int], inputs: int) -> None:
    """What is not refused stays within its arrays: the sanitizers and the guards of the allocator would tell."""
    sizes, refused = [24, 24, 24], 0
    images = np.array([[1, 0, number + 1, 0, 1, 1, 1, size, 0, 0, 0, 0, 4 * size, 0, 0]
                       for number, size in enumerate(sizes)], np.int64)
    none, number = np.zeros((0, 4), I64), np.zeros(0, np.float32)
    for at in range(len(layout)):
        for value in EXTREMES:
            changed = layout[:at] + [value] + layout[at + 1:]
            step = [kind, 0, 1 if inputs == 2 else -1, 1, 2, -1, -1, *[1, 1, 0, 1] * 2, -1, 0, -1, -1, 0, 0, -1]
            arrays = tuple(np.zeros(size, np.float32) for size in sizes)
            try:
                plan = _C.program_plan(images, np.ones((3, 4), np.float32), np.array([step + changed], I64),
                                       np.zeros((1, 4), np.float32), np.array([0, *[96] * 3], I64), none, number, ())
            except ValueError:
                refused += 1
            else:
                _C.program_run(plan, arrays, None)
    assert refused > len(layout) * len(EXTREMES) // 4


def test_arrays_of_many_elements() -> None:
    """More than there are pixels of an image, or channels of a pixel."""
    x = np.arange(2 ** 24 + 2, dtype=np.float32).reshape(2, -1)
    model = network("a = Transpose (x)  b = Reshape (a, shape)  y = Transpose (b)", "float[2,M] x", "float[M,2] y",
                    shape=np.array([2, -1]))
    found = graph.compile(model)._program.run({"x": x}, ["y"])
    assert found is not None
    np.testing.assert_array_equal(found[0], x.T.reshape(2, -1).T)


def test_arrays_of_many_short_rows() -> None:
    x = (np.arange(2 ** 24 + 1)[:, None] % 1001 + [0, 1]).astype(np.float32)
    model = network("""a = Neg (x)  b = Softmax (a)  p = Pad (b, pads)  r = ReduceMax <keepdims = 0> (a, last)
                       s = ReduceMax <keepdims = 0> (p, first)""", "float[N,2] x", "float[N] r, float[2] s",
                    pads=np.array([1, 0, 0, 0]), last=np.array([1]), first=np.array([0]))
    found = graph.compile(model)._program.run({"x": x}, ["r", "s"])
    assert found is not None
    np.testing.assert_array_equal(found[0], -x[:, 0])
    np.testing.assert_allclose(found[1], [1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))], rtol=1e-6)
