"""Rules of CONTRIBUTING that a compiler does not know, checked over the source tree as text."""
from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from pytorch_quantization_c import _C

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("csrc", "pytorch_quantization_c", "tests", "benchmarks", "examples", "docs")
FLOORS = ("kernels", "runtime", "operators", "program", "python")  # each includes itself and what is below
ISAS = "scalar|avx2|avxvnni|avx512|vnni|amx|neon|dotprod"
LONGEST_FILE = 500
LONGEST_COMMENT = 132
LONGEST_GLUE_FUNCTION = 40
RELEASE, ACQUIRE = r"(?:Py_BEGIN_ALLOW_THREADS|= pqc_release_gil)", r"(?:Py_END_ALLOW_THREADS|pqc_acquire_gil)"
NEEDS_GIL = r"\b(return|goto)\b|\bPy_\w+\s*\(|\bPy(Err|Object|List|Tuple|Mem|Long|Float)_\w+\s*\(|\bpqc_raise\b"
MARKS = ("TO" "DO", "FIX" "ME", "XX" "X", "raise NotImplemented" "Error", r"mark\.sk" "ip", r"mark\.xf" "ail")
UNFINISHED = rf"\b({'|'.join(MARKS)})\b"
LIBRARY_CALLS = r"\b(malloc|calloc|realloc|free|alloca|printf|fprintf|puts|abort|exit)\s*\("


def sources(*suffixes: str, under: str | None = None) -> list[Path]:
    folders = FOLDERS if under is None else (under,)
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*")) if path.suffix in suffixes]
    assert found, f"no {suffixes} under {folders}: the rule would check nothing"
    return found


def below_python(*suffixes: str) -> list[Path]:
    return [path for floor in FLOORS[:-1] for path in sources(*suffixes, under=f"csrc/{floor}")]


def offences(paths: list[Path], pattern: str | re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(pattern, line)
    ]


def functions(path: Path) -> Iterator[tuple[str, int, str]]:
    """(name, line, body) of every function of a C file laid out by clang-format: `{` and `}` in the first column."""
    lines = path.read_text().splitlines()
    start = None
    for number, line in enumerate(lines):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            header = next(text for text in reversed(lines[:start]) if "(" in text and not text.startswith(" "))
            yield header.split("(")[0].split()[-1].lstrip("*"), start + 1, "\n".join(lines[start:number + 1])
            start = None


def test_files_are_short() -> None:
    counts = {path: len(path.read_text().splitlines()) for path in sources(".c", ".h", ".py", ".pyi")}
    assert not [f"{path}: {count}" for path, count in counts.items() if count > LONGEST_FILE]


def test_files_of_c_begin_with_what_they_are_for() -> None:
    """Tests of C are named after what they test."""
    assert not [path for path in sources(".c", ".h")
                if "test" not in path.relative_to(ROOT).parts and not path.read_text().startswith("/* ")]


def test_comments_fit_a_screen() -> None:
    """clang-format holds the code's lines within its limit, comments it leaves as they are."""
    assert not [f"{path}:{number}" for path in sources(".c", ".h")
                for number, line in enumerate(path.read_text().splitlines(), 1) if len(line) > LONGEST_COMMENT]


def test_nothing_is_unfinished_or_left_out() -> None:
    assert not offences(sources(".c", ".h", ".py", ".pyi"), UNFINISHED)


def test_kernels_know_no_python() -> None:
    assert not offences(below_python(".c", ".h"), r"Python\.h|PyObject|numpy")


def test_kernels_neither_allocate_nor_print() -> None:
    """The thread pool may allocate; nothing else below the glue may."""
    paths = [path for path in below_python(".c", ".h") if path.parent.name != "runtime"]
    assert not offences(paths, LIBRARY_CALLS)


def test_glue_hands_work_down() -> None:
    """Loops over channels and threads stand in the operators: the glue starts no thread."""
    assert not offences(sources(".c", ".h", under="csrc/python"), r"\bpqc_parallel\w*\s*\(")


def test_one_file_includes_numpy() -> None:
    paths = [path for path in sources(".c", ".h", under="csrc") if path.name != "numpy_api.h"]
    assert not offences(paths, r"#\s*include\s*<numpy/")


def test_instruction_sets_are_chosen_by_file_not_inside_a_function() -> None:
    for path in sources(".c", under="csrc/kernels"):
        for name, line, body in functions(path):
            assert not re.search(r"^#\s*(if|ifdef|ifndef)\b.*PQC_(X86|ARM)", body, re.M), f"{path}:{line}: {name}"


