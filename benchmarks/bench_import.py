"""Importing all that a quantised model needs against `import numpy`: fresh processes, interleaved, minimum."""
from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import harness

OURS = "from pytorch_quantization_c import calib, float_nn, nn, quant_modules, tensor_quant"
PROGRAM = """
import resource, time
start = time.perf_counter()
{statement}
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def measure(statement: str, cache: str) -> tuple[float, float]:
    """(seconds of the import, MiB of peak memory) in a new process that keeps compiled modules in `cache`."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = cache
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(statement=statement)],
        capture_output=True, text=True, check=True, env=environment,
    )
    seconds, memory = done.stdout.split()
    return float(seconds), float(memory)


def main() -> None:
    options = harness.options(__doc__)
    statements = ["import numpy", OURS]
    statements += [f"import {name}" for name in ("onnxruntime", "torch") if harness.version(name) and not options.quick]
    runs: dict[str, list[tuple[float, float]]] = {statement: [] for statement in statements}
    with tempfile.TemporaryDirectory() as cache:
        for statement in statements:
            measure(statement, cache)
        for _ in range(5 if options.quick else 15):
            for statement in statements:
                runs[statement].append(measure(statement, cache))
    fastest = {statement: min(seconds for seconds, _ in found) for statement, found in runs.items()}
    print("Import, fresh process each time, minimum")
    for statement, found in runs.items():
        memory = min(peak for _, peak in found)
        beyond = 1000 * (fastest[statement] - fastest["import numpy"])
        print(f"{statement:88} {1000 * fastest[statement]:8.1f} ms  {beyond:+8.1f} ms to NumPy  {memory:6.0f} MiB peak")


if __name__ == "__main__":
    main()
