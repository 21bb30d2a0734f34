"""A layer needs its packed weights, one image's packed input and its output, whatever the batch."""
import pytest

from ..process import run_python

CODE = """
import resource
import numpy as np
from pytorch_quantization_c import nn, quant_modules, threads
threads.set_num_threads(2)
batch = int({batch!r})
layer = quant_modules.freeze(nn.QuantConv2d(64, 8, 3, padding=1), keep_float=False)
x = np.ones((batch, 64, 96, 96), np.float32)
layer(x[:1, :, :8, :8])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
y = layer(x)
assert layer.execution == "int8"
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 - y.nbytes)
"""


@pytest.mark.parametrize("batch", ["1", "32"])
def test_the_peak_grows_by_one_packed_image(batch):
    done = run_python("-c", CODE.format(batch=batch))
    image = 64 * 98 * 98
    assert int(done.stdout) < image + (3 << 20)  # 32 images would be 20 million bytes
