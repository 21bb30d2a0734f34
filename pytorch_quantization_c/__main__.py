"""The command line: `python -m pytorch_quantization_c demo`, `... info`."""
from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .version import __version__


def at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"Expected a number >= 1, got {value}")
    return value


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pytorch_quantization_c", description="Quantisation of neural networks on ordinary CPUs."
    )
    parser.add_argument("--version", action="version", version=f"pytorch_quantization_c {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="demo|info")
    demo = commands.add_parser("demo", help="quantise a trained LeNet in several ways and print the results")
    demo.add_argument("--batch", type=at_least_one, default=100, metavar="N", help="images in a batch (default: 100)")
    commands.add_parser("info", help="print version, compiler, instruction sets and threads: for bug reports")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; 0 if it worked, 2 for a wrong command line."""
    options = make_parser().parse_args(arguments)
    if options.command == "demo":
        from . import demo

        print(demo.table(demo.run(options.batch), options.batch))
    else:
        from . import info

        print(info.report())
    return 0


if __name__ == "__main__":
    sys.exit(main())
