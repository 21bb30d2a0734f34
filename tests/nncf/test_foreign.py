"""Networks that NNCF has quantised, read into graphs."""
from __future__ import annotations

import numpy as np
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.nodes import quantizers

from ..graph.small_network import batches, classifier
from ..ort.graph.peer import run, signal_to_noise

LESS_NOISE = 6.0  # dB that our difference from onnxruntime lies below the noise of quantising


@pytest.mark.filterwarnings("ignore")
def test_networks_that_nncf_has_quantised(rng: np.random.Generator) -> None:
    """All quantisers of NNCF's ONNX files are read, and a network gives what onnxruntime gives."""
    import nncf

    proto, feeds = classifier(rng), batches(rng, 8, 4)
    made = nncf.quantize(proto, nncf.Dataset(feeds), subset_size=8)
    loaded = graph.load(made)
    assert not [node.op_type for node in loaded.graph if "Linear" in node.op_type]
    assert len(list(quantizers(loaded))) >= 10
    (theirs,), (ours,), (reference,) = run(made, feeds[0]), graph.interpret(loaded, feeds[0]), run(proto, feeds[0])
    assert signal_to_noise(ours, theirs) >= signal_to_noise(theirs, reference) + LESS_NOISE
