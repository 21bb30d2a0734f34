"""A layer with an integer engine: how the engine is pickled, copied and stored in states."""
from __future__ import annotations

import copy
from typing import Any

from .integer_engine import IntegerEngine
from .integer_state import KEYS, state_of

__all__ = ["EngineOfLayer", "IntegerLayer"]


class EngineOfLayer:
    """The attribute `_engine` of a layer: made when it is first asked for, then an attribute of the layer's own."""

    def __init__(self, engine: type[IntegerEngine[Any]]) -> None:
        self.engine = engine

    def __get__(self, layer: object, owner: type) -> Any:
        if layer is None:
            return self
        return vars(layer).setdefault("_engine", self.engine())


class IntegerLayer:
    """Mixin of the layers with an input and a weight quantiser: the engine's share of pickles, copies and states.

    `execution` says how the last call was computed: "int8", or "float: " and why; "auto" before the first.
    """

    _engine: Any

    @property
    def execution(self) -> str:
        """How the last call was computed: "int8", or "float: " and why; "auto" before the first."""
        engine = vars(self).get("_engine")
        return "auto" if engine is None else engine.execution

    def _quantized_weight(self, input: object) -> Any:
        """The weight as the float path multiplies it with `input`."""
        return self._engine.float_weight(self, input)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)  # type: ignore[misc]
        engine = vars(self).get("_engine")
        if engine is not None and engine.has_no_float(self):
            destination.update((prefix + name, engine.from_numpy(array))
                               for name, array in state_of(engine.frozen.weight).items())

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool,
                              missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str]) -> None:
        """Integers in the place of a weight make the layer a frozen one; nothing is quantised again."""
        state_dict, engine = dict(state_dict), self._engine
        engine.before_load(self, state_dict, prefix, bool(local_metadata.get("assign_to_params_buffers")), error_msgs)
        state = {name: state_dict.pop(prefix + name) for name in KEYS if prefix + name in state_dict}
        if state:
            problem = engine.load(self, state)
            if problem:
                error_msgs.append(f"integer weight of {prefix[:-1] or 'the layer'}: {problem}")
                present = self._parameters.get("weight")  # type: ignore[attr-defined]
                state_dict.update({} if present is None else {prefix + "weight": present})
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict,  # type: ignore[misc]
                                      missing_keys, unexpected_keys, error_msgs)
        engine.lock(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        parent = getattr(super(), "__setstate__", self.__dict__.update)
        parent(state)
        engine = vars(self).get("_engine")
        if engine is not None:
            engine = vars(self)["_engine"] = copy.copy(engine)  # a shallow copy of a layer has an engine of its own
            engine.lock(self)
