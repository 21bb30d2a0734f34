"""Every public name of the original is here, with the same parameters, properties and methods."""
from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Iterator
from typing import Any

import pytest

from .cases import DATA

API: dict[str, Any] = json.loads((DATA / "api.json").read_text())
PACKAGE = "pytorch_quantization_c"

# What the recorded signatures have more or less than ours, by name, and why that is no loss.
OTHER_SIGNATURES = {
    "compute_amax": "takes (method=None, **options) on every calibrator",
    "reset_logger_handler": "the standard library's logging has none to reset, the argument list is the same",
}


def module_names() -> list[str]:
    return [name for name in API if not name.startswith("(")]


def ours(module: str) -> Any:
    return importlib.import_module(f"{PACKAGE}.{module}")


def parameters(recorded: str) -> list[str]:
    """Names and defaults; the type of `self` and annotations do not count."""
    inner = recorded[1:recorded.rindex(")")]
    return [part.split(":")[0].split("=")[0].strip() for part in inner.split(",") if part.strip()]


def accepts(function: Any, recorded: str) -> bool:
    """Whether a call written for the recorded signature binds to ours."""
    known = inspect.signature(function).parameters
    if any(each.kind is each.VAR_KEYWORD for each in known.values()):
        return True
    wanted = [name for name in parameters(recorded) if name not in ("self", "cls", "*", "/")]
    return all(name.startswith("*") or name in known for name in wanted) and (
        [name for name in known if name in wanted] == [name for name in wanted if not name.startswith("*")])


def members() -> Iterator[Any]:
    for module in module_names():
        for name, entry in API[module]["names"].items():
            yield pytest.param(module, name, entry, id=f"{module}.{name}")


@pytest.mark.parametrize(("module", "name", "entry"), list(members()))
def test_name(module: str, name: str, entry: dict[str, Any]) -> None:
    found = getattr(ours(module), name)
    kind = entry["kind"]
    if kind in ("function", "alias") and "signature" in entry and name not in OTHER_SIGNATURES:
        assert accepts(found, entry["signature"]), f"{inspect.signature(found)} instead of {entry['signature']}"
    if kind == "class":
        for method, how in entry.get("methods", {}).items():
            if method == "__setstate__":
                continue        # torch's own way of unpickling
            assert callable(getattr(found, method))
            if "signature" in how and method not in OTHER_SIGNATURES:
                assert accepts(getattr(found, method), how["signature"]), f"{method}{how['signature']}"
        for attribute, how in entry.get("properties", {}).items():
            known = inspect.getattr_static(found, attribute)
            assert isinstance(known, property) and (known.fset is not None) == how["settable"], attribute
    if kind == "constant" and entry["type"] == "ScaledQuantDescriptor":
        assert str(found) == entry["value"]


@pytest.mark.parametrize("name", API["(package)"]["names"])
def test_name_of_the_package(name: str) -> None:
    assert getattr(importlib.import_module(PACKAGE), name) is not None
