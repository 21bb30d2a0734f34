"""Imports of the package run one way, and a file takes a name from the module that has it; read off the source."""
from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "pytorch_quantization_c"
FRONTS = ("calib", "nn", "tensor_quant", "quant_modules", "optim", "float_nn", "torch", "graph", "methods")
#: What each of these may not import, at the top of a file: they stand below it.
ABOVE = {"_core": ("model", *FRONTS), "integer": ("model", *FRONTS), "model": FRONTS, "calib": ("nn", "quant_modules"),
         "float_nn": ("nn", "calib", "model", "graph", "torch"), "torch/calib": ("torch.nn", "torch.quant_modules")}
#: The packages of `graph`, each with those below it; `nodes` and `errors` stand beside them.
ROOMS = ("representation", "passes", "placement", "files", "interpreter", "calibration", "program", "analysis",
         "methods", "tracing", "search", "commands")
ALIASES = ("calibration", "layer_sensitivity", "quant_state", "summary", "integer.frozen")  # deprecated names


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    assert len(found) > 100
    return found


MODULES = modules()


def imports(body: Iterable[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that run when a file is imported: not those in functions, nor those for types alone."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If):
            types_alone = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
            yield from imports(node.orelse if types_alone else [*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            yield from imports([*node.body, *(each for handler in node.handlers for each in handler.body)])


def taken(name: str) -> Iterator[tuple[str, str]]:
    """The modules that a module takes names from, and each name; a module taken as a whole is (module, "")."""
    path = MODULES[name]
    for node in imports(ast.parse(path.read_text()).body):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
            continue
        package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        above = package[:len(package) - node.level + 1] if node.level else []
        home = ".".join([*above, *([node.module] if node.module else [])])
        for alias in node.names:
            whole = f"{home}.{alias.name}"
            yield (whole, "") if whole in MODULES else (home, alias.name)


def edges(name: str) -> set[str]:
    """What Python imports for a module: other modules of the package, and the packages around those."""
    found = set()
    for home, _ in taken(name):
        if home in MODULES:
            parts = home.split(".")
            around = [".".join(parts[:count]) for count in range(1, len(parts))]
            found |= {home, *(each for each in around if not f"{name}.".startswith(f"{each}."))}
    return found - {name}


def defined(name: str) -> set[str]:
    """The names that a module makes itself."""
    body = ast.parse(MODULES[name].read_text()).body
    made = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return made | {target.id for node in body if isinstance(node, ast.Assign) for target in node.targets
                   if isinstance(target, ast.Name)}


def test_there_is_no_circle() -> None:
    try:
        TopologicalSorter({name: edges(name) for name in MODULES}).prepare()
    except CycleError as problem:
        pytest.fail(f"{' <- '.join(problem.args[1])}")


def test_a_circle_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("a", "from .b import x\n"), ("b", "if True:\n    from . import a\nx = 1\n")):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.setitem(MODULES, f"{PACKAGE}.{name}", tmp_path / f"{name}.py")
    with pytest.raises(pytest.fail.Exception, match=r"\.a <- .*\.b|\.b <- .*\.a"):
        test_there_is_no_circle()


def test_names_are_taken_from_the_module_that_has_them() -> None:
    """A package that passes a name of one of its modules on does so for users; `__init__` and aliases do that."""
    offences = [f"{name}: {attribute} from {home}" for name in MODULES for home, attribute in taken(name)
                if attribute and home in MODULES and MODULES[home].name == "__init__.py"
                and attribute not in defined(home) and attribute != "_C"]
    assert not offences


@pytest.mark.parametrize("below", ABOVE)
def test_what_stands_below_imports_nothing_from_above(below: str) -> None:
    start = f"{PACKAGE}.{below.replace('/', '.')}"
    seen, offences = 0, []
    for name in MODULES:
        if f"{name}.".startswith(f"{start}.") and name.removeprefix(f"{PACKAGE}.") not in ALIASES:
            seen += 1
            offences += [f"{name}: {home}" for home, _ in taken(name)
                         if f"{home}.".startswith(tuple(f"{PACKAGE}.{each}." for each in ABOVE[below]))]
    assert seen > 3 and not offences


def test_packages_of_graph_stand_on_each_other() -> None:
    graph = f"{PACKAGE}.graph."
    def folders(path: Path) -> set[str]:
        return {each.name for each in path.iterdir() if each.is_dir()} - {"__pycache__"}

    assert folders(ROOT / PACKAGE / "graph") == set(ROOMS)
    assert folders(ROOT / "tests" / "graph") - {"fuzz"} <= set(ROOMS), "a test is in the folder of the same name"
    offences = []
    for name in MODULES:
        room = name.removeprefix(graph).partition(".")[0]
        if name.startswith(graph) and room in ROOMS:
            above = {home.removeprefix(graph).partition(".")[0] for home, _ in taken(name) if home.startswith(graph)}
            offences += [f"{name}: {each}" for each in above if each in ROOMS[ROOMS.index(room) + 1:]]
    assert not offences
