"""Plans whose steps write over what they read, or over each other: refused, or wrong numbers within their buffers."""
from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import _C, graph

from ..networks import network, normal
from .test_cells import FEATURES, cells_of_lengths
from .test_float_mode import NETWORKS, made

TRIES = 150 * int(os.environ.get("PQC_TEST_SCALE", "1"))
BUFFER, OFFSET, WIDTH, CHANNELS = 3, 4, 6, 7        # columns of images
KIND, RESIDUAL, WEIGHTS, LAYOUT = 0, 2, 15, 22      # and of steps
CONV, GATHER, RECURRENT, FLOAT_CONV, LOCATE = 2, 15, 16, 17, 26
EXTREMES = (-2 ** 63, -1, 0, 1, 2, 3, 64, 2 ** 31 - 1, 2 ** 31, 2 ** 62)
FLOATS = """a = Sigmoid (x)  r = Resize <mode = "nearest"> (a, , scales)  d = DepthToSpace <blocksize = 2> (r)
            p = AveragePool <kernel_shape = [2, 2]> (d)  m = GlobalAveragePool (p)  n = Mul (p, m)
            k = Concat <axis = 1> (n, p)  e, f = Split <axis = 1, num_outputs = 2> (k)
            t = Transpose <perm = [0, 2, 3, 1]> (e)  s = Softmax <axis = -1> (t)  u = Neg (f)
            v = Transpose <perm = [0, 1, 3, 2]> (u)  w = MatMul (u, v)
            o = GroupNormalization <num_groups = 1> (u, two, two)  j = InstanceNormalization (o, two, two)
            g = Resize <mode = "linear"> (j, , factors)  h = Pad (g, pads, seven)"""
REDUCTIONS = """n = Neg (x)  a = ReduceSum (n, last)  b = ReduceMean (n, middle)  c = ReduceMax (n, apart)
                d = ReduceMin (n, all)  e = Add (b, a)  y = Mul (e, c)  z = Neg (d)"""


def floats(rng: np.random.Generator) -> tuple[ir.Model, Any]:
    """A network of what programs compute of floats, and its input."""
    model = network(FLOATS, "float[2,8,6,6] x", "float[N,P,Q,R] s, float[N,S,T,U] w, float[N,A,B,C] h",
                    scales=np.array([1, 1, 2, 2], np.float32), factors=np.array([1, 1, 2, 0.6], np.float32),
                    pads=np.array([0, 0, 1, 2, 0, 0, 3, 0]), seven=np.float32(7), two=normal(rng, 2))
    return model, normal(rng, 2, 8, 6, 6)


def reductions(rng: np.random.Generator) -> tuple[ir.Model, Any]:
    """Of elements and of rows."""
    model = network(REDUCTIONS, "float[3,4,5,150] x", "float[N,P,Q,R] y, float[A,B,C,D] z", last=np.array([3]),
                    middle=np.array([1, 2]), apart=np.array([0, 2]), all=np.arange(4))
    return model, normal(rng, 3, 4, 5, 150)


def gates(rng: np.random.Generator) -> tuple[ir.Model, Any]:
    """Layers whose sums become bytes where they are: of depthwise taps, of half-filled vectors, of GELU and SiLU."""
    model = network("""a = Conv (x, w1)  g = Gelu (a)  d = Conv <group = 24, pads = [1, 1, 1, 1]> (g, w2)
                       b = Conv (d, w3)  s = Sigmoid (b)  m = Mul (b, s)
                       e = Conv <group = 40, pads = [2, 2, 2, 2], strides = [2, 2]> (m, w4)  y = Conv (e, w5)""",
                    "float[N,5,9,7] x", "float[N,P,Q,R] y", w1=normal(rng, 24, 5, 1, 1), w2=normal(rng, 24, 1, 3, 3),
                    w3=normal(rng, 40, 24, 1, 1), w4=normal(rng, 40, 1, 5, 5), w5=normal(rng, 3, 40, 1, 1))
    x = normal(rng, 2, 5, 9, 7)
    return graph.quantize(model, [x], methods=()), x


