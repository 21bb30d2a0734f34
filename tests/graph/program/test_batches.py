"""Batches in parts, whose images stay in the caches: the bits of the whole."""
from __future__ import annotations

import numpy as np
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.program import batches

from ..networks import network, normal
from .zoo import ZOO


@pytest.mark.parametrize("name", list(ZOO))
@pytest.mark.parametrize("images", [1, 2])
def test_parts_have_the_bits_of_the_whole(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, name: str,
                                          images: int) -> None:
    model, shape = ZOO[name](rng)
    int8 = graph.quantize(model, [normal(rng, 1, *shape)], methods=())
    x = normal(rng, 5, *shape)
    expected = graph.interpret(int8, {"x": x})
    whole = graph.compile(int8)
    whole.run(None, {"x": x})
    (plan,) = (plan for each in whole._program._plans for plan in each.values())
    monkeypatch.setattr(batches, "CACHED", -(-images * plan.arena // 5))
    session = graph.compile(int8)
    for _ in range(2):
        found = session.run(None, {"x": x})
        assert [each.tobytes() for each in found] == [each.tobytes() for each in expected]
    assert next(iter(session._program._plans[0].values())).part == images  # the whole batch came first
    rows, before = session.profile({"x": x}), whole.profile({"x": x})
    assert [row[:2] for row in rows] == [row[:2] for row in before] and rows.total > 0


def test_what_mixes_images_stays_whole(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transpose of the batch, and a sum of images that share one."""
    monkeypatch.setattr(batches, "CACHED", 1)
    w = {"w": normal(rng, 4, 3, 3, 3)}
    for body, inputs, feeds in (
            ("c = Conv (x, w)  y = Transpose <perm = [3, 1, 2, 0]> (c)", "float[N,3,H,W] x", {}),
            ("c = Conv (x, w)  d = Conv (z, w)  y = Add (c, d)", "float[N,3,H,W] x, float[1,3,H,W] z",
             {"z": normal(rng, 1, 3, 8, 8)})):
        model = network(body, inputs, "float y", **w)
        feeds = {"x": normal(rng, 8, 3, 8, 8), **feeds}
        int8 = graph.quantize(model, [feeds], methods=())
        session = graph.compile(int8)
        assert session.run(None, feeds)[0].tobytes() == graph.interpret(int8, feeds)[0].tobytes()
        assert not any(plan.part for each in session._program._plans for plan in each.values())
