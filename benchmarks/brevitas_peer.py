"""Brevitas on ONNX files, through onnx2torch; needs both, and torch.

onnx2torch imports torchvision for NonMaxSuppression and RoiAlign. Where torchvision does not load, as its wheel for
CUDA beside a torch for CPUs, empty modules stand in, and models with those operators fail.
"""
from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

Feeds = list[dict[str, Any]]
Outputs = list[list[Any]]
PERCENTILE = 99.999     # of activations, the default of brevitas' own examples


def converted(path: Path) -> Any:
    """The model as a torch module."""
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        for name in [each for each in sys.modules if each.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        sys.modules["torchvision"], operators = ModuleType("torchvision"), ModuleType("torchvision.ops")
        sys.modules["torchvision.ops"] = operators
        vars(operators)["roi_align"] = None
    import onnx2torch

    return onnx2torch.convert(str(path)).eval()


def by_brevitas(model: Path, calibration: Feeds, test: Feeds, bits: int, gptq: bool) -> Outputs:
    """Layers' inputs of 8 bits with zero points, weights with a range a channel; equalization, bias correction."""
    import torch
    from brevitas.graph.calibrate import bias_correction_mode, calibration_mode
    from brevitas.graph.gptq import gptq_mode
    from brevitas.graph.quantize import preprocess_for_quantize
    from brevitas_examples.imagenet_classification.ptq.ptq_common import quantize_model

    names = list(calibration[0])

    def run(module: Any, feeds: Iterable[dict[str, Any]]) -> Outputs:
        found = []
        with torch.no_grad():
            for each in feeds:
                answer = module(*(torch.from_numpy(each[name]) for name in names))
                answers = answer if isinstance(answer, tuple | list) else (answer,)
                found.append([y.numpy() for y in answers if y is not None])     # GPTQ ends calls early
        return found

    prepared = preprocess_for_quantize(converted(model), trace_model=False, equalize_iters=20)
    quantized = quantize_model(
        prepared, backend="layerwise", weight_bit_width=bits, act_bit_width=8, bias_bit_width=None,
        weight_quant_granularity="per_channel", act_quant_percentile=PERCENTILE, act_quant_type="asym",
        scale_factor_type="float_scale", quant_format="int", layerwise_first_last_bit_width=8)
    run(quantized, calibration[:1])
    with torch.no_grad(), calibration_mode(quantized):
        run(quantized, calibration)
    if gptq:
        with torch.no_grad(), gptq_mode(quantized, act_order=True, use_quant_activations=False) as each:
            for _ in range(each.num_layers):
                run(each.model, calibration)
                each.update()
    with torch.no_grad(), bias_correction_mode(quantized):
        run(quantized, calibration)
    return run(quantized, test)
