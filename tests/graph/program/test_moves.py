"""What only moves pixels: nearest Resize, DepthToSpace, Concat of floats, transposed convolutions by blocks."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx.reference
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph

from ..networks import network, normal
from .same_bits import assert_same_bits

FACTORS = {"twice": (1, 1, 2, 2), "one axis": (1, 1, 1, 3), "both": (1, 1, 4, 3)}
RULES = ['coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"', 'nearest_mode = "round_prefer_floor"',
         'coordinate_transformation_mode = "half_pixel", nearest_mode = "round_prefer_ceil"']
OTHER = ['coordinate_transformation_mode = "align_corners"', 'coordinate_transformation_mode = "asymmetric"']


def quantised_alike(model: ir.Model, rng: np.random.Generator, python: int = 0, **options: Any) -> None:
    int8 = graph.quantize(model, [normal(rng, 2, 3, 5, 6)], methods=(), **options)
    session = graph.compile(int8)
    assert [row.kernel for row in session.summary()].count("Python") == python
    for batch, count in ((1, 1), (3, 4)):
        assert_same_bits(session, int8, {"x": normal(rng, batch, 3, 7, 4) * 2}, (count,))


@pytest.mark.parametrize("rule", [*RULES, *OTHER])
@pytest.mark.parametrize("factors", FACTORS.values(), ids=FACTORS)
def test_resize(rng: np.random.Generator, factors: Any, rule: str) -> None:
    model = network(f"""c = Conv (x, w1)  s = Sigmoid (c)  r = Resize <mode = "nearest", {rule}> (s, , scales)
                        y = Conv <pads = [1, 1, 1, 1]> (r, w2)  z = Neg (r)""",
                    "float[N,3,H,W] x", "float[N,7,P,Q] y, float[N,6,P,Q] z", w1=normal(rng, 6, 3, 1, 1),
                    w2=normal(rng, 7, 6, 3, 3), scales=np.array(factors, np.float32))
    quantised_alike(model, rng)


def test_depth_to_space_and_sums_of_floats(rng: np.random.Generator) -> None:
    for mode in ("DCR", "CRD"):
        model = network(f"""c = Conv (x, w1)  d = DepthToSpace <blocksize = 2, mode = "{mode}"> (c)
                            e = Conv (d, w2)  k = Concat <axis = 1> (d, e)  y = Mul (k, k)  z = Conv (k, w3)""",
                        "float[N,3,H,W] x", "float[N,8,P,Q] y, float[N,2,P,Q] z", w1=normal(rng, 12, 3, 1, 1),
                        w2=normal(rng, 5, 3, 1, 1), w3=normal(rng, 2, 8, 1, 1))
        quantised_alike(model, rng, python=0 if mode == "DCR" else 1)


@pytest.mark.parametrize("block", [2, 3])
@pytest.mark.parametrize("options", [{}, {"zero_point": False}, {"residual": "u8"}], ids=str)
def test_transposed_convolutions_by_blocks(rng: np.random.Generator, block: int, options: dict[str, Any]) -> None:
    model = network(f"""c = Conv (x, w1, b1)  r = Relu (c)
                        t = ConvTranspose <strides = [{block}, {block}]> (r, w2, b2)  u = Relu (t)
                        v = ConvTranspose <strides = [{block}, {block}]> (u, w3)  y = Sigmoid (v)  z = Add (u, u)""",
                    "float[N,3,H,W] x", "float[N,1,P,Q] y, float[N,5,R,S] z", w1=normal(rng, 6, 3, 1, 1),
                    b1=normal(rng, 6), w2=normal(rng, 6, 5, block, block), b2=normal(rng, 5),
                    w3=normal(rng, 5, 1, block, block))
    quantised_alike(model, rng, **options)


TRANSPOSED = ["strides = [2, 2]", "strides = [2, 2], pads = [1, 1, 1, 1], output_padding = [1, 1]",
              "strides = [3, 3], output_padding = [1, 2]", "strides = [2, 3], pads = [0, 1, 2, 0], dilations = [2, 1]",
              "pads = [1, 0, 1, 2]", "strides = [4, 1], dilations = [1, 3]", "strides = [2, 2], pads = [2, 2, 2, 2]",
              "strides = [5, 4], output_padding = [4, 0]", "dilations = [2, 2]"]


@pytest.mark.parametrize("attributes", TRANSPOSED)
@pytest.mark.parametrize("kernel", [(3, 3), (4, 4), (2, 5), (1, 6)])
def test_transposed_convolutions(rng: np.random.Generator, kernel: tuple[int, int], attributes: str) -> None:
    """With activations that are taken along, read as codes and as floats; against onnx's reference."""
    model = network(f"""c = Conv (x, w1, b1)  r = Relu (c)  t = ConvTranspose <{attributes}> (r, w2, b2)
                        u = HardSwish (t)  v = Conv (u, w3)  y = Sigmoid (v)  z = Add (u, u)""",
                    "float[N,3,H,W] x", "float[N,2,P,Q] y, float[N,5,P,Q] z", w1=normal(rng, 6, 3, 1, 1),
                    b1=normal(rng, 6), w2=normal(rng, 6, 5, *kernel), b2=normal(rng, 5), w3=normal(rng, 2, 5, 1, 1))
    quantised_alike(model, rng)
    x = normal(rng, 1, 3, 5, 6)
    int8 = graph.quantize(model, [x], methods=())
    wanted = onnx.reference.ReferenceEvaluator(ir.to_proto(model)).run(["z"], {"x": x})[0]
    found, = graph.compile(int8).run(["z"], {"x": x})
    assert found.shape == wanted.shape and np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()