def moves(rng: np.random.Generator) -> tuple[ir.Model, Any]:
    """Layers between pads of codes and cubics, whose outputs are blocks of pixels, or that read such blocks."""
    model = network("""f = Slice (x, zero, most, axes, two)  g = Slice (x, one, most, axes, two)
                       h = Slice (x, left, most, axes, two)  i = Slice (x, right, most, axes, two)
                       b = Concat <axis = 1> (f, g, h, i)  a = Conv (b, w1)
                       r = Resize <mode = "cubic"> (a, , factors)  p = Pad (r, pads, half)
                       c = Conv <strides = [2, 2]> (p, w2)
                       t = ConvTranspose <strides = [2, 2], pads = [1, 1, 1, 1], output_padding = [1, 1]> (c, w3)
                       q = Pad (t, pads, half)  m = MaxPool <kernel_shape = [3, 3]> (q)  y = Conv (m, w4)""",
                    "float[N,3,8,6] x", "float[N,P,Q,R] y", zero=np.array([0, 0]), one=np.array([1, 1]),
                    left=np.array([0, 1]), right=np.array([1, 0]), two=np.array([2, 2]), axes=np.array([2, 3]),
                    most=np.full(2, 2 ** 31 - 1), factors=np.array([1, 1, 2, 1.5], np.float32), half=np.float32(0.5),
                    pads=np.array([0, 0, 1, 0, 0, 0, 2, 1]), w1=normal(rng, 6, 12, 1, 1), w2=normal(rng, 40, 6, 3, 3),
                    w3=normal(rng, 40, 5, 3, 3), w4=normal(rng, 24, 5, 1, 1))
    x = normal(rng, 2, 3, 8, 6)
    return graph.quantize(model, [x], methods=()), x


def volumes(rng: np.random.Generator, quantized: bool = True) -> tuple[ir.Model, Any]:
    """A network of volumes, and its input."""
    model = network(
        """a = Conv <pads = [1, 1, 0, 1, 0, 1], strides = [1, 1, 2]> (x, w)  b = Relu (a)
           m = MaxPool <kernel_shape = [2, 2, 1], pads = [1, 0, 0, 0, 1, 0]> (b)
           c = Conv <pads = [1, 1, 1, 1, 1, 1], group = 2> (m, v)  s = Add (c, m)
           k = Concat <axis = 1> (s, m)  y = Conv <strides = [2, 1, 1]> (k, u)""", "float[2,3,4,5,8] x",
        "float[2,5,2,5,4] y", w=normal(rng, 32, 3, 3, 2, 3), v=normal(rng, 32, 16, 3, 3, 3),
        u=normal(rng, 5, 64, 1, 1, 1))
    x = normal(rng, 2, 3, 4, 5, 8)
    return graph.quantize(model, [x], methods=()) if quantized else model, x


def lengths(rng: np.random.Generator) -> tuple[ir.Model, Any]:
    """Cells over sequences of several lengths, which are the input `n`."""
    model, x = cells_of_lengths(rng, "lstm", "bidirectional", False, 0), normal(rng, 4, 3, FEATURES)
    return graph.quantize(model, [{"x": x, "n": np.full(3, 4, np.int32)}], methods=()), x


def separable(rng: np.random.Generator) -> tuple[ir.Model, Any]:
    """Convolutions of floats whose groups have one channel, or several."""
    model = network("""a = Conv <group = 34, pads = [1, 1, 1, 1]> (x, w1)  b = Relu (a)
                       c = Conv <group = 34, strides = [2, 1], dilations = [1, 2]> (b, w2)
                       d = Conv <group = 2> (c, w3)  y = Sigmoid (d)""", "float[N,34,7,6] x", "float[N,P,Q,R] y",
                    w1=normal(rng, 34, 1, 3, 3), w2=normal(rng, 34, 1, 2, 3), w3=normal(rng, 6, 17, 1, 1))
    return model, normal(rng, 2, 34, 7, 6)


