"""Resize linearly, by cubics and by the nearest of any element, of images and arrays, against onnx's reference."""
from __future__ import annotations

import itertools
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx.reference
import onnx_ir as ir
import pytest

from pytorch_quantization_c import _C, graph
from pytorch_quantization_c.graph.errors import GraphError
from pytorch_quantization_c.graph.interpreter.resize import Sampling
from pytorch_quantization_c.graph.program.operations import array_of
from pytorch_quantization_c.graph.program.sampling import Sampled

from ..networks import network, normal
from .same_bits import assert_same_bits

MODES = ["linear", "cubic", "nearest"]
COORDINATES = ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel", "half_pixel_symmetric"]
FACTORS = {"larger": (1, 1, 2.5, 1.7), "both ways": (1, 1, 0.6, 3), "one axis": (1, 1, 1, 4)}


def without_python(session: Any) -> bool:
    return "Python" not in [row.kernel for row in session.summary()]


def reference(model: ir.Model, feeds: dict[str, Any]) -> Any:
    return onnx.reference.ReferenceEvaluator(ir.to_proto(model)).run(None, feeds)


@pytest.mark.parametrize("coordinates", COORDINATES[:4])
@pytest.mark.parametrize("mode", MODES)
def test_arrays(rng: np.random.Generator, mode: str, coordinates: str) -> None:
    """Of all axes, one after the other, also the batch."""
    for factors in ((1, 1, 2.5, 1.7), (1, 2, 0.6, 3), (2, 1, 1, 0.5)):
        model = network(f'y = Resize <mode = "{mode}", coordinate_transformation_mode = "{coordinates}"> (x, , scales)',
                        "float[N,3,H,W] x", "float[N,C,P,Q] y", scales=np.array(factors, np.float32))
        session, x = graph.compile(model), normal(rng, 2, 3, 7, 9)
        assert without_python(session)
        found, = assert_same_bits(session, model, {"x": x}, (1, 3))
        np.testing.assert_allclose(found, reference(model, {"x": x})[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("factors", FACTORS.values(), ids=FACTORS)
def test_images(rng: np.random.Generator, mode: str, coordinates: str, factors: Any) -> None:
    """Codes and floats of images, behind a layer and before one."""
    model = network(f"""c = Conv (x, w1)  s = Sigmoid (c)
                        r = Resize <mode = "{mode}", coordinate_transformation_mode = "{coordinates}"> (s, , scales)
                        y = Conv <pads = [1, 1, 1, 1]> (r, w2)  z = Neg (r)""",
                    "float[N,3,H,W] x", "float[N,7,P,Q] y, float[N,6,P,Q] z", w1=normal(rng, 6, 3, 1, 1),
                    w2=normal(rng, 7, 6, 3, 3), scales=np.array(factors, np.float32))
    int8 = graph.quantize(model, [normal(rng, 2, 3, 5, 6)], methods=())
    session = graph.compile(int8)
    assert without_python(session)
    for batch, count in ((1, 1), (3, 4)):
        assert_same_bits(session, int8, {"x": normal(rng, batch, 3, 7, 4) * 2}, (count,))


@pytest.mark.parametrize("options", ["", "cubic_coeff_a = -0.5, exclude_outside = 1"])
def test_given_sizes_and_coefficients(rng: np.random.Generator, options: str, tmp_path: Path) -> None:
    """As torch writes them: sizes of all axes or of some. Saved, it needs no onnx."""
    for mode, more in (("linear", ""), ("cubic", options), ("nearest", 'nearest_mode = "floor"')):
        attributes = ", ".join(each for each in (f'mode = "{mode}"', more, "axes = [2, 3]") if each)
        model = network(f"r = Resize <{attributes}> (x, , , sizes)  y = Neg (r)", "float[N,5,H,W] x",
                        "float[N,5,11,6] y", sizes=np.array([11, 6]))
        session = graph.compile(model)
        session.save(tmp_path / "r.pqc")
        saved = graph.load_session(tmp_path / "r.pqc")
        assert without_python(session) and saved.summary() == session.summary()
        for height, width in ((7, 9), (11, 6), (1, 1), (30, 5)):
            x = normal(rng, 2, 5, height, width)
            found, = assert_same_bits(session, model, {"x": x}, (2,))
            assert saved.run(None, {"x": x})[0].tobytes() == found.tobytes()
            if (height, width) != (1, 1):
                np.testing.assert_allclose(found, reference(model, {"x": x})[0], rtol=2e-5, atol=2e-5)


def test_rows_before_layers_are_resized_as_images(rng: np.random.Generator) -> None:
    """As in SegFormer: rows become images, of which a convolution reads larger ones."""
    model = network("""m = MatMul (x, w1)  t = Transpose <perm = [0, 2, 1]> (m)  i = Reshape (t, shape)
                       r = Resize <mode = "linear"> (i, , scales)  k = Concat <axis = 1> (r, z)  y = Conv (k, w2)""",
                    "float[N,12,9] x, float[N,3,8,6] z", "float[N,5,8,6] y", w1=normal(rng, 9, 8),
                    w2=normal(rng, 5, 11, 1, 1), shape=np.array([-1, 8, 4, 3]),
                    scales=np.array([1, 1, 2, 2], np.float32))
    feeds = {"x": normal(rng, 2, 12, 9), "z": normal(rng, 2, 3, 8, 6)}
    int8 = graph.quantize(model, [feeds], methods=())
    session = graph.compile(int8)
    assert without_python(session)
    assert_same_bits(session, int8, feeds)


def test_special_numbers(rng: np.random.Generator) -> None:
    """NaN and infinities spread as far as their neighbours' weights."""
    x = normal(rng, 1, 2, 5, 5)
    x[0, 0, 2, 2], x[0, 1, 0, 0] = np.nan, np.inf
    model = network('r = Resize <mode = "linear"> (x, , scales)  y = Neg (r)', "float[N,2,5,5] x", "float[N,2,P,Q] y",
                    scales=np.array([1, 1, 2, 2], np.float32))
    found, = assert_same_bits(graph.compile(model), model, {"x": x})
    assert np.isnan(found[0, 0]).sum() == 16 and np.isfinite(found[0, 0]).sum() == 84


def test_factors_that_leave_nothing(rng: np.random.Generator) -> None:
    model = network('r = Resize <mode = "linear"> (x, , scales)  y = Neg (r)', "float[N,2,H,W] x", "float[N,2,P,Q] y",
                    scales=np.array([1, 1, 0.25, 1], np.float32))
    assert graph.compile(model).run(None, {"x": normal(rng, 1, 2, 3, 3)})[0].shape == (1, 2, 0, 3)


def test_hostile_tables(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Places that are not on the image end a call; a table of another shape is refused."""
    plans: list[tuple[Any, ...]] = []
    real: Any = _C.program_plan
    monkeypatch.setattr(_C, "program_plan", lambda *tables: plans.append(tables) or real(*tables))
    model = network('r = Resize <mode = "linear"> (x, , scales)  y = Neg (r)', "float[N,2,5,5] x", "float[N,2,5,15] y",
                    scales=np.array([1, 1, 1, 3], np.float32))
    x = normal(rng, 1, 2, 5, 5)
    graph.compile(model).run(None, {"x": x})
    (tables,) = plans
    plan, y = real(*tables), np.empty((1, 2, 5, 15), np.float32)
    places, weights = np.zeros((15, 2), np.int64), np.ones((15, 2), np.float32)
    assert _C.program_run(plan, (x, y, places, weights), None) == 0
    np.testing.assert_array_equal(y, np.repeat(-2 * x[..., :1], 15, axis=3))
    for bad in (-1, 5, 2 ** 62):
        places[7, 1] = bad
        assert _C.program_run(plan, (x, y, places, weights), None) != 0
    for column, bad in ((22, 2), (23, 0), (23, 9), (23, 3), (24, 1)):  # the axis, taps, what is not used
        steps = np.array(tables[2])
        steps[0, column] = bad
        with pytest.raises(ValueError, match="Expected steps of a program"):
            real(*tables[:2], steps, *tables[3:])


@pytest.mark.parametrize("field", [("mode", "bilinear"), ("coordinates", "x"), ("rule", "up"), ("factor", -1.0),
                                   ("size", 5), ("cubic", np.inf), ("factor", None)], ids=str)
def test_what_no_file_says(field: tuple[str, Any]) -> None:
    good: dict[str, Any] = dict(axis=2, mode="linear", coordinates="half_pixel", rule="floor", cubic=-0.75,
                                exclude=False, factor=2.0, size=None)
    Sampled("r", array_of(0), [array_of(1)], **good).check()
    with pytest.raises(ValueError, match="expected a"):
        Sampled("r", array_of(0), [array_of(1)], **{**good, field[0]: field[1]}).check()


def test_sizes_beyond_all_bounds(rng: np.random.Generator) -> None:
    model = network('r = Resize <mode = "linear"> (x, , scales)  y = Neg (r)', "float[N,2,H,W] x", "float[N,2,P,Q] y",
                    scales=np.array([1, 1, 1, 1e7], np.float32))
    with pytest.raises(GraphError, match="elements"):
        graph.compile(model).run(None, {"x": normal(rng, 1, 2, 30, 30)})


@pytest.mark.parametrize("coordinates", [*COORDINATES[:1], *COORDINATES[2:]])
@pytest.mark.parametrize("mode", MODES)
def test_factors_that_leave_a_size_as_it_is(rng: np.random.Generator, mode: str, coordinates: str) -> None:
    """3 * 1.2 is 3 rows again, but at other places."""
    model = network(f'y = Resize <mode = "{mode}", coordinate_transformation_mode = "{coordinates}"> (x, , scales)',
                    "float[N,3,H,W] x", "float[N,C,P,Q] y", scales=np.array((1, 1, 1.2, 2), np.float32))
    session, x = graph.compile(model), normal(rng, 2, 3, 3, 5)
    np.testing.assert_allclose(session.run(None, {"x": x})[0], reference(model, {"x": x})[0], rtol=1e-4, atol=1e-5)
    assert_same_bits(session, model, {"x": x}, [1])


@pytest.mark.parametrize("coordinates", COORDINATES)
def test_nearest_where_a_place_is_an_element(coordinates: str) -> None:
    """Or lies in the middle between two: what decides is not rounded, as fractions say."""
    half, rules = Fraction(1, 2), {"floor": math.floor, "ceil": math.ceil,
                                   "round_prefer_floor": lambda place: math.ceil(place - half),
                                   "round_prefer_ceil": lambda place: math.floor(place + half)}
    sizes = [(n, m, Fraction(m, n), True) for n, m in itertools.product(range(1, 41), repeat=2)]
    factors = [(n, math.floor(n * factor), factor, False) for n in range(1, 80)
               for factor in map(Fraction, (0.5, 0.75, 1.5, 2, 2.5))]
    for n, m, factor, sized in (each for each in sizes + factors if each[1] > 0):
        whole = n * factor
        aside = (whole - m) / 2 if coordinates == "half_pixel_symmetric" else 0
        places = [Fraction(0) if m == 1 and coordinates in ("align_corners", "pytorch_half_pixel") else
                  i * (n - 1) / (whole - 1) if coordinates == "align_corners" else
                  i / factor if coordinates == "asymmetric" else (i + aside + half) / factor - half for i in range(m)]
        for rule, chosen in rules.items():
            found = Sampling("nearest", coordinates, rule).taps(n, m, float(factor), sized, np.float32)
            wanted = [min(max(chosen(place), 0), n - 1) for place in places]
            assert (list(range(n)) if found is None else found[0][:, 0].tolist()) == wanted, (n, m, rule)


@pytest.mark.parametrize(("y", "x", "channels"), [(2, 2, 5), (1, 3, 1100), (2, 1, 5), (6, 4, 5), (6, 12, 5)])
def test_chains_repeat_pixels_as_they_read(rng: np.random.Generator, y: int, x: int, channels: int,
                                           tmp_path: Path) -> None:
    """Also a single pixel, row or column."""
    model = network(f"""a = Conv (x, w)  z = Neg (a)  s = Sigmoid (a)
                        b = Conv <strides = [{y}, {x}]> (x, v)
                        r = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric",
                                    nearest_mode = "floor"> (b, , scales)
                        p = Mul (a, k)  t = Mul (p, s)  y = Add (t, r)""",
                    "float[N,3,6,12] x", f"float[N,{channels},6,12] y, float[N,{channels},6,12] z",
                    w=normal(rng, channels, 3, 1, 1), v=normal(rng, channels, 3, 1, 1),
                    k=normal(rng, channels, 1, 1), scales=np.array((1, 1, y, x), np.float32))
    int8 = graph.quantize(model, [normal(rng, 2, 3, 6, 12)], methods=())
    graph.compile(int8).save(tmp_path / "r.pqc")
    session = graph.load_session(tmp_path / "r.pqc")
    assert "rearranged" not in [row.kernel for row in session.summary()]
    for batch, count in ((1, 1), (3, 4)):
        assert_same_bits(session, int8, {"x": normal(rng, batch, 3, 6, 12) * 2}, (count,))


def test_an_enlarged_image_that_others_read(rng: np.random.Generator) -> None:
    body = """b = Conv (x, w)  r = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric",
                                           nearest_mode = "floor"> (b, , scales)
              y = Add (r, r)  z = Neg (r)"""
    model = network(body, "float[N,3,6,4] x", "float[N,5,12,8] y, float[N,5,12,8] z", w=normal(rng, 5, 3, 1, 1),
                    scales=np.array((1, 1, 2, 2), np.float32))
    int8 = graph.quantize(model, [normal(rng, 2, 3, 6, 4)], methods=())
    assert_same_bits(graph.compile(int8), int8, {"x": normal(rng, 2, 3, 6, 4)}, (3,))
