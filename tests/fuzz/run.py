"""`make fuzz`: damaged files and senseless arguments until the time is over. Prints what failed, with its seed.

python -m tests.fuzz.run [--seconds 300] [--seed N]: any other seed than the one printed gives other inputs.
"""
from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path
from random import Random, SystemRandom

from . import callables, calls, loaders, subjects
from .limits import address_space


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(2**32))
    options = parser.parse_args()
    warnings.simplefilter("error")
    found: dict[str, int] = {}
    inputs = 0
    end = time.monotonic() + options.seconds
    readers = loaders.build()
    called = subjects.subjects()
    print(f"seed {options.seed}, {len(readers)} readers of files, {len(called)} public callables", flush=True)
    with tempfile.TemporaryDirectory() as folder, address_space():
        for seed in range(options.seed, sys.maxsize):
            if time.monotonic() > end:
                break
            results = [(loader.name, loaders.attempt(loader, loader.damage(loader.data, Random(seed)),
                                                     Path(folder) / "file")) for loader in readers]
            results += [(case.name, callables.attempt(case, Random(seed))) for case in callables.CASES]
            results += [(each.name, calls.attempt(each, Random(f"{seed} {each.name}"))) for each in called]
            inputs += len(results)
            for name, problem in results:
                if problem and f"{name}: {problem}" not in found:
                    found[f"{name}: {problem}"] = seed
                    print(f"seed {seed}: {name}: {problem}", flush=True)
    print(f"{inputs} inputs, {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
