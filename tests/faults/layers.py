"""Run as a program: layers, calibrators and files with ever more memory, until they work; prints what went wrong.

Each layer is made afresh for each try, so that nothing has been packed, no scratch memory is there, and (for the very
first one) no thread of ours runs yet.
"""
from __future__ import annotations

import errno
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import pytorch_quantization_c as pq
from pytorch_quantization_c import calib, nn
from pytorch_quantization_c.graph.interpreter.feeds import Wanted
from pytorch_quantization_c.graph.program.calls import Call
from pytorch_quantization_c.graph.program.document import Document
from pytorch_quantization_c.graph.program.lowered import Lowered
from pytorch_quantization_c.graph.program.operations import FLOATS, Codes, Conv, Export, Import, Key, Python, Window
from pytorch_quantization_c.graph.session import _session
from pytorch_quantization_c.tensor_quant import QuantDescriptor
from tests.faults.inject import address_space

STEP, MAX_REFUSED = 3 << 18, 200
CPUS = 4


def image(*shape: int) -> Any:
    return np.resize(np.linspace(-1, 1, 977, dtype=np.float32), shape)


def saved(made: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        like = nn.QuantLinear(made.in_features, made.out_features)
        pq.save_frozen(pq.freeze(made, keep_float=False), Path(folder) / "file")
        return pq.load_frozen(like, Path(folder) / "file").state_dict()["_integer_weight"]


def collected(made: Any, x: Any) -> Any:
    made.collect(x)
    made.collect(2 * x)
    return made.compute_amax()


def layer(make: Callable[[], Any], *shape: int) -> Callable[[], Callable[[], Any]]:
    """Makes a layer and an input for it; the work is to call it."""

    def ready() -> Callable[[], Any]:
        made, x = make(), image(*shape)
        return lambda: made(x)

    return ready


def calibrator(make: Callable[[], Any]) -> Callable[[], Callable[[], Any]]:
    def ready() -> Callable[[], Any]:
        made, x = make(), image(900, 900)
        return lambda: collected(made, x)

    return ready


def files() -> Callable[[], Any]:
    made = nn.QuantLinear(700, 700)
    return lambda: saved(made)


def document() -> Document:
    """A convolution of 16 channels to 64, and a copy of its output that Python makes."""
    codes, conv_output = Codes(2, 64.0, 64.0, -127.0, 127.0, 128), Key(2, FLOATS)
    conv = Conv("conv", Key(0, codes), np.ones((64, 3, 3, 16), np.int8), np.full(64, 0.01, np.float32),
                np.zeros(64, np.float32), 1, Window(3, before=1, after=1), Window(3, before=1, after=1),
                outputs=[conv_output])
    copy = Python("copy", [3], Call("a copy", [2], ["y"], lambda arrays: [arrays[0].copy()]))
    lowered = Lowered([Import("x", 0, Key(0, codes)), conv, Export("y", conv_output, 2), copy], {"x": 0}, {"y": 3}, {})
    floats = np.dtype(np.float32)
    return Document(lowered, [Wanted("x", None, "tensor(float)", floats)], [Wanted("y", None, "tensor(float)", floats)],
                    [])


def program() -> Callable[[], Any]:
    """One session for all tries: it works after each that failed."""
    x = image(2, 16, 100, 100)
    return lambda: SESSION.run(None, {"x": x})[0]


SESSION = _session(document(), None)
WORK: dict[str, Callable[[], Callable[[], Any]]] = {
    "linear": layer(lambda: nn.QuantLinear(700, 700), 700, 700),
    "convolution": layer(lambda: nn.QuantConv2d(16, 64, 3), 4, 16, 60, 60),
    "depthwise": layer(lambda: nn.QuantConv2d(64, 64, 3, groups=64), 1, 64, 90, 90),
    "transposed": layer(lambda: nn.QuantConvTranspose2d(16, 32, 3, 2), 1, 16, 60, 60),
    "on floats": layer(lambda: nn.QuantConv2d(16, 32, 3, quant_desc_input=QuantDescriptor((4, 3))), 1, 16, 60, 60),
    "files": files,
    "program": program,
    "max": calibrator(lambda: calib.MaxCalibrator(8, 0, False)),
    "histogram": calibrator(lambda: calib.HistogramCalibrator(8, None, False)),
}


def tries(make: Callable[[], Callable[[], Any]], problems: set[str], name: str) -> int:
    """How often memory was refused before the work was done."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    for refused in range(MAX_REFUSED):
        work = make()
        resource.setrlimit(resource.RLIMIT_AS, (address_space() + refused * STEP, hard))
        try:
            work()
            return refused
        except MemoryError:
            pass
        except BaseException as error:
            if isinstance(error, OSError) and error.errno == errno.ENOMEM and name == "files":
                continue  # a folder that cannot be opened: so Python says it
            problems.add(f"{name}: without {refused * STEP} bytes it fails with {error!r}")
            return refused
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    problems.add(f"{name}: it never works")
    return MAX_REFUSED


def main() -> int:
    problems: set[str] = set()
    image(400, 400) @ image(400, 400)  # NumPy's library takes its memory now; later it would end the process
    saved(nn.QuantLinear(4, 4))  # imports what it needs: the compiler of Python takes a lack of memory for bad syntax
    pq.threads.set_num_threads(CPUS)  # more than there may be: they are made at the first call
    for name, make in WORK.items():
        refused = tries(make, problems, name)
        print(f"{refused:5d} failures  {name}")
        first, second = make(), make()
        a, b = np.asarray(first()), np.asarray(second())
        if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
            problems.add(f"{name}: it does not work any more")
    print(*sorted(problems), sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
