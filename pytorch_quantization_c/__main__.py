"""The command line: `python -m pytorch_quantization_c demo`, `info`, and commands on ONNX files."""
from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from .version import __version__

DATA = "an .npz file with an array for each input, an .npy file, or a folder of them"


def at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"Expected a number >= 1, got {value}")
    return value


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pytorch_quantization_c", description="Quantisation of neural networks on ordinary CPUs.",
        epilog="`COMMAND --help` lists the arguments of one command.",
    )
    parser.add_argument("--version", action="version", version=f"pytorch_quantization_c {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="quantise a trained LeNet in several ways and print the results")
    demo.add_argument("--batch", type=at_least_one, metavar="N", help="images in a batch (default: 100; 1 with --onnx)")
    demo.add_argument("--onnx", metavar="FILE", help="your own model instead of the LeNet")
    add_inputs(demo)
    commands.add_parser("info", help="print version, compiler, instruction sets and threads, for bug reports")
    add_graph_commands(commands)
    return parser


def add_graph_commands(commands: Any) -> None:
    """The commands that need the extra `onnx`."""
    quantize = commands.add_parser("quantize", help="quantise an ONNX model")
    quantize.add_argument("model", help="the float model, an ONNX file")
    quantize.add_argument("-o", "--output", required=True, metavar="FILE", help="the ONNX file to write")
    quantize.add_argument("--data", metavar="PATH", help=f"calibration data: {DATA} (default: "
                          "none; ranges are then taken from each input)")
    quantize.add_argument("--method", default="auto", choices=["auto", "max", "mse", "entropy", "percentile"],
                          help="how activation ranges are calibrated (default: auto, the better of max and mse)")
    quantize.add_argument("--percentile", type=float, default=99.99, metavar="P",
                          help="percent of the values that --method percentile keeps (default: 99.99)")
    quantize.add_argument("--residual", default="auto", choices=["auto", "u8", "float"],
                          help="residual connections: 16-bit integers where the target has them, 8 bits, or float "
                               "(default: auto)")
    quantize.add_argument("--symmetric", action="store_true", help="symmetric ranges only, without zero points")
    quantize.add_argument("--target", default="here", choices=["here", "onnxruntime", "openvino", "tensorrt"],
                          help="the runtime that the file is for (default: here, this library)")
    quantize.add_argument("--exclude", action="append", default=[], metavar="PATTERN",
                          help="names or operators of layers that stay float (may be repeated)")
    quantize.add_argument("--summary", action="store_true", help="print how each node is quantised")
    compare = commands.add_parser("compare", help="SQNR of every quantised value against the float model")
    compare.add_argument("a", help="the float model")
    compare.add_argument("b", help="the quantised model")
    compare.add_argument("--data", required=True, metavar="PATH", help=DATA)
    compare.add_argument("--report", metavar="FILE", help="also write the comparison to an HTML page")
    run = commands.add_parser("run", help="run an ONNX model")
    run.add_argument("model", help="an ONNX file")
    run.add_argument("--data", required=True, metavar="PATH", help=DATA)
    run.add_argument("-o", "--output", metavar="FILE", help="write the outputs to an .npz file")
    bench = commands.add_parser("bench", help="time a model here and, where it is installed, in onnxruntime")
    bench.add_argument("model", help="an ONNX file, or a saved program (.pqc)")
    add_inputs(bench)
    bench.add_argument("--batch", type=at_least_one, default=1, metavar="N", help="batch of random inputs (default: 1)")
    bench.add_argument("--threads", type=at_least_one, default=1, metavar="N", help="number of threads (default: 1)")
    bench.add_argument("--profile", action="store_true", help="print the time of each operation")


def add_inputs(command: argparse.ArgumentParser) -> None:
    """What a model is run on."""
    command.add_argument("--data", metavar="PATH", help=f"{DATA} (default: random inputs)")
    command.add_argument("--shape", action="append", default=[], metavar="[NAME=]1,3,224,224",
                         help="the shape of random inputs: of the input NAME, or of all (may be repeated)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; 0 if it worked, 2 for a wrong command line."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.command == "demo" and options.onnx is None and (options.data or options.shape):
        parser.error("--data and --shape are inputs of a model: give --onnx FILE")
    if options.command == "demo" and options.onnx is None:
        from . import demo

        batch = 100 if options.batch is None else options.batch
        print(demo.table(demo.run(batch), batch))
    elif options.command == "info":
        from . import info

        print(info.report())
    else:
        return run_graph_command(options)
    return 0


def run_graph_command(options: argparse.Namespace) -> int:
    """A command on ONNX files; 2 and a message without the extra `onnx`."""
    if options.command == "demo" and options.batch is None:
        options.batch = 1
    if options.command == "bench":
        from .graph.commands import benchmark

        return benchmark.run_command(options)
    try:
        from .graph.commands import command_line
    except ImportError as problem:
        print(f"{options.command} needs the extra `onnx` (pip install 'pytorch-quantization-c[onnx]'): {problem}",
              file=sys.stderr)
        return 2
    return command_line.run_command(options)


if __name__ == "__main__":
    sys.exit(main())
