"""torch modules that run as programs."""
from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.nn import Module

from .._core.structure import filled, leaves_of, template
from ..graph.extra import require_extra
from ..graph.session import Session
from .quant_modules import enable_onnx_export

__all__ = ["CompiledModule", "compile"]

OPSET = 21  # the first with integers of 4 and 16 bits


class CompiledModule(Module):
    """A module as a program that tensors go through; without gradients, and without parameters.

    Attributes:
        session: what runs it; `session.summary()` says how.
    """

    def __init__(self, session: Session, answer: Any, signature: inspect.Signature, args: tuple[Any, ...]) -> None:
        super().__init__()
        self.session = session
        self._names = [each.name for each in session.get_inputs()]
        self._signature, self._arguments = signature, template(_bound(signature, args, {}), _is_tensor)
        self._structure = template(answer, _is_tensor)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The answer of the module, on the device of the first tensor.

        Raises:
            TypeError: other tensors than the module has been exported with, or other values of other arguments.
            ValueError: tensors of another type, or of a shape that the module was not exported for.
        """
        given = _bound(self._signature, args, kwargs)
        tensors = [each for each in leaves_of(given) if _is_tensor(each)]
        if len(tensors) != len(self._names):
            raise TypeError(f"Expected {len(self._names)} tensors, got {len(tensors)}")
        if template(given, _is_tensor) != self._arguments:
            raise TypeError("Expected the arguments that the module has been compiled with, but for the tensors")
        device = tensors[0].device if tensors else torch.device("cpu")
        feeds = {name: _array(tensor) for name, tensor in zip(self._names, tensors, strict=True)}
        results = self.session.run(None, feeds)
        return filled(self._structure, (torch.from_numpy(np.ascontiguousarray(each)).to(device) for each in results))

    def extra_repr(self) -> str:
        return repr(self.session)


def _bound(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """The arguments in the order of the signature. TypeError as for a call."""
    found = signature.bind(*args, **kwargs)
    found.apply_defaults()
    return (*found.args, *(found.kwargs[name] for name in sorted(found.kwargs)))


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def _array(tensor: torch.Tensor) -> Any:
    try:
        return tensor.detach().cpu().contiguous().numpy()
    except (TypeError, RuntimeError) as error:
        raise TypeError(f"Expected tensors of a type that NumPy has, got {tensor.dtype}: {error}") from None


@contextlib.contextmanager
def _evaluating(module: Module) -> Iterator[None]:
    """The module in evaluation mode, and the exporter's own warnings left to itself."""
    modes = [(each, each.training) for each in module.modules()]
    module.eval()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        for each, mode in modes:
            each.training = mode


def _doubled(args: Any) -> tuple[Any, Any]:
    """The arguments with a batch of two at least, as the exporter takes a batch of one for fixed; and which axes vary.
    """
    tensors = [each for each in leaves_of(args) if _is_tensor(each)]
    batches = {each.shape[0] if each.dim() else 0 for each in tensors}
    if len(batches) != 1 or 0 in batches:
        return args, None
    shape, axes = template(args, _is_tensor), {0: torch.export.Dim.AUTO}
    twice = filled(shape, (torch.cat([each, each]) if len(each) == 1 else each for each in tensors))
    return twice, filled(template(args, lambda each: True), (axes if _is_tensor(each) else None for each in
                                                             leaves_of(args)))


def _exported(module: Module, args: tuple[Any, ...], dynamic_shapes: Any) -> bytes:
    shapes = dynamic_shapes
    if dynamic_shapes is None:
        args, shapes = _doubled(args)
    with enable_onnx_export():
        program = torch.onnx.export(module, args, None, dynamo=True, verbose=False, dynamic_shapes=shapes,
                                    opset_version=OPSET)
    assert program is not None
    data: bytes = program.model_proto.SerializeToString()
    return data


def compile(module: Module, args: tuple[Any, ...], *, dynamic_shapes: Any = None,
            num_threads: int | None = None) -> CompiledModule:
    """A module, quantised layers included, as one program: exported to ONNX in memory, in evaluation mode, compiled.

    Ranges and weights that change later do not count. Ranges go through the steps of ONNX, so that a value next to a
    tie may be rounded to the other neighbour than in the module.

    Args:
        module: what `torch.onnx.export` takes. Its quantisers need ranges, as for every export.
        args: its arguments: a tuple with tensors.
        dynamic_shapes: as that of `torch.export.export`; None: the first axis of every tensor is a batch of any size.
        num_threads: how many threads a call may use; None: as `threads.set_num_threads` says at that time.

    Returns:
        A module without parameters, that is called like `module`.

    Raises:
        ImportError: the extra `onnx` is missing.
        TypeError: no module, or arguments that are no tuple.
        RuntimeError, ValueError: what the exporter refuses, or a quantiser that ONNX has no nodes for.
        GraphError: a node that cannot be run.
    """
    require_extra("compile")
    if not isinstance(module, Module) or not isinstance(args, tuple):
        raise TypeError("Expected `module` to be a torch.nn.Module and `args` a tuple, got "
                        f"{type(module).__name__} and {type(args).__name__}")
    with _evaluating(module):
        answer = module(*args)
        data = _exported(module, args, dynamic_shapes)
    return CompiledModule(Session(data, num_threads), answer, inspect.signature(module.forward), args)
