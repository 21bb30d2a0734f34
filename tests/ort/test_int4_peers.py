"""What onnxruntime computes where the benchmarks of 4-bit weights time it is what ours computes."""
import numpy as np

from ..benchmarks import load
from ..test_int4_benchmarks import example


def test_the_product_is_the_same() -> None:
    peers = load("int4_peers")
    product = peers.Product(128, 64, 32, 3)
    ours, theirs = (peers.CALLS[name](product, 1)() for name in ("ours", "onnxruntime"))
    assert np.abs(ours - theirs).max() < 0.02 * np.abs(ours).max()


def test_the_language_models_say_the_same_at_first() -> None:
    """Each rounds inputs to 8 bits in its own way, so that later on they may differ."""
    model = example("language_model").quantized(words=256, width=128, blocks=2, positions=64)
    peer = load("language_model_peer").Peer(model, 1)
    assert peer.generate([1, 2, 3, 4], 10)[:3] == model.generate([1, 2, 3, 4], 10)[:3]
