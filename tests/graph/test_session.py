"""Sessions: the methods of onnxruntime's."""
from __future__ import annotations

import pickle
import threading
from typing import Any

import numpy as np
import pytest
from onnx.helper import make_node

from pytorch_quantization_c import graph

from .models import model_of
from .quantized import FORMATS, Format, quantized
from .small_network import batches, classifier


def test_inputs_and_outputs_are_described(rng: np.random.Generator) -> None:
    session = graph.compile(classifier(rng))
    (x,), (y,) = session.get_inputs(), session.get_outputs()
    assert (x.name, x.shape, x.type) == ("x", ["N", 3, 16, 16], "tensor(float)")
    assert (y.name, y.shape, y.type) == ("y", ["N", 5], "tensor(float)")
    assert repr(session) == "Session(x -> y)"


def test_run(rng: np.random.Generator) -> None:
    model, (feeds,) = classifier(rng), batches(rng, 1, 3)
    session = graph.compile(model)
    expected = graph.interpret(graph.load(model), feeds)[0]
    assert np.array_equal(session.run(None, feeds)[0], expected)
    assert np.array_equal(session.run(["y"], {"x": feeds["x"].tolist()})[0], expected)
    place = np.empty((3, 5), np.float32)
    (result,) = session.run(None, feeds, [place])
    assert result is place and np.array_equal(place, expected)
    assert np.array_equal(pickle.loads(pickle.dumps(session)).run(None, feeds)[0], expected)


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_quantised_graphs(rng: np.random.Generator, form: Format) -> None:
    """Also where nothing says the types of values; they survive pickling."""
    (feeds,) = batches(rng, 1, 2)
    model = quantized(classifier(rng), feeds, form)
    session, expected = graph.compile(model), graph.interpret(model, feeds)[0]
    assert np.array_equal(session.run(None, feeds)[0], expected)
    assert np.array_equal(pickle.loads(pickle.dumps(session)).run(None, feeds)[0], expected)


def test_runs_at_the_same_time(rng: np.random.Generator) -> None:
    session, feeds = graph.compile(classifier(rng)), batches(rng, 6, 2)
    expected = [session.run(None, each)[0] for each in feeds]
    got: dict[int, Any] = {}

    def work(number: int) -> None:
        got[number] = [session.run(None, feeds[number])[0] for _ in range(5)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(feeds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(y, expected[number]) for number, found in got.items() for y in found)
    assert len(got) == len(feeds)


def test_inputs_are_not_changed(rng: np.random.Generator) -> None:
    """Nor are results views of them or of constants."""
    model = model_of([make_node("Identity", ["x"], ["y"], "same"), make_node("Reshape", ["w", "s"], ["z"], "constant")],
                     {"x": [3]}, {"y": [3], "z": [4]}, {"w": rng.normal(size=(2, 2)), "s": np.array([4])})
    session, x = graph.compile(model), rng.normal(size=3).astype(np.float32)
    before, (y, z) = x.copy(), session.run(None, {"x": x})
    y[:] = 9
    z[:] = 9
    assert np.array_equal(x, before) and not np.any(session.run(None, {"x": x})[1] == 9)


@pytest.mark.parametrize(("names", "feeds", "text"), [
    (None, {}, r"Expected inputs \['x'\], got none for 'x'"),
    (None, {"x": np.zeros((1, 3, 16, 16), np.float32), "z": 1}, r"Expected inputs \['x'\], got 'z'"),
    (None, {"x": np.zeros((1, 3, 16, 16))}, "Expected input 'x' of float32, got float64"),
    (None, {"x": np.zeros((1, 4, 16, 16), np.float32)}, r"Expected input 'x' of shape \['N', 3, 16, 16\], got \[1, 4,"),
    (None, {"x": [["a"]]}, "Expected input 'x' of float32"),
    (["q"], {"x": np.zeros((1, 3, 16, 16), np.float32)}, r"Expected outputs among \['y'\], got 'q'"),
    (None, [np.zeros(3)], "Expected `input_feed` to be a dictionary of arrays by input name, got list"),
])
def test_feeds_that_do_not_fit(rng: np.random.Generator, names: Any, feeds: Any, text: str) -> None:
    with pytest.raises(graph.GraphError, match=text):
        graph.compile(classifier(rng)).run(names, feeds)


def test_places_that_do_not_fit(rng: np.random.Generator) -> None:
    session, (feeds,) = graph.compile(classifier(rng)), batches(rng, 1, 3)
    with pytest.raises(graph.GraphError, match=r"Expected a writeable array of float32\[3, 5\] in `out` for output"):
        session.run(None, feeds, [np.empty((3, 4), np.float32)])
    with pytest.raises(graph.GraphError, match="Expected 1 arrays in `out`, got 2"):
        session.run(None, feeds, [np.empty((3, 5), np.float32)] * 2)
    with pytest.raises(TypeError, match="Expected `out` to be a list or None, got int"):
        session.run(None, feeds, 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Expected `output_names` to be a list or None, got int"):
        session.run(5, feeds)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Expected `repeats` to be an integer, got str"):
        session.profile(feeds, "a")  # type: ignore[arg-type]
