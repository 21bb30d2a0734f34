"""Saving a Module as a state dictionary and loading it, with torch's strict errors."""
from __future__ import annotations

from collections import OrderedDict, namedtuple
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._core.errors import shown
from .parameter import Parameter, as_plain

__all__ = ["IncompatibleKeys", "StateDict"]

EXTRA_STATE = "_extra_state"


class IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What `load_state_dict` returns: missing and unexpected keys."""

    __slots__ = ()

    def __repr__(self) -> str:
        return super().__repr__() if self.missing_keys or self.unexpected_keys else "<All keys matched successfully>"

    __str__ = __repr__


class StateDict:
    """The part of Module that saves and loads. Names and call order are torch's, so overrides carry over."""

    _version: int = 1
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, np.ndarray[Any, Any] | None]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: set[str]

    def _persistent(self) -> dict[str, np.ndarray[Any, Any]]:
        buffers = {name: value for name, value in self._buffers.items() if name not in self._non_persistent_buffers_set}
        return {name: value for name, value in {**self._parameters, **buffers}.items() if value is not None}

    def get_extra_state(self) -> Any:
        """Override, together with `set_extra_state`, to keep more than arrays in the state dictionary."""
        return None

    def set_extra_state(self, state: Any) -> None:
        """Receives what `get_extra_state` returned; the base class keeps nothing."""

    def _keeps_extra_state(self) -> bool:
        return type(self).get_extra_state is not StateDict.get_extra_state

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """Writes this module's own entries, not its children's. Override to change what is saved."""
        for name, value in self._persistent().items():
            destination[prefix + name] = value if keep_vars else as_plain(value)
        if self._keeps_extra_state():
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

    def state_dict(self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """All parameters and persistent buffers by their full names.

        The arrays share memory with the module: copy them (`copy.deepcopy`) to keep them from changing.
        `keep_vars=True` leaves Parameters as they are instead of giving plain arrays.
        """
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = {"version": self._version}
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, child in self._modules.items():
            if child is not None:
                child.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        return destination

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, local_metadata: Mapping[str, Any],
                              strict: bool, missing_keys: list[str], unexpected_keys: list[str],
                              error_msgs: list[str]) -> None:
        """Loads this module's own entries, not its children's; problems are appended to the three lists.

        Override to accept other shapes or names. `local_metadata["version"]` is the `_version` of the class that
        saved, if known; `local_metadata["assign_to_params_buffers"]` is `load_state_dict`'s `assign`.
        """
        assign = bool(local_metadata.get("assign_to_params_buffers", False))
        own = self._persistent()
        for name, value in own.items():
            key = prefix + name
            if key not in state_dict:
                if strict:
                    missing_keys.append(key)
                continue
            problem = self._load_one(name, value, state_dict[key], assign)
            if problem:
                error_msgs.append(problem.format(key=key))
        if self._keeps_extra_state():
            self._load_extra_state(state_dict, prefix + EXTRA_STATE, strict, missing_keys)
        if strict:
            known = {*own, *self._modules, EXTRA_STATE}
            unexpected_keys += [key for key in state_dict
                                if key.startswith(prefix) and self._is_stray(key[len(prefix):], known)]

    def _is_stray(self, name: str, known: set[str]) -> bool:
        head = name.split(".", 1)[0]
        if head == EXTRA_STATE:
            return not self._keeps_extra_state()
        return head not in known or (head != name and head not in self._modules)

    def _load_extra_state(self, state_dict: Mapping[str, Any], key: str, strict: bool, missing_keys: list[str]) -> None:
        if key in state_dict:
            self.set_extra_state(state_dict[key])
        elif strict:
            missing_keys.append(key)

    def _load_one(self, name: str, own: np.ndarray[Any, Any], given: Any, assign: bool) -> str:
        """Copies `given` into `own`; returns a message with a place for the key if that is impossible, else ""."""
        if given is own:
            return ""
        if not isinstance(given, np.ndarray | np.generic | float | int):
            return ('While copying the parameter named "{key}", expected an array from the checkpoint, '
                    f"got {type(given).__name__}" + (": pass its .numpy()" if hasattr(given, "numpy") else ""))
        array = np.asarray(as_plain(given))
        if array.shape != own.shape:
            return (f"size mismatch for {{key}}: copying a param with shape {array.shape} from checkpoint, "
                    f"the shape in current model is {own.shape}.")
        if not assign:
            try:
                np.copyto(own, array, casting="unsafe")
            except (ValueError, TypeError) as problem:
                return f'While copying the parameter named "{{key}}", {_escape(str(problem))}'
        elif isinstance(own, Parameter):
            flag = getattr(given, "requires_grad", own.requires_grad)
            self._parameters[name] = Parameter(array, flag)
        else:
            self._buffers[name] = array
        return ""

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True,
                        assign: bool = False) -> IncompatibleKeys:
        """Copies the arrays of `state_dict` into this module and its children, keeping the types they have here.

        Args:
            state_dict: full names to arrays, as `state_dict()` gives them.
            strict: missing and unexpected keys are errors, not only returned.
            assign: put the given arrays in place of the module's, keeping their types.

        Raises:
            TypeError: `state_dict` is not a mapping.
            RuntimeError: one error that lists all missing keys, unexpected keys and mismatched shapes.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        stray = next((key for key in state_dict if not isinstance(key, str)), None)
        if stray is not None:
            raise TypeError(f"Expected names as keys of state_dict, got {shown(stray)}")
        metadata = getattr(state_dict, "_metadata", {})
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []

        def load(module: StateDict, prefix: str, entries: Mapping[str, Any]) -> None:
            local = {**metadata.get(prefix[:-1], {}), "assign_to_params_buffers": assign}
            module._load_from_state_dict(entries, prefix, local, True, missing, unexpected, errors)
            for name, child in module._modules.items():
                if child is not None:
                    start = f"{prefix}{name}."
                    load(child, start, {key: value for key, value in entries.items() if key.startswith(start)})

        load(self, "", OrderedDict(state_dict))
        if strict:
            listed = [("Missing", missing), ("Unexpected", unexpected)]
            errors[:0] = [kind + " key(s) in state_dict: " + ", ".join(f'"{key}"' for key in keys) + ". "
                          for kind, keys in listed if keys]
        if errors:
            raise RuntimeError("\n\t".join([f"Error(s) in loading state_dict for {type(self).__name__}:", *errors]))
        return IncompatibleKeys(missing, unexpected)


def _escape(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
