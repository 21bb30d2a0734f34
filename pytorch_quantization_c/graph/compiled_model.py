"""Models of NumPy arrays that run as programs."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .._core.files import FilePath
from .._core.structure import filled, template
from .extra import require_extra
from .session import Session

__all__ = ["CompiledModel", "compile"]


class CompiledModel:
    """A model as a program: called like the model, with bit-identical results.

    Attributes:
        session: what runs it; `session.summary()` says how.
    """

    def __init__(self, session: Session, answer: Any) -> None:
        self.session = session
        self._structure = template(answer, lambda each: each is not None)
        self._names = [each.name for each in session.get_inputs()]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The result of the model, in its own tuples, lists and dictionaries.

        Raises:
            TypeError: other arguments than the model has been traced with.
            ValueError: arrays of another type, or of a shape that the model was not traced for.
        """
        if len(args) > len(self._names) or kwargs.keys() & set(self._names[:len(args)]):
            raise TypeError(f"Expected arguments {', '.join(self._names)} once each, got {len(args)} by position and "
                            f"{', '.join(kwargs) or 'none'} by name")
        results = self.session.run(None, {**dict(zip(self._names, args, strict=False)), **kwargs})
        return filled(self._structure, iter(results))

    def save(self, path: FilePath) -> None:
        """Writes the program: see `graph.Session.save`."""
        self.session.save(path)

    def __repr__(self) -> str:
        return f"CompiledModel({self.session})"


def compile(net: Callable[..., Any], x: Any, *, batch_axis: int | None = 0,
            num_threads: int | None = None) -> CompiledModel:
    """A model of NumPy arrays, quantised layers included, as one program.

    The model is traced (see `graph.trace`) as it is at this moment: ranges and weights that change later do not count.

    Args:
        net: a `float_nn.Module` in evaluation mode, or any function of arrays.
        x: an array as the model takes it, a tuple of arrays for several inputs, or a dictionary of them by name.
        batch_axis: the axis of the inputs that the batch lies on; None: they have no batch.
        num_threads: how many threads a call may use; None: as `threads.set_num_threads` says at that time.

    Returns:
        A callable with the model's arguments and bits, for any batch, and for other sizes where the model allows.

    Raises:
        ImportError: the extra `onnx` is missing.
        TraceError: something that a graph cannot hold, with its place in the model's code.
        TypeError, ValueError: `num_threads` is not a number of threads.
    """
    require_extra("trace")
    from .tracing import trace

    session = Session(trace(net, x, batch_axis=batch_axis), num_threads)
    given = x.values() if isinstance(x, Mapping) else x if isinstance(x, tuple) else (x,)
    arrays = [each if isinstance(each, np.ndarray) else np.asarray(each) for each in given]
    answer = net(**dict(zip(x, arrays, strict=True))) if isinstance(x, Mapping) else net(*arrays)
    return CompiledModel(session, answer)
