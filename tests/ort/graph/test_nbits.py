"""MatMulNBits: what onnxruntime computes from the same file."""
import numpy as np
import onnxruntime
import pytest

from pytorch_quantization_c import graph

from ...graph.files.test_nbits import nbits_model


@pytest.mark.parametrize("case", [{"level": 0}, {"level": 0, "points": None, "has_bias": False}, {"level": 4},
                                  {"level": 4, "inputs": 96, "block": 16, "has_bias": False, "points": None},
                                  {"level": 0, "bits": 8}, {"level": 0, "bits": 2, "inputs": 128}], ids=str)
def test_products_of_onnxruntime(case, rng):
    model, weight, bias = nbits_model(rng, **case)
    x = rng.standard_normal((7, weight.shape[1])).astype(np.float32)
    theirs, = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    ours, = graph.interpret(graph.load(model), {"x": x})
    plain = x.astype(np.float64) @ weight.T + (0 if bias is None else bias)
    if case["level"] == 0:
        assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(plain).max()
    else:  # each rounds inputs to 8 bits in its own way
        noise = [np.abs(each - plain).max() / np.abs(plain).max() for each in (ours, theirs)]
        assert noise[0] < 0.02 and noise[0] < 3 * noise[1] + 1e-5
