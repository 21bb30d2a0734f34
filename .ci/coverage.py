"""`make coverage`: lines of the package and of the C kernels that the suite runs, with the least that is accepted.

Builds an instrumented copy under build/coverage, runs the whole suite on the best instruction set and the kernel tests
on each of the others, then reads the counts of coverage.py and gcov.
"""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD, OBJECTS = ROOT / "build" / "coverage", ROOT / "build" / "coverage-objects"
LEAST_PYTHON, LEAST_KERNELS = 95, 90
FLOORS = {"kernels", "runtime", "operators", "program"}


def run(*command: str, where: Path = ROOT, **environment: str) -> None:
    print("+", *command, *(f"{name}={value}" for name, value in environment.items()), flush=True)
    subprocess.run(command, cwd=where, env={**os.environ, **environment}, check=True)


def kernel_lines() -> dict[str, dict[int, int]]:
    """File -> line -> times run, for every kernel source the compiler made code of."""
    counts: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for notes in OBJECTS.rglob("*.gcno"):
        if not FLOORS.intersection(notes.parts):
            continue
        told = subprocess.run(
            ["gcov", "--json-format", "--stdout", str(notes.with_suffix(".gcda"))],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )
        for report in map(json.loads, told.stdout.splitlines()):
            for file in report["files"]:
                if FLOORS.intersection(Path(file["file"]).parts):
                    for line in file["lines"]:
                        counts[file["file"]][line["line_number"]] += line["count"]
    return counts


def report_kernels() -> bool:
    total = covered = 0
    for name, lines in sorted(kernel_lines().items()):
        ran = sum(1 for count in lines.values() if count)
        total, covered = total + len(lines), covered + ran
        missed = [number for number, count in sorted(lines.items()) if not count]
        print(f"{name:60} {ran:5} of {len(lines):5}  {', '.join(map(str, missed[:12]))}")
    percent = 100 * covered / total if total else 0.0
    print(f"C without the glue: {covered} of {total} lines, {percent:.1f} % (at least {LEAST_KERNELS} %)")
    return percent >= LEAST_KERNELS


def main() -> int:
    python, instruction_sets = sys.executable, sys.argv[1:]
    for folder in (BUILD, OBJECTS):
        shutil.rmtree(folder, ignore_errors=True)
    run(python, "setup.py", "-q", "build", "--build-lib", str(BUILD), "--build-temp", str(OBJECTS), PQC_COVERAGE="1")
    pytest = ("-m", "pytest", "-q", "-c", str(ROOT / "pyproject.toml"))
    run(python, "-m", "coverage", "run", "--source=pytorch_quantization_c", *pytest, str(ROOT / "tests"), where=BUILD)
    for name in instruction_sets:
        run(python, *pytest, str(ROOT / "tests" / "kernels"), where=BUILD, PQC_ISA=name)
    kernels_enough = report_kernels()
    report = subprocess.run([python, "-m", "coverage", "report", "-m", f"--fail-under={LEAST_PYTHON}"], cwd=BUILD)
    return 0 if kernels_enough and report.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