def elements(rng: np.random.Generator) -> tuple[ir.Model, Any]:
    """Rows, runs of elements, and elements of rows of their own, that integers name."""
    model = network("""a = Gather <axis = 1> (x, rows)  b = Gather <axis = 2> (a, runs)
                       c = GatherElements <axis = 2> (b, own)  y = Neg (c)""",
                    "float[2,5,9] x", "float[2,4,7] y", rows=np.array([3, 0, -1, 2]),
                    runs=np.array([8, 7, 6, 5, 0, 1, 2, 3]), own=rng.integers(-8, 8, (2, 4, 7)))
    return model, normal(rng, 2, 5, 9)


def places(rng: np.random.Generator) -> tuple[ir.Model, Any]:
    """Rows and elements at places along several axes."""
    model = network("""i = Shape (x)  j = ConstantOfShape (i)  k = Cast <to = 7> (j)  a = GatherND (x, k)  y = Neg (a)
                       l = Slice (k, one, two, axis)  b = GatherND (x, l)  z = Neg (b)""", "float[3,4,2] x",
                    "float[3,4] y, float[3,4,4,2] z", one=np.array([1]), two=np.array([2]), axis=np.array([2]))
    return model, normal(rng, 3, 4, 2)


def blocks(rng: np.random.Generator) -> tuple[ir.Model, Any]:
    """Transposed convolutions along three axes, of integers and of floats, whose frames are cut and rearranged."""
    model = network("""a = ConvTranspose <strides = [2, 1, 2], pads = [1, 0, 0, 0, 0, 1]> (x, w)  b = Relu (a)
                       y = ConvTranspose <strides = [2, 2, 1], pads = [1, 0, 0, 1, 0, 0]> (b, v)""",
                    "float[2,3,2,3,2] x", "float[2,5,P,Q,R] y", w=normal(rng, 3, 8, 3, 1, 2),
                    v=normal(rng, 8, 5, 2, 2, 1))
    x = normal(rng, 2, 3, 2, 3, 2)
    return graph.quantize(model, [x], methods=(), exclude=("convtranspose2",)), x


def bands(rng: np.random.Generator) -> tuple[ir.Model, Any]:
    """Layers over one image that is too large for L2: two with borders, a pool, a residual."""
    model = network("""a = Conv (x, w1)  b = Conv <group = 64, auto_pad = "SAME_UPPER"> (a, w2)  c = Add (b, a)
                       d = Relu (c)  m = MaxPool <kernel_shape = [3, 3], strides = [2, 1], pads = [1, 0, 1, 0]> (d)
                       y = Conv <strides = [3, 1], pads = [1, 1, 1, 1]> (m, w3)""",
                    "float[1,1,120,120] x", "float[N,P,Q,R] y", w1=normal(rng, 64, 1, 1, 1),
                    w2=normal(rng, 64, 1, 3, 3), w3=normal(rng, 1, 64, 3, 3))
    x = normal(rng, 1, 1, 120, 120)
    return graph.quantize(model, [x], residual="u8", methods=()), x


def winograd(rng: np.random.Generator) -> tuple[ir.Model, Any]:
    """3 x 3 convolutions by Winograd's algorithm: behind a residual, and of pixels that are slices of longer ones."""
    model = network("""a = Conv (x, w1)  b = Conv <pads = [1, 1, 1, 1]> (a, w2)  c = Add (b, a)  d = Relu (c)
                       e = Concat <axis = 1> (d, a)  f = Conv (e, w3)  y = Conv <pads = [1, 0, 1, 2]> (d, w2)""",
                    "float[1,1,20,21] x", "float[N,P,Q,R] f, float[N,S,T,U] y", w1=normal(rng, 64, 1, 1, 1),
                    w2=normal(rng, 64, 64, 3, 3), w3=normal(rng, 5, 128, 1, 1))
    x = normal(rng, 1, 1, 20, 21)
    return graph.quantize(model, [x], residual="u8", methods=()), x


