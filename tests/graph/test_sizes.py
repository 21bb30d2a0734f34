"""Shapes that a network computes from those of its inputs: constants, and no step of Python is left."""
from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.errors import GraphError
from pytorch_quantization_c.graph.passes import prepare
from pytorch_quantization_c.graph.passes.size_arithmetic import Size, added, divided, equal, multiplied, subtracted
from pytorch_quantization_c.graph.passes.sizes import fold_sizes

from .networks import network, normal
from .program.same_bits import assert_same_bits

NAMES = {"N": 6, "T": 35}
NUMBERS = {"one": np.array([1]), "zero": np.array([0]), "i0": np.array(0), "i1": np.array(1), "i2": np.array(2),
           "none": np.array([-1])}


def evaluated(size: Any) -> int:
    """The number that it stands for; quotients of what is positive."""
    text = str(size).replace("/", "//")
    return int(eval(text, {}, dict(NAMES)))


@pytest.mark.parametrize("seed", range(20))
def test_arithmetic(seed: int) -> None:
    """Random expressions, against integers."""
    rng = np.random.default_rng(seed)
    known: list[tuple[Any, int]] = [(Size(1, ("N",)), 6), (Size(1, ("T",)), 35), *((n, n) for n in (1, 2, 3, 7, 12))]
    for _ in range(60):
        (a, m), (b, n) = (known[int(at)] for at in rng.integers(0, len(known), 2))
        made, number = [(added(a, b), m + n), (multiplied(a, b), m * n), (divided(a, b), m // n),
                        (subtracted(a, b), m - n)][int(rng.integers(4))]
        same = equal(a, b)
        assert same is None or same == (m == n)
        if made is None or not 0 < number < 2 ** 31:
            continue
        assert evaluated(made) == number
        known.append((made, number))


def test_sums_in_any_order_are_one_size() -> None:
    n, t = Size(1, ("N",)), Size(1, ("T",))
    assert added(n, t) == added(t, n)
    assert divided(multiplied(multiplied(n, 49), t), multiplied(t, 7)) == Size(7, ("N",))
    assert subtracted(n, n) == 0
    assert divided(n, 0) is None


def left(session: Any) -> list[str]:
    return [row.name for row in session.summary() if row.kernel == "Python"]


def check(model: Any, shapes: list[tuple[int, ...]], rng: np.random.Generator, exclude: tuple[str, ...] = ()) -> None:
    """Quantised: no step of Python, the interpreter's bits, and near onnxruntime's floats, if that is there."""
    int8 = graph.quantize(model, [normal(rng, *shapes[0])], methods=(), exclude=exclude)
    session = graph.compile(int8)
    assert left(session) == []
    for shape in shapes:
        x = normal(rng, *shape)
        found = assert_same_bits(session, int8, {"x": x}, counts=(1, 2))
        for got, wanted in zip(found, graph.interpret(model, {"x": x}), strict=True):
            assert got.shape == wanted.shape
            assert np.abs(got - wanted).max() < 0.2 * np.abs(wanted).max()


def joined(name: str, *elements: str) -> str:
    """Elements of int64, scalars, as one shape."""
    parts = [f"{name}_{number} = Unsqueeze ({each}, zero)" for number, each in enumerate(elements)]
    return "  ".join([*parts, f"{name} = Concat <axis = 0> ({', '.join(f'{name}_{n}' for n in range(len(elements)))})"])


def test_attention_of_any_length(rng: np.random.Generator) -> None:
    """As torch's exporter by tracing writes x.view(n, t, h, d // h)."""
    model = network(
        f"""s = Shape (x)  n = Gather (s, i0)  t = Gather (s, i1)  d = Gather (s, i2)  part = Div (d, heads)
        {joined("split", "n", "t", "heads", "part")}  {joined("whole", "n", "t", "d")}
        q0 = MatMul (x, wq)  q1 = Reshape (q0, split)  q = Transpose <perm = [0, 2, 1, 3]> (q1)
        k0 = MatMul (x, wk)  k1 = Reshape (k0, split)  k = Transpose <perm = [0, 2, 3, 1]> (k1)
        a0 = MatMul (q, k)  a = Softmax <axis = -1> (a0)  v0 = MatMul (a, q)
        v = Transpose <perm = [0, 2, 1, 3]> (v0)  o = Reshape (v, whole)  y = MatMul (o, wo)""",
        "float[N,T,24] x", "float[N,T,8] y", heads=np.array(4), wq=normal(rng, 24, 24) / 5, wk=normal(rng, 24, 24) / 5,
        wo=normal(rng, 24, 8), **NUMBERS)
    check(model, [(2, 7, 24), (1, 5, 24), (3, 1, 24)], rng)


def test_keys_turned_as_matrices(rng: np.random.Generator) -> None:
    """As torch.export writes them: three axes for the Transpose, by sizes that Slice and Concat find."""
    model = network(
        """x0 = MatMul (x, w)  sx = Shape (x)  nt = Slice (sx, zero, two)  split = Concat <axis = 0> (nt, heads)
        h = Reshape <allowzero = 1> (x0, split)  k = Transpose <perm = [0, 2, 1, 3]> (h)
        s = Shape (k)  last = Slice (s, m1, big)  before = Slice (s, m2, m1)  outer = Slice (s, zero, m2)
        flat = Concat <axis = 0> (none, before, last)  back = Concat <axis = 0> (outer, last, before)
        k3 = Reshape (k, flat)  kt = Transpose <perm = [0, 2, 1]> (k3)  k4 = Reshape (kt, back)
        a = MatMul (k, k4)  y = Softmax <axis = -1> (a)""",
        "float[N,T,24] x", "float[N,3,T,T] y", w=normal(rng, 24, 24) / 5, heads=np.array([3, 8]), two=np.array([2]),
        m1=np.array([-1]), m2=np.array([-2]), big=np.array([2 ** 63 - 1]), **NUMBERS)
    check(model, [(2, 7, 24), (1, 5, 24)], rng)


def test_windows_of_any_batch(rng: np.random.Generator) -> None:
    """Swin's: the batch is found again as the number of windows over those of an image."""
    model = network(
        f"""s = Shape (x)  n = Gather (s, i0)
        {joined("cut", "n", "two", "four", "two", "four", "c")}  p0 = Reshape (x, cut)
        p = Transpose <perm = [0, 1, 3, 2, 4, 5]> (p0)  w0 = Reshape (p, windows)  w1 = MatMul (w0, w)
        sw = Shape (w1)  count = Gather (sw, i0)  images = Div (count, four)
        {joined("paste", "images", "two", "two", "four", "four", "c")}  b0 = Reshape (w1, paste)
        b = Transpose <perm = [0, 1, 3, 2, 4, 5]> (b0)  {joined("whole", "images", "eight", "eight", "minus")}
        y = Reshape (b, whole)""",
        "float[N,8,8,12] x", "float[N,8,8,12] y", w=normal(rng, 12, 12), windows=np.array([-1, 16, 12]),
        two=np.array(2), four=np.array(4), eight=np.array(8), c=np.array(12), minus=np.array(-1), **NUMBERS)
    check(model, [(2, 8, 8, 12), (1, 8, 8, 12)], rng)


def test_resizes_to_computed_sizes(rng: np.random.Generator) -> None:
    """Of a segmentation network: to the size of the input, and to one that it has."""
    model = network(
        """a = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (x, w)  b = Conv (a, v)
        sx = Shape (x)  hw = Slice (sx, two, four)  sb = Shape (b)  nc = Slice (sb, zero, two)
        to = Concat <axis = 0> (nc, hw)  r = Resize <mode = "linear"> (b, , , to)
        sa = Shape (a)  ha = Slice (sa, two, four)  same = Concat <axis = 0> (nc, ha)
        m = Resize <mode = "linear"> (b, , , same)  sm = Conv (m, u)  y = Conv (r, u)""",
        "float[N,3,12,20] x", "float[N,2,12,20] y, float[N,2,6,10] sm", w=normal(rng, 8, 3, 3, 3),
        v=normal(rng, 5, 8, 1, 1), u=normal(rng, 2, 5, 1, 1), two=np.array([2]), four=np.array([4]), **NUMBERS)
    check(model, [(2, 3, 12, 20), (1, 3, 12, 20)], rng)


def test_groups_of_channels(rng: np.random.Generator) -> None:
    """GroupNorm before opset 18: Reshape, InstanceNormalization, and a Reshape to the shape it was."""
    model = network(
        """c = Conv <pads = [1, 1, 1, 1]> (x, w)  g = Reshape (c, three)  i = InstanceNormalization (g, scale, bias)
        s = Shape (c)  n = Reshape (i, s)  y = Conv (n, v)""",
        "float[N,3,6,6] x", "float[N,4,6,6] y", w=normal(rng, 8, 3, 3, 3), v=normal(rng, 4, 8, 1, 1),
        three=np.array([0, 2, -1]), scale=np.ones(2), bias=np.zeros(2))
    check(model, [(2, 3, 6, 6), (1, 3, 6, 6)], rng)


@pytest.mark.parametrize("body", [
    "r = Reshape (x, shape)  y = MatMul (r, w)",                                     # which the caller gives
    "s = Shape (x)  a = Add (s, s)  h = Div (a, shape)  r = Reshape (x, h)  y = MatMul (r, w)"])
def test_what_the_caller_says_stays(rng: np.random.Generator, body: str) -> None:
    model = network(body, "float[N,T,8] x, int64[3] shape", "float[A,B,3] y", w=normal(rng, 8, 3))
    shape = np.array([2, 2, 2]) if "Div" in body else np.array([1, 10, 8])
    feeds = {"x": normal(rng, 2, 5, 8), "shape": shape}
    int8 = graph.quantize(model, [feeds], methods=())
    assert graph.compile(int8).run(None, feeds)[0].tobytes() == graph.interpret(int8, feeds)[0].tobytes()
    assert any(row.kernel == "Python" for row in graph.compile(int8).summary())


def test_two_sizes_that_a_reshape_cannot_find(rng: np.random.Generator) -> None:
    """(N, T, 8) to (T, N, 8): neither 0 nor -1 says so."""
    model = network(
        f"s = Shape (x)  n = Gather (s, i0)  t = Gather (s, i1)  {joined('turned', 't', 'n', 'eight')}  "
        "r = Reshape (x, turned)  y = MatMul (r, w)", "float[N,T,8] x", "float[T,N,3] y", w=normal(rng, 8, 3),
        eight=np.array(8), **NUMBERS)
    x = normal(rng, 2, 5, 8)
    int8 = graph.quantize(model, [x], methods=())
    for shape in ((2, 5, 8), (3, 4, 8)):
        x = normal(rng, *shape)
        found, = assert_same_bits(graph.compile(int8), int8, {"x": x}, counts=(1,))
        assert found.shape == (shape[1], shape[0], 3) and math.isfinite(found.sum())


@pytest.mark.parametrize("sizes", ["N,12,10", "2,12,10"])
def test_images_of_rows(rng: np.random.Generator, sizes: str) -> None:
    """Rows of pixels, as of attention, that a convolution reads: none is transposed."""
    model = network(
        """l = LayerNormalization (x, g)  t = Transpose <perm = [0, 2, 1]> (l)  i = Reshape (t, image)
        c = Conv <pads = [1, 1, 1, 1], group = 10> (i, w)  y = Conv (c, v)""", f"float[{sizes}] x", "float y",
        g=np.ones(10), image=np.array([-1, 10, 3, 4]), w=normal(rng, 10, 1, 3, 3), v=normal(rng, 6, 10, 1, 1))
    check(model, [(2, 12, 10)], rng)
    int8 = graph.quantize(model, [normal(rng, 2, 12, 10)], methods=())
    assert "transpose" not in [row.kernel for row in graph.compile(int8).summary()]


@pytest.mark.parametrize("body", [
    "t = Transpose <perm = [0, 2, 1]> (x)  i = Reshape (t, image)  y = Conv (i, w)  z = Relu (t)",    # read twice
    "t = Transpose <perm = [2, 0, 1]> (x)  i = Reshape (t, image)  y = Conv (i, w)  z = Relu (i)",    # another order
    "t = Transpose <perm = [0, 2, 1]> (x)  i = Reshape (t, other)  y = Conv (i, v)  z = Relu (i)"])   # other channels
def test_rows_that_are_no_images(rng: np.random.Generator, body: str) -> None:
    model = network(body, "float[12,12,12] x", "float y, float z", image=np.array([12, 12, 3, 4]),
                    other=np.array([12, 6, 4, 6]), w=normal(rng, 5, 12, 1, 1), v=normal(rng, 5, 6, 1, 1))
    x = normal(rng, 12, 12, 12)
    int8 = graph.quantize(model, [x], methods=())
    assert_same_bits(graph.compile(int8), int8, {"x": x}, counts=(1, 2))
    for got, wanted in zip(graph.interpret(int8, {"x": x}), graph.interpret(model, {"x": x}), strict=True):
        assert got.shape == wanted.shape and np.abs(got - wanted).max() < 0.2 * np.abs(wanted).max()


PICK = "z = Where (e, tall, wide)  r = Reshape (x, z)  y = Relu (r)"


def same_as_before(body: str, inputs: str, outputs: str, feeds: list[dict[str, Any]], **constants: Any) -> Any:
    """What `quantize` makes of a model before it places quantisers computes what the model did; that one."""
    known = {**NUMBERS, **{name: np.array([number]) for name, number in (("two", 2), ("three", 3), ("four", 4))}}
    model = network(body, inputs, outputs, **{name: each for name, each in known.items() if name in body}, **constants)
    made = graph.load(model)
    prepare(made)
    for each in feeds:
        for got, wanted in zip(graph.interpret(made, each), graph.interpret(model, each), strict=True):
            assert got.shape == wanted.shape
            np.testing.assert_allclose(got, wanted, rtol=1e-6)
    return made


@pytest.mark.parametrize("count, size", [
    ("m = Sub (n, i1)  e = Equal (m, i0)", 1),                                  # a difference may be zero,
    ("d = Sub (n, i2)  m = Mul (d, i2)  e = Equal (m, minus)", 1),              # or negative,
    ("m = Div (n, i2)  e = Equal (m, i0)", 1),                                  # a quotient zero,
    ("d = Sub (n, n)  t = Sub (d, odd)  m = Div (t, i2)  e = Equal (m, minus)", 1),
    ("e = Equal (n, i0)", 0)])                                                  # and an axis empty
def test_sizes_that_are_not_positive(rng: np.random.Generator, count: str, size: int) -> None:
    feeds = [{"x": normal(rng, number, 4)} for number in (size, 2, 6)]
    same_as_before(f"s = Shape (x)  n = Gather (s, i0)  {count}  {PICK}", "float[N,4] x", "float[A,B] y", feeds,
                   **({"minus": np.array(-2)} if "minus" in count else {}),
                   **({"odd": np.array(5)} if "odd" in count else {}), tall=np.array([-1, 1]), wide=np.array([-1, 2]))


@pytest.mark.parametrize("body", [
    "n = Gather (s, zero)  b = Cast <to = 9> (n)  c = Cast <to = 7> (b)  z = Concat <axis = 0> (c, none)",
    "t = Reshape (s, pairs)  z = ReduceProd <keepdims = 0> (t, one)",
    "z = ReduceProd <noop_with_empty_axes = 1> (s)",
    "k = Unsqueeze (s, zero)  l = Slice (k, none, m3, one, none)  p = Squeeze (l, zero)  "
    "z = Concat <axis = 0> (none, p)"])
def test_what_operators_on_sizes_give(rng: np.random.Generator, body: str) -> None:
    given = {"pairs": np.array([2, 2]), "m3": np.array([-3])}
    axes = "A,B,C,D" if "noop" in body else "A,B,C" if "m3" in body else "A,B"
    same_as_before(f"s = Shape (x)  {body}  y = Reshape (x, z)", "float[N,3,4,5] x", f"float[{axes}] y",
                   [{"x": normal(rng, number, 3, 4, 5)} for number in (2, 3)],
                   **{name: each for name, each in given.items() if name in body})


def test_outputs_with_the_names_of_the_input_s_axes(rng: np.random.Generator) -> None:
    """As users give them to exporters; the lower level of a pyramid has to be resized nevertheless."""
    made = same_as_before(
        """a = Conv <strides = [2, 2]> (x, w)  b = Conv <strides = [2, 2]> (a, w)  s = Shape (a)
        r = Resize <mode = "nearest"> (b, , , s)  y = Add (a, r)""", "float[N,3,H,W] x",
        "float[N,3,H,W] a, float[N,3,H,W] b, float[N,3,H,W] y", [{"x": normal(rng, 1, 3, 16, 16)}],
        w=normal(rng, 3, 3, 1, 1))
    assert [str(value.shape) for value in made.graph.outputs] == ["[N,3,H,W]"] * 3


def test_names_that_a_file_has_already(rng: np.random.Generator) -> None:
    """An axis without a name gets one that no other has."""
    model = network("""c = Compress <axis = 0> (x, k)  b = Relu (c)  s = Shape (x)
                       y = Resize <mode = "nearest"> (b, , , s)""", "float[?,3] x, bool[K] k", "float[A,3] y")
    for value in (node.outputs[0] for node in model.graph):
        if value.name in ("b", "c"):
            value.shape = ir.Shape(["?1", 3])
    made, x = graph.load(model), normal(rng, 4, 3)
    fold_sizes(made)
    feeds = {"x": x, "k": np.array([True, False, True, False])}
    assert graph.interpret(made, feeds)[0].shape == graph.interpret(model, feeds)[0].shape == (4, 3)


def test_resizes_that_keep_the_aspect(rng: np.random.Generator) -> None:
    """The axes that stay are among those that have a say."""
    same_as_before("""s = Shape (x)  nc = Slice (s, zero, two)  to = Concat <axis = 0> (nc, hw)
                      y = Resize <mode = "nearest", keep_aspect_ratio_policy = "not_larger"> (x, , , to)""",
                   "float[N,3,H,W] x", "float[A,B,C,D] y", [{"x": normal(rng, 1, 3, 4, 8)}], hw=np.array([16, 16]))


@pytest.mark.parametrize("body", ["n = Gather (s, i0)  y = Slice (x, i0, n, i0)",
                                  "n = Gather (s, zero)  y = Slice (x, zero, n, four)"])
def test_slices_that_no_array_has(rng: np.random.Generator, body: str) -> None:
    model = network(f"s = Shape (x)  {body}", "float[N] x", "float[A] y", four=np.array([4]),
                    **{name: each for name, each in NUMBERS.items() if name in ("i0", "zero")})
    prepare(model)
    with pytest.raises(GraphError, match="Slice"):
        graph.interpret(model, {"x": normal(rng, 4)})


def test_long_ranges_are_not_made() -> None:
    model = network("s = Shape (x)  c = Gather (s, i1)  l = Mul (c, many)  t = Range (i0, l, i1)  y = ReduceMax (t)",
                    "float[N,4] x", "int64[1] y", many=np.array(10 ** 6), i0=np.array(0), i1=np.array(1))
    tracemalloc.start()
    fold_sizes(model)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2 ** 22


def test_an_empty_batch_of_any_length(rng: np.random.Generator) -> None:
    """Its elements do not tell what -1 stands for; the axes that are not copied do."""
    body = f"""s = Shape (x)  n = Gather (s, i0)  t = Gather (s, i1)  tt = Mul (t, i2)
               {joined('z', 'n', 'tt', 'three')}  y = Reshape (x, z)"""
    made = network(body, "float[N,T,6] x", "float[A,B,3] y", three=np.array(3), **NUMBERS)
    feeds = {"x": normal(rng, 0, 5, 6)}
    folded = graph.load(made)
    assert fold_sizes(folded)
    for model in (made, folded):
        assert graph.interpret(model, feeds)[0].shape == graph.compile(model).run(None, feeds)[0].shape == (0, 10, 3)


def test_floats_without_a_step_of_python(rng: np.random.Generator) -> None:
    """Sizes are folded where nothing was quantised, too."""
    model = network(
        f"""s = Shape (x)  n = Gather (s, i0)  t = Gather (s, i1)  {joined('z', 'n', 't', 'two', 'four')}
            a = Reshape (x, z)  b = Transpose <perm = [0, 2, 1, 3]> (a)  e = Slice (b, zero, wide, one)
            y = Softmax (e)""", "float[N,T,8] x", "float[A,B,C,D] y", two=np.array(2), four=np.array(4),
        wide=np.array([2]), **NUMBERS)
    session = graph.compile(model)
    assert "Python" not in {row.kernel for row in session.summary()}
    for shape in ((1, 3, 8), (2, 5, 8)):
        assert_same_bits(session, session.model, {"x": (x := normal(rng, *shape))})
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], graph.interpret(model, {"x": x})[0])


def test_names_of_outputs_that_are_wrong(rng: np.random.Generator) -> None:
    """A Reshape, an Expand and a Mul by ones that change the shape, though the file calls the axes the same."""
    model = network("""y = Reshape (x, turned)  r = Relu (x)  z = Expand (r, wide)  w = Mul (r, ones)
                       m = MatMul (x, k)""", "float[N,T] x", "float[N,T] y, float[N,T] z, float[N,T] w, float[N,2] m",
                    turned=np.array([-1, 2]), wide=np.array([3, 1]), ones=np.ones((3, 1), np.float32),
                    k=normal(rng, 4, 2))
    feeds = {"x": normal(rng, 1, 4)}
    wanted = graph.interpret(model, feeds)
    found = graph.interpret(graph.quantize(model, [feeds], methods=()), feeds)
    assert [each.shape for each in found] == [each.shape for each in wanted] == [(2, 2), (3, 4), (3, 4), (1, 2)]
