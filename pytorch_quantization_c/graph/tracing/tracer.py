"""The tracer that layers, functions and quantisers consult while a trace runs."""
from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ... import _C
from ..._core import tracing
from ..._core.layer_rules import ConvTransposeRules, QuantRules
from ...nn.modules._integer import ArrayEngine
from ...nn.modules.quant_rnn import QuantRNNBase
from ...nn.modules.tensor_quantizer import TensorQuantizer
from . import norms, windows  # noqa: F401  (they register their recorders)
from .array import Traced, plain_all, traced_within
from .functions import call_recorded
from .layers import is_plain_recurrent, record_quantized_recurrent, record_recurrent
from .quantizers import record_quantizer, weight_of_frozen
from .recording import Recording
from .transposed import has_scales_of_groups, record_transposed_groups

__all__ = ["RunTracer", "tracing_with"]

class RunTracer:
    """Records the calls of one thread into one recording."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._thread = threading.get_ident()
        self._suspended = False

    def _is_mine(self) -> bool:
        return not self._suspended and threading.get_ident() == self._thread

    def _is_asked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        return self._is_mine() and next(traced_within((args, kwargs)), None) is not None

    def function(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """See `_core.tracing.Tracer`."""
        if not self._is_asked(args, kwargs):
            return function(*args, **kwargs)
        return call_recorded(self.recording, function, args, kwargs)

    def module(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """See `_core.tracing.Tracer`. A quantiser of a constant is recorded as well."""
        is_quantizer = isinstance(module, TensorQuantizer)
        if not (is_quantizer and self._is_mine()) and not self._is_asked(args, kwargs):
            return module.forward(*args, **kwargs)
        recording = self.recording
        with recording.inside(module):
            if is_quantizer:
                made = record_quantizer(recording, module, recording.scope[-1], *args, **kwargs)
            elif is_plain_recurrent(module):
                made = record_recurrent(recording, module, *args, **kwargs)
            elif isinstance(module, QuantRNNBase):
                real = self._really(module, args, kwargs)
                if module.execution != "int8":
                    return module.forward(*args, **kwargs)
                return recording.rebound(record_quantized_recurrent(recording, module, *args, **kwargs), real)
            elif isinstance(module, QuantRules) and hasattr(module, "_float_forward"):
                with recording.on_integers(module):
                    made = self._quantized_layer(module, args, kwargs)
                    return recording.rebound(made, self._really(module, args, kwargs))
            else:
                return module.forward(*args, **kwargs)
            return recording.rebound(made, self._really(module, args, kwargs))

    def _really(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The module's result without recording."""
        self._suspended = True
        try:
            return module.forward(*plain_all(args), **plain_all(kwargs))
        finally:
            self._suspended = False

    def _quantized_layer(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        recording = self.recording
        if not type(layer).forward.__module__.startswith("pytorch_quantization_c."):
            return layer.forward(*args, **kwargs)
        if isinstance(layer, ConvTransposeRules) and has_scales_of_groups(layer):
            return record_transposed_groups(recording, layer, *args, **kwargs)
        recording.frozen = weight_of_frozen(layer, recording.scope[-1])
        try:
            return layer._float_forward(*args, **kwargs)
        finally:
            recording.frozen = None


def _asking(function: Callable[..., Any]) -> Callable[..., Any]:
    """A C function that consults the tracer first."""
    @functools.wraps(function)
    def asking(*args: Any) -> Any:
        asked = tracing.tracer
        return function(*args) if asked is None else asked.function(function, args, {})
    return asking


@contextmanager
def _c_asks() -> Iterator[None]:
    """The functions in C, which look into any array, ask as well; by an exchange, as they are to cost nothing else."""
    functions = {name: value for name, value in vars(_C).items() if inspect.isbuiltin(value)}
    run = ArrayEngine.run

    def float_only(self: Any, layer: Any, input: Any, output_size: Any = None) -> Any:
        return None if isinstance(input, Traced) else run(self, layer, input, output_size)

    vars(_C).update({name: _asking(function) for name, function in functions.items()})  # pyright: ignore
    ArrayEngine.run = float_only  # type: ignore[method-assign]
    try:
        yield
    finally:
        vars(_C).update(functions)  # pyright: ignore
        ArrayEngine.run = run  # type: ignore[method-assign]


@contextmanager
def tracing_with(recording: Recording) -> Iterator[None]:
    """Calls of this thread are recorded; one trace of a process at a time."""
    with tracing.asking(RunTracer(recording)), np.errstate(all="ignore"), _c_asks():
        yield
