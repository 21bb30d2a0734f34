"""Replacing float classes by quantised ones in a package of layers.

Independent of the host: a table of entries says which name of which package stands for which quantised class.
"""
from __future__ import annotations

import functools
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from .errors import shown
from .lazy_logger import get_logger
from .switches import Block, Switch

__all__ = ["Entry", "ReplacementRules", "onnx_export"]

logger = get_logger(__name__)


class Entry(NamedTuple):
    """The class that `mod_name` of the package `orig_mod` is, or is to be."""

    orig_mod: Any
    mod_name: str
    replace_mod: Any


Custom = Iterable[Sequence[Any]] | None


def entries_of(custom: Custom) -> list[Entry]:
    """Entries from a user's (package, name, class) triples. TypeError, AttributeError for anything else."""
    found = []
    for item in custom or ():
        if not isinstance(item, tuple | list) or len(item) != 3 or not isinstance(item[1], str):
            raise TypeError("Expected `custom_quant_modules` to hold triples of a module, the name of a class in it "
                            f"and the class to put there, got {shown(item)}")
        getattr(item[0], item[1])
        found.append(Entry(*item))
    return found


def names_of(float_module_list: Iterable[str] | None) -> set[str]:
    """The names of a user's list. TypeError if it is one string, or holds anything else."""
    names = [] if float_module_list is None else float_module_list
    if isinstance(names, str) or not isinstance(names, Iterable) or not all(isinstance(name, str) for name in names):
        is_model = hasattr(float_module_list, "named_modules")
        raise TypeError("Expected `float_module_list` to be a list of names of classes, got "
                        + (f"the model {type(names).__name__}: replace(model) quantises one that exists" if is_model
                           else shown(float_module_list)))
    return set(names)


class ReplacementRules:
    """Replaces classes in the packages they are looked up in, and restores the originals.

    The packages are process-wide. Threads take turns, so that no original is lost.

    Args:
        table: what is replaced by default; the list itself, so that later additions count.
    """

    def __init__(self, table: list[Entry]) -> None:
        self._turn = threading.RLock()
        self._blocks: Switch[list[Entry]] | None = None  # while there are some
        self.default_quant_map = table
        self.quant_map: list[Entry] = []
        self.orginal_func_map: list[Entry] = []

    def prepare_state(self, float_module_list: Iterable[str] | None = None, custom_map: Custom = None) -> None:
        """Decides what to replace: the table without the names in `float_module_list`, then `custom_map`."""
        kept = names_of(float_module_list)
        for name in sorted(kept - {entry.mod_name for entry in self.default_quant_map}):
            logger.warning("float_module_list names %s, which is a float layer anyway", name)
        chosen = [entry for entry in self.default_quant_map if entry.mod_name not in kept] + entries_of(custom_map)
        with self._turn:
            self.restore_float_modules()
            self.quant_map = chosen

    def apply_quant_modules(self) -> None:
        """Replaces the classes, and remembers each original once."""
        with self._turn:
            for entry in self.quant_map:
                known = {(id(each.orig_mod), each.mod_name) for each in self.orginal_func_map}
                if (id(entry.orig_mod), entry.mod_name) not in known:
                    original = getattr(entry.orig_mod, entry.mod_name)
                    self.orginal_func_map.append(Entry(entry.orig_mod, entry.mod_name, original))
                setattr(entry.orig_mod, entry.mod_name, entry.replace_mod)

    def restore_float_modules(self) -> None:
        """Restores the originals; the pending replacements are forgotten."""
        with self._turn:
            for entry in self.orginal_func_map:
                setattr(entry.orig_mod, entry.mod_name, entry.replace_mod)
            self.orginal_func_map, self.quant_map = [], []

    def original(self, entry: Entry) -> Any:
        """The class under the name of `entry` when nothing is replaced."""
        with self._turn:
            for each in self.orginal_func_map:
                if each.orig_mod is entry.orig_mod and each.mod_name == entry.mod_name:
                    return each.replace_mod
            return getattr(entry.orig_mod, entry.mod_name)

    def initialize(self, float_module_list: Iterable[str] | None, custom_quant_modules: Custom) -> None:
        """Replaces what the arguments say, and only that: an earlier call is undone."""
        with self._turn:
            self.prepare_state(float_module_list, custom_quant_modules)
            self.apply_quant_modules()

    @contextmanager
    def quantized(self, float_module_list: Iterable[str] | None, custom_quant_modules: Custom) -> Iterator[None]:
        """`initialize` for the duration of a `with` block; the previous replacements are restored after it.

        The classes are process-wide. Where blocks of several threads overlap, the newest one counts, and
        when the last has ended, in whatever order, the state before the first is restored.
        """
        block = Block()
        try:
            with self._turn:
                before = self.quant_map
                self.prepare_state(float_module_list, custom_quant_modules)
                self._blocks = self._blocks or Switch(self._replace_only, before)
                self._blocks.enter(block, self.quant_map)
            yield
        finally:
            with self._turn:
                if self._blocks is not None:
                    self._blocks.leave(block)
                    if not self._blocks.is_asked:
                        self._blocks = None

    def _replace_only(self, entries: list[Entry]) -> None:
        self.restore_float_modules()
        self.quant_map = entries
        self.apply_quant_modules()

    def table(self, custom_quant_modules: Custom) -> dict[Any, Any]:
        """Float class to quantised class: the default table, then the user's triples."""
        return {self.original(entry): entry.replace_mod
                for entry in [*self.default_quant_map, *entries_of(custom_quant_modules)]}


EXPORT = "_enable_onnx_export"
_exports: dict[Any, Switch[bool]] = {}  # of each class of quantisers


@contextmanager
def onnx_export(quantizer_class: object) -> Iterator[None]:
    """Sets the export flag of a class of quantisers for the duration of a `with` block, exceptions included."""
    block = Block()
    switch = _exports.setdefault(quantizer_class, Switch(functools.partial(setattr, quantizer_class, EXPORT), False))
    try:
        switch.enter(block, True)
        yield
    finally:
        switch.leave(block)
