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

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from digits import package_digits, training_digits
from resnet import Bottleneck, ResNet, resnet50
from torch import Tensor, nn

from pytorch_quantization_c.torch import calib, quant_modules
from pytorch_quantization_c.torch import nn as quant_nn
from pytorch_quantization_c.torch.tensor_quant import QuantDescriptor

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


@torch.no_grad()
def evaluate(model: nn.Module) -> str:
    """Loss and accuracy on the test images."""
    model.eval()
    logits = torch.cat([model(image) for image, _ in batches(test_images, test_labels)])
    right = 100 * (logits.argmax(1) == test_labels).float().mean().item()
    return f"loss {F.cross_entropy(logits, test_labels).item():.3f}, top-1 {right:.1f} %"

# %% [markdown]
# ## The float network
#
# In the place of a download: statistics of batch normalisation from the training images, and a last layer by ridge
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
print(f"{sum(each.numel() for each in float_model.parameters()):,} parameters; float32: {evaluate(float_model)}")

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
        quantizer.load_calib_amax(**({} if isinstance(quantizer._calibrator, calib.MaxCalibrator) else how))


with torch.no_grad():
    collect_stats(model, [image for image, _ in batches(train_images[:100], train_labels[:100])])
    compute_amax(model, method="percentile", percentile=99.99)
print(f"percentile 99.99: {evaluate(model)}")

# %% [markdown]
# Other calibrations need no second pass: the histograms are still there. (`calibrating(model)` of this library does in
# one `with` block what the two functions above do.)

# %%
ways: list[dict[str, Any]] = [{"method": "percentile", "percentile": 99.9}, {"method": "mse"}, {"method": "entropy"}]
for how in ways:
    compute_amax(model, **how)
    print(f"{how}: {evaluate(model)}")

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
print(f"fine-tuned: {evaluate(model)}")

# %% [markdown]
# ## Export to ONNX, and run it in onnxruntime
#
# Every quantiser becomes a QuantizeLinear and a DequantizeLinear node, which TensorRT and onnxruntime turn into integer
# arithmetic. This is the TorchScript exporter (`dynamo=False`), which the quantisers' `symbolic` methods are for.

# %%
with TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad(), quant_modules.enable_onnx_export():
    warnings.simplefilter("ignore")                     # the tracer's, and that this exporter is the older one
    path = Path(folder) / "quant_resnet50.onnx"
    torch.onnx.export(model, (test_images[:50],), str(path), dynamo=False, opset_version=17, input_names=["image"],
                      output_names=["logits"])
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    wanted = model(test_images[:50]).numpy()
    print(f"{path.stat().st_size / 1e6:.1f} MB")
logits = np.asarray(session.run(None, {"image": test_images[:50].numpy()})[0])
noise = np.sqrt(np.mean((logits - wanted) ** 2) / np.mean(wanted**2))
same = 100 * np.mean(logits.argmax(1) == wanted.argmax(1))
print(f"same class as in torch: {same:.0f} % of 50 images; difference {100 * noise:.1f} % of the logits (rms)")