def test_transposed_convolutions_along_one_axis(rng: np.random.Generator, tmp_path: Path) -> None:
    for attributes in ("strides = [2]", "strides = [4], pads = [2, 2]", "strides = [3], output_padding = [2]"):
        model = network(f"c = Conv (x, w1)  t = ConvTranspose <{attributes}> (c, w2, b)  y = Tanh (t)",
                        "float[N,4,L] x", "float[N,5,M] y", w1=normal(rng, 6, 4, 1), w2=normal(rng, 6, 5, 8),
                        b=normal(rng, 5))
        int8 = graph.quantize(model, [normal(rng, 2, 4, 9)], methods=())
        session = graph.compile(int8)
        session.save(tmp_path / "t.pqc")
        saved = graph.load_session(tmp_path / "t.pqc")
        assert "Python" not in [row.kernel for row in session.summary()]
        for length in (1, 9, 40):
            feeds = {"x": normal(rng, 2, 4, length)}
            wanted, = assert_same_bits(session, int8, feeds, (1, 2))
            assert saved.run(None, feeds)[0].tobytes() == wanted.tobytes()


def test_other_transposed_convolutions_are_left_to_python(rng: np.random.Generator) -> None:
    """Of a size that the input's decides, and in so many groups that a weight without them would be large."""
    for attributes, channels in (("output_shape = [9, 9], strides = [2, 2]", 3), ("group = 130", 260)):
        model = network(f"y = ConvTranspose <{attributes}> (x, w)", f"float[N,{channels},H,W] x", "float[N,C,P,Q] y",
                        w=normal(rng, channels, 2, 3, 3))
        int8 = graph.quantize(model, [normal(rng, 1, channels, 5, 6)], methods=())
        session, x = graph.compile(int8), normal(rng, 1, channels, 5, 5)
        assert "Python" in [row.kernel for row in session.summary()]
        assert session.run(None, {"x": x})[0].tobytes() == graph.interpret(int8, {"x": x})[0].tobytes()


FOCUS = """t = Slice (x, zero, most, rows, two)  b = Slice (x, one, most, rows, two)
           p = Slice (t, zero, most, columns, two)  q = Slice (b, zero, most, columns, two)
           r = Slice (t, one, most, columns, two)  s = Slice (b, one, most, columns, two)
           k = Concat <axis = 1> ({parts})  c = Conv <pads = [{pads}], strides = [{stride}, {stride}]> (k, w, bias)
           y = Relu (c)"""


def focus(rng: np.random.Generator, parts: str, pads: str = "1, 1, 1, 1", stride: int = 1, more: str = "",
          most: int = 2 ** 63 - 1) -> ir.Model:
    weights = {"w": normal(rng, 5, 12, 3, 3), "bias": normal(rng, 5)}
    if more:
        weights["w1"] = normal(rng, 2, 12, 1, 1)
    places = {name: np.array([value]) for name, value in
              (("zero", 0), ("one", 1), ("two", 2), ("most", most), ("rows", 2), ("columns", 3))}
    return network(FOCUS.format(parts=parts, pads=pads, stride=stride) + more, "float[N,3,H,W] x",
                   "float[N,5,P,Q] y" + (", float[N,2,R,S] z" if more else ""), **places, **weights)


