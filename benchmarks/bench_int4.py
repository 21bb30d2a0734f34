"""Products with 4-bit weights in groups against other libraries, each in a process of its own, in turns.

A row for each product: our time, and how many times as long each peer takes. Ours quantises each row to 8 bits by its
own range, onnxruntime (MatMulNBits, accuracy_level 4) each group of inputs; torchao multiplies bfloat16 numbers.
Libraries that are not installed are left out.
"""
from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

import harness
from int4_peers import CALLS, Product

PRODUCTS = [(4096, 4096), (4096, 11008), (768, 3072)]
ROWS = [1, 8, 64]
PAUSE = 0.02  # seconds in which the pools of other libraries fall asleep


class Worker:
    """A library in a process of its own: it gets products, and answers with the least time of some calls."""

    def __init__(self, name: str, threads: int) -> None:
        command = [sys.executable, __file__, "--worker", name, "--threads", str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, product: Product, seconds: float) -> float | None:
        """Seconds of a call; None if the library is not there."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps([product, seconds]) + "\n")
        self.process.stdin.flush()
        answer: float | None = json.loads(self.process.stdout.readline())
        time.sleep(PAUSE)
        return answer

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def work(name: str, threads: int) -> None:
    """What a worker does: a line in, a line out."""
    made: dict[Product, Any] = {}
    clock = time.process_time if threads == 1 else time.perf_counter  # another process may hold the core
    for line in sys.stdin:
        numbers, seconds = json.loads(line)
        product = Product(*numbers)
        try:
            if product not in made:
                made = {product: CALLS[name](product, threads)}
            call, best, end = made[product], float("inf"), time.perf_counter() + seconds
            call()
            while best == float("inf") or time.perf_counter() < end:
                begin = clock()
                call()
                best = min(best, clock() - begin)
            print(json.dumps(best), flush=True)
        except ImportError:
            print("null", flush=True)


def least(workers: dict[str, Worker], product: Product, rounds: int, seconds: float) -> dict[str, float]:
    """The least time of each library, over rounds in which each has its turn."""
    found: dict[str, float] = {}
    for _ in range(rounds):
        for name, worker in workers.items():
            answer = worker.ask(product, seconds)
            if answer is not None:
                found[name] = min(answer, found.get(name, float("inf")))
    return found


def table(threads: int, options: argparse.Namespace) -> harness.Table:
    names = list(CALLS)
    made = harness.Table(f"4-bit weights, {threads} thread{'s' * (threads > 1)}", ["K x N", "group", "rows"], names[0],
                         names[1:])
    workers = {name: Worker(name, threads) for name in names}
    try:
        for inputs, outputs in options.products:
            for group in options.group:
                for rows in options.rows:
                    product = Product(inputs, outputs, group, rows)
                    made.add([f"{inputs} x {outputs}", group, rows],
                             least(workers, product, options.rounds, options.seconds))
    finally:
        for worker in workers.values():
            worker.close()
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--group", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=0.05, help="of a turn")
    parser.add_argument("--quick", action="store_true", help="one small product, one round")
    parser.add_argument("--worker", choices=list(CALLS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.products = PRODUCTS
    if options.worker:
        work(options.worker, options.threads[0])
        return
    if options.quick:
        options.products, options.group, options.rows, options.rounds = [(256, 512)], [32], [1, 3], 1
        options.threads, options.seconds = [1], 0.001
    for threads in options.threads:
        print(table(threads, options), flush=True)


if __name__ == "__main__":
    main()
