"""The quantiser, the calibrators and the layers of the twin give the original's recorded answers and gradients."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pytorch_quantization_c.torch import calib, nn
from pytorch_quantization_c.torch.tensor_quant import QuantDescriptor

from ...reference import test_calibrate_weights as weight_cases
from ...reference import test_histogram_calibrator as histogram_cases
from ...reference import test_layers as layer_cases
from ...reference import test_max_calibrator as max_cases
from ...reference import test_tensor_quantizer as quantizer_cases
from ...reference.cases import Case, Outcome, attempt, cases, check
from .recorded import arrays, case_id, tensor, tensors


def perform(quantizer: nn.TensorQuantizer, step: dict[str, Any], given: dict[str, Any], outcome: Outcome) -> None:
    do = step["do"]
    if do == "forward":
        x = given[step["x"]].clone().requires_grad_("grad" in step)
        y = outcome.outputs[step["y"]] = quantizer(x)
        if "grad" in step:
            y.backward(given[step["grad"]])
            outcome.outputs.update({f"grad:{name}": each.grad for name, each in quantizer.named_parameters()})
            outcome.outputs["grad:" + step["x"]] = x.grad
    elif do == "call":
        getattr(quantizer, step["method"])(*step["args"], **step["kwargs"])
    elif do == "set":
        setattr(quantizer, step["attr"], step["value"])
    elif do == "get":
        outcome.values[step["as"]] = outcome.outputs[step["as"]] = getattr(quantizer, step["attr"])
    elif do == "repr":
        outcome.values[step["as"]] = quantizer.extra_repr()
    else:
        state = {name: torch.tensor(value, dtype=torch.float32) for name, value in step["state"].items()}
        quantizer.load_state_dict(state, strict=step["strict"])


def quantizer_steps(case: Case, given: dict[str, Any]) -> Outcome:
    outcome, args, inputs = Outcome(), case.args, tensors(given)
    quantizer = attempt(outcome, -1, lambda: nn.TensorQuantizer(QuantDescriptor(**args["desc"]), **args["ctor"]))
    for number, step in enumerate(args["steps"]):
        if outcome.error is None:
            attempt(outcome, number, lambda step=step: perform(quantizer, step, inputs, outcome))
    if outcome.error is None:
        state = quantizer.state_dict()
        outcome.values["extra_repr at the end"] = quantizer.extra_repr()
        outcome.values["state_dict"] = [[name, list(each.shape), str(each.dtype)] for name, each in state.items()]
        outcome.outputs.update({f"state:{name}": each for name, each in state.items()})
    return arrays(outcome)


@pytest.mark.parametrize("case", cases("05_tensor_quantizer"), ids=str)
def test_tensor_quantizer(case: Case) -> None:
    dynamic = quantizer_cases.dynamic
    check(case, quantizer_steps, {"D4": dynamic, "D5": quantizer_cases.unshared, "D6": quantizer_cases.refused,
                                  "D14": dynamic, "D15": dynamic, "D21": quantizer_cases.step_of_e4m3, "D22": dynamic,
                                  "D30": quantizer_cases.axis_refused})


def max_calibrator(case: Case, given: dict[str, Any]) -> Outcome:
    outcome, calibrator = Outcome(), calib.MaxCalibrator(**case.args)

    def collect() -> None:
        for batch in tensors(given).values():
            calibrator.collect(batch)

    attempt(outcome, None, collect)
    if outcome.error is None:
        if case.call.endswith(":reset"):
            calibrator.reset()
        outcome.outputs["amax"] = outcome.values["amax"] = calibrator.compute_amax()
        if case.args.get("track_amax"):
            outcome.outputs.update({f"amaxs[{i}]": tracked for i, tracked in enumerate(calibrator.amaxs)})
        outcome.values.update(str=str(calibrator), repr=repr(calibrator))
    return arrays(outcome)


@pytest.mark.parametrize("case", cases("06_calibrators", "calib.Max"), ids=str)
def test_max_calibrator(case: Case) -> None:
    check(case, max_calibrator, {"D5": max_cases.own_amax})


COMPUTED = [case for case in cases("06_calibrators", "calib.Hist") if case.call.endswith(":compute_amax")]


@pytest.mark.parametrize("case", [case for case in COMPUTED if "raises" not in case.note][::3], ids=str)
def test_histogram_calibrator(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    class Collecting(calib.HistogramCalibrator):
        """Takes the arrays of the replay as tensors, and gives an array back."""

        def collect(self, x: Any) -> None:
            super().collect(tensor(x))

        def compute_amax(self, *args: Any, **kwargs: Any) -> Any:
            amax = super().compute_amax(*args, **kwargs)
            assert amax is None or isinstance(amax, torch.Tensor)
            return amax if amax is None else amax.numpy()

    monkeypatch.setattr(histogram_cases, "HistogramCalibrator", Collecting)
    check(case, histogram_cases.replay, histogram_cases.EXPECTED)


def run(layer: Any, case: Case, given: dict[str, Any], outcome: Outcome) -> None:
    layer_cases.set_up(layer, case, given)
    x = given["input"].clone().requires_grad_()
    hidden = [(given["h0"], given["c0"])] if "h0" in given else []
    got = layer(x, *hidden, **case.args["forward"])
    first = got[0] if isinstance(got, tuple) else got
    if case.call == "nn.QuantLSTM":
        outcome.outputs.update(output=got[0], h=got[1][0], c=got[1][1])
    else:
        names = ("h", "c") if case.call == "nn.QuantLSTMCell" else ("output", "indices")
        outcome.outputs.update(zip(names, got if isinstance(got, tuple) else (got,), strict=False))
    if "grad_output" in given and first.shape == given["grad_output"].shape:
        first.backward(given["grad_output"])
        outcome.outputs.update({"grad:input": x.grad, **{f"grad:{n}": p.grad for n, p in layer.named_parameters()}})
    for which, value in (("input", given["input"]), ("weight", getattr(layer, "weight", None))):
        if f"quant_{which}" in case.entry["outputs"]:
            outcome.outputs[f"quant_{which}"] = getattr(layer, which + "_quantizer")(value)
    outcome.outputs.update({"after:" + name: each for name, each in layer.state_dict().items() if "running" in name})


def layer(case: Case, given: dict[str, Any]) -> Outcome:
    outcome, make = Outcome(), getattr(nn, case.call.removeprefix("nn."))
    made = attempt(outcome, "construction", lambda: make(**case.args["ctor"], **layer_cases.descriptors(case.args)))
    if outcome.error is None:
        attempt(outcome, "forward", lambda: run(made, case, tensors(given), outcome))
    missing = [name for name in case.entry["outputs"] if name.startswith("grad:") and outcome.error is None
               and outcome.outputs.get(name) is None and "output" in outcome.outputs
               and outcome.outputs["output"].shape == np.shape(given["grad_output"])]
    assert not missing, f"no gradient: {missing}"
    return arrays(outcome)


@pytest.mark.parametrize("case", layer_cases.ALL, ids=case_id)
def test_layers(case: Case) -> None:
    check(case, layer, {"D11": layer_cases.padded_as_a_float_layer, "D34": layer_cases.projected})


def weights(case: Case, given: dict[str, Any]) -> Outcome:
    outcome, options = Outcome(), dict(case.args)
    model = torch.nn.Module()
    for name, kind, ctor in options.pop("model"):
        setattr(model, name, getattr(nn, kind)(**ctor))
    model.load_state_dict({name.removeprefix("state:"): value for name, value in tensors(given).items()})
    attempt(outcome, None, lambda: calib.calibrate_weights(model, **options))
    for name, _, _ in case.args["model"]:
        outcome.outputs[f"{name}.weight_quantizer.amax"] = getattr(model, name).weight_quantizer.amax
    return arrays(outcome)


@pytest.mark.parametrize("case", cases("08_calibrate_weights"), ids=str)
def test_calibrate_weights(case: Case) -> None:
    check(case, weights, {"D10": weight_cases.works})