@pytest.mark.parametrize("parts", ["p, q, r, s", "s, p, r, q"])
@pytest.mark.parametrize(("pads", "stride"), [("1, 1, 1, 1", 1), ("0, 1, 2, 0", 2)])
def test_blocks_of_pixels_for_one_convolution(rng: np.random.Generator, parts: str, pads: str, stride: int) -> None:
    """YOLO's Focus is a convolution with a kernel twice as large; sizes that cannot be halved are refused as before."""
    int8 = graph.quantize(focus(rng, parts, pads, stride), [normal(rng, 2, 3, 12, 10)], methods=())
    session = graph.compile(int8)
    assert [row.kernel for row in session.summary()] == ["import", "convolution", "export"]
    for height, width in ((6, 4), (8, 14)):
        assert_same_bits(session, int8, {"x": normal(rng, 2, 3, height, width) * 2}, (1, 3))
    for height, width in ((7, 6), (6, 7)):
        x = normal(rng, 1, 3, height, width)
        with pytest.raises(ValueError, match="concatenat|dimension"):
            graph.interpret(int8, {"x": x})
        with pytest.raises(ValueError, match="concatenat|dimension"):
            session.run(None, {"x": x})


@pytest.mark.parametrize("most", [2 ** 31 - 1, 2 ** 31, 2 ** 62])
def test_blocks_of_pixels_up_to_an_end_beyond_all_sizes(rng: np.random.Generator, most: int) -> None:
    """ONNX recommends INT_MAX."""
    int8 = graph.quantize(focus(rng, "p, q, r, s", most=most), [normal(rng, 2, 3, 12, 10)], methods=())
    session = graph.compile(int8)
    assert [row.kernel for row in session.summary()] == ["import", "convolution", "export"]
    assert_same_bits(session, int8, {"x": normal(rng, 2, 3, 6, 4)}, (2,))


@pytest.mark.parametrize(("parts", "more"), [("p, q, r, r", ""), ("p, q, r, s", " z = Conv (k, w1)")],
                         ids=["a pixel twice", "read twice"])
def test_blocks_of_pixels_for_anything_else(rng: np.random.Generator, parts: str, more: str) -> None:
    int8 = graph.quantize(focus(rng, parts, more=more), [normal(rng, 2, 3, 12, 10)], methods=())
    session = graph.compile(int8)
    assert "concat" in [row.kernel for row in session.summary()]
    assert_same_bits(session, int8, {"x": normal(rng, 2, 3, 6, 4)}, (1, 3))


@pytest.mark.parametrize("split", ["Split <axis = 1> (s, parts)", "Split <axis = -3, num_outputs = 2> (s)"])
def test_slices_and_splits(rng: np.random.Generator, split: str) -> None:
    """Every second pixel of an input and of images, as bytes and floats, joined again; channels apart."""
    model = network(f"""t = Slice (x, zero, most, rows, two)  b = Slice (x, one, most, rows, two)
                       p = Slice (t, zero, most, columns, two)  q = Slice (b, one, most, columns, two)
                       k = Concat <axis = 1> (p, q)  c = Conv <pads = [1, 1, 1, 1]> (k, w1)  s = Sigmoid (c)
                       u, v = {split}  d = Conv (u, w2)  y = Add (d, v)
                       z = Slice (s, starts, ends, axes)""",
                    "float[N,3,H,W] x", "float[N,4,P,Q] y, float[N,2,R,S] z", w1=normal(rng, 9, 6, 3, 3),
                    w2=normal(rng, 4, 5, 1, 1), parts=np.array([5, 4]), zero=np.array([0]), one=np.array([1]),
                    two=np.array([2]), most=np.array([2 ** 63 - 1]), rows=np.array([2]), columns=np.array([-1]),
                    starts=np.array([3, 1]), ends=np.array([5, 9]), axes=np.array([1, 2]))
    for height, width in ((6, 4), (8, 12)):
        int8 = graph.quantize(model, [normal(rng, 2, 3, height, width)], methods=())
        session, x = graph.compile(int8), normal(rng, 2, 3, height, width)
        assert "Python" not in [row.kernel for row in session.summary()]
        assert [each.tobytes() for each in session._program.run({"x": x}, session._outputs)] == [
            each.tobytes() for each in graph.interpret(int8, {"x": x})]