OWN = {"floats": floats, "reductions": reductions, "gates": gates, "moves": moves, "volumes": volumes,
       "lengths": lengths, "volumes of floats": lambda rng: volumes(rng, quantized=False), "separable": separable,
       "elements": elements, "places": places, "blocks": blocks, "bands": bands,
       "winograd": winograd}


def feeds_of(model: ir.Model, x: Any) -> dict[str, Any]:
    """The inputs of such a network."""
    feeds = {"x": x, "n": np.array([2, 4, 0], np.int32)}
    return {value.name or "": feeds[value.name or ""] for value in model.graph.inputs}


def plans_of(name: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The tables that a session hands to C."""
    found: list[tuple[Any, ...]] = []
    real = _C.program_plan

    def program_plan(*tables: Any) -> Any:
        found.append(tables)
        return real(*tables)

    monkeypatch.setattr(_C, "program_plan", program_plan)
    if name in OWN:
        model, x = OWN[name](rng)
    elif name == "float convolution":  # its results are codes, which the other one reads
        model = network("f = Conv <pads = [1, 1, 1, 1]> (x, w)  y = Conv (f, v)", "float[N,8,6,6] x",
                        "float[N,5,6,6] y", w=normal(rng, 12, 8, 3, 3), v=normal(rng, 5, 12, 1, 1))
        x = normal(rng, 2, 8, 6, 6)
        model = graph.quantize(model, [x], methods=(), exclude=("conv0",))
    else:
        model, x = made(rng, name)
    graph.compile(model).run(None, feeds_of(model, x))
    monkeypatch.undo()
    assert found
    return found


def mutated(rng: np.random.Generator, tables: tuple[Any, ...]) -> tuple[Any, ...]:
    images, ranges, steps, *rest = (np.array(each) if isinstance(each, np.ndarray) else each for each in tables)
    for _ in range(rng.integers(1, 4)):
        one, other = rng.integers(0, len(images), 2)
        step, action = rng.integers(0, len(steps)), rng.integers(0, 8)
        if action < 2:     # on top of another one, or a little further
            images[one, [BUFFER, OFFSET]] = images[other, [BUFFER, OFFSET]]
            images[one, OFFSET] += 4 * rng.integers(0, 40) * action
        elif action == 2:  # the same shape and place
            images[one] = images[other]
            ranges[one] = ranges[other]
        elif action == 3:  # a step that reads or writes another one
            steps[step, rng.choice([1, 2, 4, 5, 6])] = one
        elif action == 4:
            at = LAYOUT + rng.integers(0, 18)
            steps[step, at] = max(0, steps[step, at] + rng.choice([-1, 1, 7, -steps[step, at]]))
        elif action == 5:  # other weights, or weights where there are none
            steps[step, WEIGHTS] = rng.integers(-1, len(rest[4]))
        elif action == 6:
            at = rng.integers(7, 15)
            steps[step, at] += rng.integers(-1, 2)
        else:              # any number, also beyond all bounds
            table = (images, steps)[rng.integers(0, 2)]
            row, column = rng.integers(0, table.shape)
            table[row, column] = rng.choice([*EXTREMES, *table[:, column], table[row, column] ^ 1])
    return images, ranges, steps, *rest


def run(rng: np.random.Generator, tables: tuple[Any, ...]) -> None:
    plan, sizes = _C.program_plan(*tables), tables[4][1:]
    one = rng.standard_normal(int(sizes.max(initial=0)) // 4 + 1).astype(np.float32)
    apart = tuple(rng.standard_normal(int(size) // 4 + 1).astype(np.float32) for size in sizes)
    whole = tuple(rng.integers(0, 4, each.shape, np.int32).view(np.float32) for each in apart)
    for arrays in (apart, (one,) * len(sizes), whole):
        _C.program_run(plan, arrays, None)


@pytest.mark.parametrize("name", [*NETWORKS, *OWN, "float convolution"])
def test_steps_that_write_over_what_they_read(name: str, rng: np.random.Generator,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    refused = ran = 0
    for tables in plans_of(name, rng, monkeypatch):
        run(rng, tables)
        for _ in range(TRIES):
            try:
                run(rng, mutated(rng, tables))
                ran += 1
            except ValueError:
                refused += 1
    assert ran > TRIES // 10 and refused > 0


def test_packed_weights_are_refused_by_what_has_none(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above all by a convolution of floats that makes codes: its tail is that of convolutions of integers."""
    kinds = set()
    for tables in plans_of("float convolution", rng, monkeypatch):
        assert len(tables[7]) == 1
        for number, kind in enumerate(tables[2][:, KIND]):
            if kind in (CONV, RECURRENT):
                continue
            steps = np.array(tables[2])
            steps[number, WEIGHTS] = 0
            with pytest.raises(ValueError, match=f"packed weights that are not used, in number {number}$"):
                _C.program_plan(*tables[:2], steps, *tables[3:])
            kinds.add(int(kind))
    assert FLOAT_CONV in kinds and len(kinds) > 2


def test_a_layout_that_a_convolution_of_floats_does_not_use(rng: np.random.Generator,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    tables, = plans_of("float convolution", rng, monkeypatch)
    number, = np.flatnonzero(tables[2][:, KIND] == FLOAT_CONV)
    for at in range(1, 18):
        steps = np.array(tables[2])
        steps[number, LAYOUT + at] = 1
        with pytest.raises(ValueError, match=f"a layout that is not used, in number {number}$"):
            _C.program_plan(*tables[:2], steps, *tables[3:])


@pytest.mark.parametrize(("name", "kind", "size", "why"), [
    ("separable", FLOAT_CONV, CHANNELS, "weights that do not fit"),
    ("elements", GATHER, WIDTH, "an index for each row expected")])
def test_constants_of_another_size(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, name: str, kind: int,
                                   size: int, why: str) -> None:
    """Weights of groups of one channel and of several; indices of rows, of elements, and of each row's own elements."""
    tables, = plans_of(name, rng, monkeypatch)
    numbers = np.flatnonzero(tables[2][:, KIND] == kind)
    assert len(numbers) == 3
    for number in numbers:
        images = np.array(tables[0])
        images[tables[2][number, RESIDUAL], size] -= 1
        with pytest.raises(ValueError, match=f"{why}, in number {number}$"):
            _C.program_plan(images, *tables[1:])


def test_other_groups_of_a_convolution_of_floats(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    tables, = plans_of("separable", rng, monkeypatch)
    for number in np.flatnonzero(tables[2][:, KIND] == FLOAT_CONV):
        for groups in (1, 2, 17, 34):
            if groups == tables[2][number, LAYOUT]:
                continue
            steps = np.array(tables[2])
            steps[number, LAYOUT] = groups
            with pytest.raises(ValueError, match=f"(weights that do not fit|in groups expected), in number {number}$"):
                _C.program_plan(*tables[:2], steps, *tables[3:])


def test_places_along_other_axes(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes that are not those of the array, axes that it does not have, and numbers behind those."""
    tables, = plans_of("places", rng, monkeypatch)
    numbers = np.flatnonzero(tables[2][:, KIND] == LOCATE)
    assert len(numbers) == 2
    for number in numbers:
        for at in range(18):
            for value in (*EXTREMES, 5, 6, 7):
                steps = np.array(tables[2])
                if steps[number, LAYOUT + at] == value:
                    continue
                steps[number, LAYOUT + at] = value
                with pytest.raises(ValueError, match=f"(axes|coordinates|layout) .*, in number {number}$"):
                    _C.program_plan(*tables[:2], steps, *tables[3:])