@pytest.mark.parametrize("path", sources(".c", under="csrc/python"), ids=lambda path: path.name)
def test_glue(path: Path) -> None:
    """Every GIL release has its return in the same function, no `return` between them, and functions stay short."""
    found = list(functions(path))
    for name, line, body in found:
        where = f"{path.name}:{line}: {name}"
        assert body.count("\n") + 1 <= LONGEST_GLUE_FUNCTION, f"{where} is too long"
        pairs = len(re.findall(RELEASE, body)) == len(re.findall(ACQUIRE, body))
        assert pairs, f"{where}: the GIL is not released and taken back in pairs"
        modes = body.count("pqc_set_default_float_mode") == body.count("pqc_restore_float_mode")
        assert modes, f"{where}: the caller's floating-point mode is not put back"
        for inside in re.findall(f"{RELEASE}(.*?){ACQUIRE}", body, re.S):
            assert not re.search(NEEDS_GIL, inside), f"{where}: Python without the GIL"


def test_what_is_not_c11_stands_in_one_place() -> None:
    """The rest is what MSVC compiles as well. detect.c and parallel.c choose by platform, as whole sections."""
    paths = [path for path in sources(".c", ".h", under="csrc") if path.name not in ("pqc.h", "detect.c", "parallel.c")]
    kept = [path for path in paths if path.relative_to(ROOT / "csrc").parts[0] in FLOORS]
    assert not offences(kept, r"__attribute__|__asm|\basm\b|__builtin_|__extension__|\btypeof\b|#\s*pragma (?!once)")


def test_every_operation_has_its_contract_where_its_name_says() -> None:
    folders = {path.parent for path in sources(".c", under="csrc/kernels")}
    assert not [folder.name for folder in folders if not (folder / f"{folder.name}.h").exists()]


def test_every_operation_has_a_c_test() -> None:
    """`csrc/test/test_<op>.c`; `igemm_nhwc` has bodies for AMX alone, which are a way of `conv_step`."""
    operations = {path.parent.name for path in sources(".h", under="csrc/kernels")} - {"kernels", "igemm_nhwc"}
    assert len(operations) > 30 and {f"test_{op}" for op in operations} <= {
        path.stem for path in sources(".c", under="csrc/test")}
    listed = (ROOT / "csrc" / "test" / "main.c").read_text()
    for path in sources(".c", under="csrc/test"):
        for name in re.findall(r"^void (test_\w+)\(void\)", path.read_text(), re.M):
            assert f"{name}}}" in listed, f"{path.name}: {name} is not in main.c"


def test_the_name_of_a_kernel_file_says_operation_and_instruction_set() -> None:
    """`<op>/<op>.h` is the contract, `<op>/<op>[_<variant>]_<isa>.c` a body; `.h` the same for its helpers.

    What bodies of several instruction sets share is in `<op>_<variant>.h`."""
    for path in sources(".c", ".h", under="csrc/kernels"):
        op = path.parent.name
        if path.parent.parent.name == "csrc":
            assert re.fullmatch(rf"(pqc|bits|(\w+_)?({ISAS}))\.h", path.name), path
        else:
            contract = r"|(_\w+)?\.h" if path.suffix == ".h" else ""
            assert re.fullmatch(rf"{op}((_\w+)?_({ISAS})\{path.suffix}{contract})", path.name), path


def includes(path: Path) -> Iterator[tuple[Path, str]]:
    """The files of ours that a file includes, and their floors."""
    places = [path.parent, *(ROOT / "csrc" / floor for floor in FLOORS)]
    for name in re.findall(r'^\s*#\s*include "([^"]+)"', path.read_text(), re.M):
        found = [place / name for place in places if (place / name).exists()]
        assert found, f"{path}: {name}"
        yield found[0], found[0].resolve().relative_to(ROOT / "csrc").parts[0]


@pytest.mark.parametrize("floor", FLOORS)
def test_no_floor_includes_one_above_it(floor: str) -> None:
    seen = 0
    for path in sources(".c", ".h", under=f"csrc/{floor}"):
        for header, of in includes(path):
            seen += 1
            assert FLOORS.index(of) <= FLOORS.index(floor), f"{path} includes {header} of {of}/"
    assert seen > 5


def test_microkernels_know_no_table_and_no_threads() -> None:
    """A kernel is given everything: it looks nothing up, takes no lock and starts nothing."""
    kernels = sources(".c", ".h", under="csrc/kernels")
    assert not offences(kernels, r"\bpqc_(table|parallel\w*|select|detect)\b|\bpqc\.(?!h\b)\w")


