"""Tokens a second of a language model with 4-bit weights: ours, module by module in Python, and onnxruntime's graph.

Both have the same integers in groups of 32 (MatMulNBits, accuracy_level 4, and GroupQueryAttention there), greedy steps
of one token, and take turns in processes of their own. onnxruntime is left out where it is not installed.
"""
from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PROMPT = [1, 2, 3, 4, 5, 6, 7, 8]
LIBRARIES = ("ours", "onnxruntime")


def model_of(options: argparse.Namespace) -> Any:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
    from language_model import quantized

    positions = len(PROMPT) + options.tokens + 1
    return quantized(words=options.words, width=options.width, blocks=options.blocks, positions=positions)


def generator(name: str, options: argparse.Namespace) -> Any:
    """What generates, or None if the library is not there."""
    from pytorch_quantization_c import threads

    threads.set_num_threads(options.threads)
    model = model_of(options)
    if name == "ours":
        return model
    try:
        from language_model_peer import Peer

        return Peer(model, options.threads)
    except ImportError:
        return None


def work(name: str, options: argparse.Namespace) -> None:
    """Answers each line with the seconds of a token, the prompt's among them, and the tokens."""
    made = generator(name, options)
    clock = time.process_time if options.threads == 1 else time.perf_counter  # another process may hold the core
    for _ in sys.stdin:
        if made is None:
            print("null", flush=True)
            continue
        made.generate(PROMPT, 1)
        begin = clock()
        words = made.generate(PROMPT, options.tokens)
        print(json.dumps([(clock() - begin) / options.tokens, words]), flush=True)


def least(options: argparse.Namespace) -> dict[str, float]:
    """Seconds of a token, the least over rounds in which each has its turn."""
    command = [sys.executable, *sys.argv, "--worker"]
    workers = {name: subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
               for name in LIBRARIES}
    found: dict[str, float] = {}
    for _ in range(options.rounds):
        for name, worker in workers.items():
            assert worker.stdin is not None and worker.stdout is not None
            worker.stdin.write("\n")
            worker.stdin.flush()
            answer = json.loads(worker.stdout.readline())
            if answer is not None:
                found[name] = min(answer[0], found.get(name, float("inf")))
    for worker in workers.values():
        worker.communicate()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, usual in (("width", 2048), ("blocks", 4), ("words", 8192), ("tokens", 16), ("rounds", 5), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--quick", action="store_true", help="a small model, one round")
    parser.add_argument("--worker", choices=LIBRARIES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.width, options.blocks, options.words, options.tokens, options.rounds = 128, 2, 256, 4, 1
    if options.worker:
        work(options.worker, options)
        return
    found = least(options)
    for name, seconds in found.items():
        ratio = f", ours is {seconds / found['ours']:.2f} times as fast" if name != "ours" else ""
        print(f"{name}: {1 / seconds:.1f} tokens a second, {1e3 * seconds:.2f} ms each{ratio}")


if __name__ == "__main__":
    main()
