"""The original's ResNet-50 notebooks on the twin: calibrate, evaluate, fine-tune, export. Cells begin with `# %%`."""

# %% [markdown]
# # ResNet-50: calibrate, evaluate, fine-tune, export
#
# The steps of pytorch-quantization's notebooks `calibrate_quant_resnet50` and `finetune_quant_resnet50`, then ONNX.
# Only the imports differ from code written for the original; with `pytorch_quantization_c.torch.install()` in front,
# not even they.
#
# To run within a minute on two cores and without a download, the network has **seeded random weights** and a last layer
# fitted to handwritten digits of 32x32 points: its accuracy means something, though no one would use it.

# %%
import logging
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from digits import package_digits, training_digits
from resnet import Bottleneck, ResNet, resnet50
from torch import Tensor, nn

from pytorch_quantization_c import integer
from pytorch_quantization_c.torch import calib, quant_modules
from pytorch_quantization_c.torch import nn as quant_nn
from pytorch_quantization_c.torch.tensor_quant import QuantDescriptor

plt.rcParams.update({"figure.dpi": 72, "axes.grid": True, "grid.alpha": 0.3})
torch.manual_seed(0)
logging.getLogger("pytorch_quantization_c").setLevel(logging.ERROR)

# %% [markdown]
# ## Data

# %%
def as_photographs(images: Any) -> Tensor:
    """(n, 1, 28, 28) in 0 to 1 -> (n, 3, 32, 32), three equal channels around zero."""
    large = F.interpolate(torch.from_numpy(images), size=(32, 32), mode="bilinear")
    return (large - 0.3).mul(3).expand(-1, 3, -1, -1).contiguous()


digits = package_digits()
test_images, test_labels = as_photographs(digits.test_images[:100]), torch.from_numpy(digits.test_labels[:100]).long()
images, labels = training_digits()
train_images, train_labels = as_photographs(images[:400]), torch.from_numpy(labels[:400])


def batches(images: Tensor, labels: Tensor, size: int = 50) -> list[tuple[Tensor, Tensor]]:
    return list(zip(images.split(size), labels.split(size), strict=True))


top1: dict[str, float] = {}


@torch.no_grad()
def evaluate(model: nn.Module, name: str) -> str:
    """Loss and accuracy on the test images; the accuracy is kept under `name` for the picture at the end."""
    model.eval()
    logits = torch.cat([model(image) for image, _ in batches(test_images, test_labels)])
    top1[name] = 100 * (logits.argmax(1) == test_labels).float().mean().item()
    return f"{name}: loss {F.cross_entropy(logits, test_labels).item():.3f}, top-1 {top1[name]:.1f} %"

# %% [markdown]
# ## The float network
#
# Instead of a download: statistics of batch normalisation from the training images, and a last layer by ridge
# regression on the 2,048 features before it.

# %%
@torch.no_grad()
def fitted(model: ResNet, ridge: float = 10.0) -> ResNet:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None                      # the mean over all batches
        if isinstance(module, Bottleneck):
            module.bn3.weight.fill_(0.2)                # blocks that change little keep the image in sight
    model.train()
    for image, _ in batches(train_images[:100], train_labels[:100]):
        model.features(image)
    model.eval()
    features = torch.cat([model.features(image) for image, _ in batches(train_images, train_labels)]).double()
    centre = features.mean(0)
    inside = features - centre
    targets = F.one_hot(train_labels, 10).double() * 10 - 1
    kernel = inside @ inside.T
    kernel.diagonal().add_(ridge * kernel.diagonal().mean() / len(kernel))
    weight = (inside.T @ torch.linalg.solve(kernel, targets - targets.mean(0))).T
    model.fc.weight.copy_(weight)
    model.fc.bias.copy_(targets.mean(0) - weight @ centre)
    return model


float_model = fitted(resnet50(classes=10))
weights = float_model.state_dict()
print(f"{sum(each.numel() for each in float_model.parameters()):,} parameters; {evaluate(float_model, 'float32')}")

# %% [markdown]
# ## Quantised modules
#
# Histogram calibration for activations, then every layer that `torch.nn` makes is a quantised one.

# %%
quant_desc_input = QuantDescriptor(calib_method="histogram")
quant_nn.QuantConv2d.set_default_quant_desc_input(quant_desc_input)
quant_nn.QuantLinear.set_default_quant_desc_input(quant_desc_input)

