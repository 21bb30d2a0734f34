"""The picture of a comparison."""
from __future__ import annotations

import matplotlib
import numpy as np
import pytest

pytest.importorskip("onnxscript")
matplotlib.use("Agg")


def test_a_comparison_is_drawn(rng: np.random.Generator) -> None:
    from pytorch_quantization_c import graph
    from tests.graph.networks import convolutional, images

    model, data = convolutional(rng), [images(rng, 2)]
    comparison = graph.compare(model, graph.quantize(model, data), data)
    axes = comparison.plot()
    assert [label.get_text() for label in axes.get_yticklabels()][0] == comparison.rows[0].quantizer
    assert len(axes.lines) == 2