def test_the_map_of_the_c_side_leads_somewhere() -> None:
    rows = re.findall(r"^\| (`.*) \| (`.*) \| (.*) \|$", (ROOT / "csrc" / "README.md").read_text(), re.M)
    assert len(rows) >= 12
    for names, functions_of_c, kernels in rows:
        for module, name in re.findall(r"`(\w+)\.(\w+)", names):
            assert name in import_module(f"pytorch_quantization_c.{module}").__all__, name
        assert all(hasattr(_C, name) for name in re.findall(r"`(\w+)`", functions_of_c)), functions_of_c
        assert all((ROOT / "csrc" / path).exists() for path in re.findall(r"`([\w./]+)`", kernels)), kernels
    named = {name for _, functions_of_c, _ in rows for name in re.findall(r"`(\w+)`", functions_of_c)}
    assert {name for name in vars(_C) if not name.startswith("__")} - named == {"compiler"}


def test_every_function_of_the_extension_is_found_by_its_name() -> None:
    """csrc/README.md: `grep -rn <function> csrc/python` leads to one py_<family>.c."""
    glue = {path.name: path.read_text() for path in sources(".c", under="csrc/python")}
    for name in (name for name in vars(_C) if callable(getattr(_C, name)) and not name.startswith("__")):
        homes = [path for path, text in glue.items() if re.search(rf'"{name}", (\(PyCFunction|FASTCALL|\w+,)', text)]
        assert len(homes) == 1 and homes[0].startswith("py_"), (name, homes)


def declarations(header: Path) -> str:
    """A header without comments and without the bodies of inline functions."""
    text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.S)
    return re.sub(r"^\{$.*?^\}$", "", text, flags=re.S | re.M)


def test_a_c_function_is_declared_once_in_the_folder_that_defines_it() -> None:
    """csrc/README.md: one header has the contract of a name, and the definition lies beside it."""
    headers = {path: declarations(path) for floor in FLOORS for path in sources(".h", under=f"csrc/{floor}")}
    external = r"^(?!static|PQC_INLINE)(?:\w+ )+\**(pqc_\w+)\([^;{}]*?\)\n\{$"
    found = [(path, name) for floor in FLOORS for path in sources(".c", under=f"csrc/{floor}")
             for name in re.findall(external, path.read_text(), re.M)]
    assert len(found) > 400
    for path, name in found:
        homes = [header for header, text in headers.items() if re.search(rf"\b{name}\b", text)]
        assert [header.parent for header in homes] == [path.parent], (name, path, homes)


def test_headers_are_guarded() -> None:
    for path in sources(".h", under="csrc"):
        assert re.search(r"^#ifndef (\w+)\n#define \1$|^#pragma once$", path.read_text(), re.M), path


def test_texts_stay_short() -> None:
    for name, most in (("README.md", 160), ("CONTRIBUTING.md", 100)):
        assert len((ROOT / name).read_text().splitlines()) <= most, name
    assert len((ROOT / "Makefile").read_text().splitlines()) <= 80


def test_processes_are_started_in_one_place() -> None:
    """`tests/process.py` sees to it that they use the package that is being tested."""
    paths = [path for path in sources(".py", under="tests") if path.name not in ("process.py", "test_source_rules.py")]
    assert not offences(paths, r"sys\.executable")


def asserts(statement: ast.AST) -> bool:
    """Whether something is checked in it, by itself or by a function whose name says so."""
    calls = [ast.unparse(node.func) for node in ast.walk(statement) if isinstance(node, ast.Call)]
    return any(isinstance(node, ast.Assert) for node in ast.walk(statement)) or any(
        re.search("assert|raises|warns|check|same", call) for call in calls)


def silent_returns(body: list[ast.stmt], checked: bool = False) -> Iterator[int]:
    """The lines of `return` that nothing is checked before."""
    for statement in body:
        if isinstance(statement, ast.Return) and statement.value is None and not checked:
            yield statement.lineno
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef):
            for inner in ("body", "orelse", "finalbody"):
                yield from silent_returns(getattr(statement, inner, []), checked)
            for handler in getattr(statement, "handlers", []):
                yield from silent_returns(handler.body, checked)
        checked = checked or asserts(statement)


def test_no_test_returns_silently() -> None:
    """What does not apply is not generated (hypothesis' `assume`, no parameter), or something else is checked of it."""
    sample = ast.parse("if a:\n    return\nassert b\nif c:\n    return")
    assert list(silent_returns(sample.body)) == [2]
    for path in sources(".py", under="tests"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and re.match("test|assert|check", node.name):
                assert not list(silent_returns(node.body)), f"{path.relative_to(ROOT)}: {node.name}"
