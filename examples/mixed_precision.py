"""One NumPy network, traced, quantised to 8, 4 and mixed bits under a budget. Cells begin with `# %%`."""

# %% [markdown]
# # Bits where they matter
#
# A small residual network on handwritten digits (`resnet_numpy.py`, trained by `train_resnet.py`) becomes a graph by
# tracing. Its weights are then quantised to 8 bits, to 4, and to a mixture that keeps a budget, where a search finds
# out which layers need the wider ones. All on NumPy; no torch is needed.

# %%
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from digits import accuracy, package_digits, resnet_weights, sqnr
from resnet_numpy import SmallResNet

from pytorch_quantization_c import graph
from pytorch_quantization_c.tensor_quant import QuantDescriptor

plt.rcParams.update({"figure.dpi": 72, "figure.figsize": (9, 3.4), "axes.grid": True, "grid.alpha": 0.3})
digits = package_digits()
net = SmallResNet().eval()
net.load_state_dict(resnet_weights())

# %% [markdown]
# ## Trace
#
# `trace` runs the network on an example and records what it computes as an ONNX graph: the same bits, and any number of
# images afterwards.

# %%
model = graph.trace(net, digits.calibration_images[:2])
source = str(model.graph.inputs[0].name)
assert np.array_equal(graph.interpret(model, {source: digits.test_images[:20]})[0], net(digits.test_images[:20]))
operators = [node.op_type for node in model.graph]
print(f"{len(operators)} nodes, {operators.count('Conv')} convolutions; input {source}: {model.graph.inputs[0].shape}")

# %% [markdown]
# ## Every width
#
# Activations keep 8 bits, weights take 8, 4, 3 and 2, rounded to nearest, and rounded by GPTQ (Frantar et al. 2022)
# with 100 calibration images. Each network runs as a program on 500 other images.

# %%
REFERENCE = net(digits.test_images)
batches = [digits.calibration_images[at:at + 25] for at in range(0, 100, 25)]
WIDTHS = (8, 4, 3, 2)
METHODS: dict[str, tuple[str, ...]] = {"to nearest": (), "GPTQ": ("weight_mse", "gptq", "bias_correction")}


def judged(quantised: Any) -> tuple[float, float]:
    """Percent of the digits that are right, and the SQNR of the logits against the float network in dB."""
    logits, = graph.compile(quantised).run(None, {source: digits.test_images})
    return accuracy(logits, digits.test_labels), sqnr(REFERENCE, logits)


print(f"float: {accuracy(REFERENCE, digits.test_labels):.1f} % right")
found: dict[str, list[tuple[float, float]]] = {}
for name, methods in METHODS.items():
    for bits in WIDTHS:
        weight = QuantDescriptor(bits, axis=0)
        found.setdefault(name, []).append(judged(graph.quantize(model, batches, weight=weight, methods=methods)))
    print(f"{name:10} " + "   ".join(f"{bits} bits {right:5.1f} % {noise:5.1f} dB"
                                     for bits, (right, noise) in zip(WIDTHS, found[name], strict=True)))

# %% [markdown]
# ## Under a budget
#
# `auto_quantize` measures what each layer adds to the noise of the logits at each width, then takes bits away where
# they cost least, until the mean is within the budget.

# %%
BUDGETS = (5.0, 4.0, 3.5)
with TemporaryDirectory() as folder:
    measurements = Path(folder) / "measurements.json"   # kept there from one budget to the next
    mixed = {bits: graph.auto_quantize(model, batches, bits, formats=(8, 4, 3), methods=METHODS["GPTQ"],
                                       resume=measurements) for bits in BUDGETS}
under = {budget: judged(each) for budget, each in mixed.items()}
for budget, (right, noise) in under.items():
    print(f"at most {budget} bits on average: {right:5.1f} % right, {noise:5.1f} dB")
print(graph.decisions(mixed[4.0]))

# %%
def drawn(axis: Any, at: int, pick: Callable[[tuple[float, float]], float]) -> None:
    """One figure of every way against the bits."""
    for (name, values), marker in zip(found.items(), "os", strict=True):
        axis.plot(WIDTHS, [pick(each) for each in values], marker + "-", label=f"one width, {name}")
    axis.plot(BUDGETS, [pick(each) for each in under.values()], "^-", label="mixed widths, GPTQ")
    axis.set(xlabel="mean bits of weights", ylabel=("accuracy, %", "SQNR of the logits, dB")[at])


figure, axes = plt.subplots(1, 2, layout="constrained")
drawn(axes[0], 0, lambda each: each[0])
drawn(axes[1], 1, lambda each: each[1])
axes[0].axhline(accuracy(REFERENCE, digits.test_labels), color="black", linestyle=":", label="float32")
axes[0].legend()
plt.show()
