"""The torch twin: fake quantisation forward and backward against plain torch operations, layers without gradients."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import harness
import torch
from harness import Table, interleaved
from torch import Tensor, nn

from pytorch_quantization_c import integer, threads
from pytorch_quantization_c.torch import nn as quant_nn
from pytorch_quantization_c.torch.tensor_quant import fake_tensor_quant, scaled_e4m3

TINY = 2.0 ** -24


class TorchOperations(torch.autograd.Function):
    """What the original does on a CPU, step by step, in operations of torch: checks, scale, rounding, masks."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, amax: Tensor) -> Tensor:
        ctx.save_for_backward(x, amax)
        values = x.float() if x.dtype == torch.float16 else x
        smallest = amax.min()
        if smallest < 0:
            raise ValueError("negative amax")
        bound = torch.tensor(127.0)
        scale = bound / amax
        if smallest <= TINY:
            scale[amax <= TINY] = 0
        integers = torch.clamp((values * scale).round_(), -bound, bound)
        if smallest <= TINY:
            scale[amax <= TINY] = 1
        return integers.to(x.dtype) / scale.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x, amax = ctx.saved_tensors
        return torch.where(x.abs() <= amax, grads[0], grads[0].new_zeros(1)), None


def forward_backward(function: Callable[..., Tensor], x: Tensor, amax: Tensor, grad: Tensor) -> Callable[[], Any]:
    def call() -> Any:
        return torch.autograd.grad(function(x, amax), x, grad)
    return call


def set_threads(count: int) -> None:
    threads.set_num_threads(count)
    torch.set_num_threads(count)


def training(options: Any) -> Table:
    table = Table("Fake quantisation with its gradient, 8 bits, amax given", ["n", "type", "amax", "threads"],
                  "twin", ["torch operations", "twin, forward alone", "torch, forward alone", "twin E4M3"])
    sizes = [1_000_000] if options.quick else [10_000, 1_000_000, 16_000_000]
    for n in sizes:
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            for channels in (1, 64):
                x = torch.randn(channels, n // channels).to(dtype).requires_grad_()
                grad = torch.randn_like(x)
                amax = torch.full((channels, 1) if channels > 1 else (), 2.5)
                for count in options.threads:
                    set_threads(count)
                    frozen = x.detach()
                    table.add([f"{n:,}", str(dtype)[6:], f"{channels} channels" if channels > 1 else "one", count],
                              interleaved({
                                  "twin": forward_backward(fake_tensor_quant, x, amax, grad),
                                  "torch operations": forward_backward(TorchOperations.apply, x, amax, grad),
                                  "twin, forward alone": lambda x=frozen, a=amax: fake_tensor_quant(x, a),
                                  "torch, forward alone": lambda x=frozen, a=amax: TorchOperations.apply(x, a),
                                  "twin E4M3": forward_backward(scaled_e4m3, x, amax, grad),
                              }, 0.3 if options.quick else 1.0))
    return table


LAYERS: dict[str, tuple[Callable[[], Any], Callable[[], Any], tuple[int, ...]]] = {
    "Linear 512-512": (lambda: quant_nn.QuantLinear(512, 512), lambda: nn.Linear(512, 512), (128, 512)),
    "Conv2d 64-64 3x3": (lambda: quant_nn.QuantConv2d(64, 64, 3, padding=1), lambda: nn.Conv2d(64, 64, 3, padding=1),
                         (4, 64, 28, 28)),
    "Conv2d 256-64 1x1": (lambda: quant_nn.QuantConv2d(256, 64, 1), lambda: nn.Conv2d(256, 64, 1), (4, 256, 28, 28)),
}


def inference(options: Any) -> Table:
    table = Table("Layers under no_grad, calibrated, float32", ["layer", "threads"], "twin on integers",
                  ["twin on floats", "torch.nn, float"])
    for name, (make, plain, shape) in LAYERS.items():
        layer, other, x = make().eval(), plain().eval(), torch.randn(shape)
        layer.input_quantizer.amax = 3.0
        layer.weight_quantizer.amax = layer.weight_quantizer._dynamic_amax(layer.weight,
                                                                           list(range(1, layer.weight.dim())))

        def on_floats(layer: Any = layer, x: Tensor = x) -> Any:
            with integer.float_only():
                return layer(x)

        with torch.no_grad():
            for count in options.threads:
                set_threads(count)
                table.add([name, count], interleaved({
                    "twin on integers": lambda layer=layer, x=x: layer(x), "twin on floats": on_floats,
                    "torch.nn, float": lambda layer=other, x=x: layer(x)}, 0.3 if options.quick else 1.5))
    return table


if __name__ == "__main__":
    chosen = harness.options(__doc__ or "")
    print(harness.headline("torch"))
    for make_table in (training, inference):
        print(make_table(chosen))