quant_modules.initialize()
model = resnet50(classes=10)
quant_modules.deactivate()
model.load_state_dict(weights)
model.eval()
print(model.layer1[0].conv1)

# %% [markdown]
# ## Calibrate

# %%
def quantizers(model: nn.Module) -> list[quant_nn.TensorQuantizer]:
    return [module for module in model.modules() if isinstance(module, quant_nn.TensorQuantizer)]


def collect_stats(model: nn.Module, images: list[Tensor]) -> None:
    """Shows the images to the network while its quantisers only look."""
    for quantizer in quantizers(model):
        quantizer.disable_quant()
        quantizer.enable_calib()
    for image in images:
        model(image)
    for quantizer in quantizers(model):
        quantizer.enable_quant()
        quantizer.disable_calib()


def compute_amax(model: nn.Module, **how: Any) -> None:
    """Gives every quantiser the amax its calibrator finds."""
    for quantizer in quantizers(model):
        quantizer.load_calib_amax(**({} if isinstance(quantizer.calibrator, calib.MaxCalibrator) else how))


with torch.no_grad():
    collect_stats(model, [image for image, _ in batches(train_images[:100], train_labels[:100])])
    compute_amax(model, method="percentile", percentile=99.99)
print(evaluate(model, "percentile 99.99"))

# %% [markdown]
# Other calibrations need no second pass: the histograms are still there. (`calibrating(model)` of this library does in
# one `with` block what the two functions above do.)

# %%
ways: dict[str, dict[str, Any]] = {"percentile 99.9": {"method": "percentile", "percentile": 99.9},
                                   "mse": {"method": "mse"}, "entropy": {"method": "entropy"}}
for name, how in ways.items():
    compute_amax(model, **how)
    print(evaluate(model, name))

# %% [markdown]
# ## Fine-tune
#
# Eight bits and a good calibration leave next to nothing to regain. To see that training does work, it starts here from
# the worst calibration, the entropy's: one pass over the training images with a small step.

# %%
compute_amax(model, method="entropy")
optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
for image, label in batches(train_images, train_labels):
    loss = F.cross_entropy(model(image), label)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(evaluate(model, "entropy, fine-tuned"))

# %% [markdown]
# ## Export to ONNX, and run it in onnxruntime
#
# Every quantiser becomes a QuantizeLinear and a DequantizeLinear node, which TensorRT and onnxruntime turn into integer
# arithmetic. This is the TorchScript exporter (`dynamo=False`), which the quantisers' `symbolic` methods are for.

# %%
image = test_images[:50]
with TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad(), quant_modules.enable_onnx_export():
    warnings.simplefilter("ignore")                     # the tracer's, and that this exporter is the older one
    path = Path(folder) / "quant_resnet50.onnx"
    torch.onnx.export(model, (image,), str(path), dynamo=False, opset_version=17, input_names=["image"],
                      output_names=["logits"])
    print(f"{path.stat().st_size / 1e6:.1f} MB")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
with torch.no_grad():
    wanted = model(image).numpy()
    print("the twin computes layer1.0.conv1 on", model.get_submodule("layer1.0.conv1").execution)
    with integer.float_only():
        by_floats = model(image).numpy()
by_onnx = np.asarray(session.run(None, {"image": image.numpy()})[0])
for name, logits in {"onnxruntime": by_onnx, "the twin on floats": by_floats}.items():
    noise = np.sqrt(np.mean((logits - wanted) ** 2) / np.mean(wanted**2))
    print(f"{name}: the same class for {np.sum(logits.argmax(1) == wanted.argmax(1))} of 50 images, "
          f"difference {100 * noise:.1f} % of the logits (rms)")

# %% [markdown]
# The twin's own float way is about as far from its integers as onnxruntime is: where a value is next to a tie, sums in
# another order round it to the other step, and with random weights 53 layers make much of it. The weights in the file
# are float32; a runtime makes integers of them when it loads it.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
bars = left.barh(list(top1), list(top1.values()), color=["0.4", *["C0"] * (len(top1) - 2), "C1"])
left.bar_label(bars, fmt="%.0f", label_type="center", color="white")
left.invert_yaxis()
left.set(xlabel="top-1, %", title="ResNet-50 at 8 bits")
right.plot(wanted.ravel(), by_onnx.ravel(), ".", markersize=4)
right.axline((0, 0), slope=1, color="black", linewidth=0.8)
right.set(xlabel="logit by the twin", ylabel="logit by onnxruntime", title="One file, two runtimes")
plt.show()
