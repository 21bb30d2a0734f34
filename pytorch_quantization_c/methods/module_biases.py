"""Bias correction of a model's layers, one after the other, on what each is given by those corrected before it."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .bias_correction import MeanError, corrected_bias
from .gains import Gain
from .module_layers import Array, WeightLayer, numbers, renewed, watched

__all__ = ["correct_biases"]


def correct_biases(layers: list[WeightLayer], data: list[Any], run_float: Callable[[list[Any]], None],
                   run: Callable[[list[Any]], None]) -> list[Gain]:
    """Gives layers the biases with which their means over the data are those of the float model, in place.

    A layer's error is that of the quantised model, in which all layers before are corrected already: measured on inputs
    of the float model it would leave out what clipped inputs of the layers before have shifted, and count clipping that
    no longer happens. One batch is enough for that in one pass. With several, a layer's correction during the first
    pass is the mean so far; a second pass measures again with the corrections of the whole first pass.

    Args:
        layers: whose biases are corrected; without one they get one.
        run_float, run: the float model and the quantised one on some batches.

    Returns:
        By layer, what its correction takes off the noise on these inputs.
    """
    found = _Corrections(layers)
    for batch in data:
        found.measure(batch, run_float, run, adapts=True)
    if len(data) > 1 or found.repeats:
        found.begin_again()
        for batch in data:
            found.measure(batch, run_float, run, adapts=False)
    return found.settle()


class _Corrections:
    """Mean errors and corrections by layer, and the biases as they were.

    Attributes:
        repeats: whether a layer was called twice in a pass: its first call then did not know the whole error.
    """

    def __init__(self, layers: list[WeightLayer]) -> None:
        self.repeats = False
        self._layers = layers
        self._biases = {layer.name: layer.module.bias for layer in layers}
        self._amounts: dict[str, Any] = {}
        self._errors: dict[str, MeanError] = {}

    def begin_again(self) -> None:
        """Forgets the errors; corrections stay."""
        self._errors = {}

    def measure(self, batch: Any, run_float: Callable[[list[Any]], None], run: Callable[[list[Any]], None],
                adapts: bool) -> None:
        """Counts the errors of a batch; if it `adapts`, each layer is corrected as soon as its own is known."""
        expected: dict[str, list[Array]] = {}

        def keep(layer: WeightLayer, input: Any, call: Callable[[], Any]) -> Any:
            answer = call()
            expected.setdefault(layer.name, []).append(np.array(numbers(answer)))
            return answer

        def compare(layer: WeightLayer, input: Any, call: Callable[[], Any]) -> Any:
            answer, waiting = call(), expected.get(layer.name)
            got = numbers(answer)
            if not waiting or waiting[0].shape != got.shape:    # a `forward` that goes by what it computes
                return answer
            self.repeats |= len(waiting) > 1
            self._count(layer, waiting.pop(0), got)
            if not adapts:
                return answer
            self._amounts[layer.name] = self._errors[layer.name].sure_mean()
            self._give(layer)
            return call()

        corrected = [layer.module.bias for layer in self._layers]
        for layer in self._layers:
            layer.module.bias = self._biases[layer.name]
        with watched(self._layers, keep):
            run_float([batch])
        for layer, bias in zip(self._layers, corrected, strict=True):
            layer.module.bias = bias
        with watched(self._layers, compare):
            run([batch])

    def _count(self, layer: WeightLayer, wanted: Array, got: Array) -> None:
        """Adds the error without a correction."""
        axis = layer.channel_axis(got)
        amount = self._amounts.get(layer.name)
        if amount is not None:
            got = got - amount.reshape([-1 if at == axis else 1 for at in range(got.ndim)])
        self._errors.setdefault(layer.name, MeanError(axis)).add(wanted, got)

    def _give(self, layer: WeightLayer) -> None:
        bias = self._biases[layer.name]
        fixed = corrected_bias(None if bias is None else numbers(bias), self._amounts[layer.name])
        layer.module.bias = renewed(layer.module.weight if bias is None else bias, fixed)

    def settle(self) -> list[Gain]:
        """Corrects by all that was counted."""
        gains = []
        for layer in self._layers:
            error = self._errors.get(layer.name)
            if error is not None and error.count:
                self._amounts[layer.name] = error.sure_mean()
                self._give(layer)
                gains.append(Gain("bias_correction", layer.name, *error.decibels()))
        return gains
