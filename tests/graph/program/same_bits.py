"""Programs that give the interpreter's bits on every instruction set and number of threads."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from pytorch_quantization_c import graph, isa, threads

__all__ = ["assert_same_bits"]


def assert_same_bits(session: Any, model: ir.Model, feeds: dict[str, Any],
                     counts: Sequence[int] = (1, 2, 3, 4)) -> list[Any]:
    """Runs the session's program on each instruction set with each number of threads; what the interpreter gives."""
    wanted, before = graph.interpret(model, feeds), threads.get_num_threads()
    expected = [(each.shape, each.tobytes()) for each in wanted]
    try:
        for each in isa.available():
            for count in counts:
                threads.set_num_threads(count)
                with isa.only("scalar", each):
                    found = session._program.run(feeds, session._outputs)
                assert found is not None
                assert [(array.shape, array.tobytes()) for array in found] == expected, (each, count)
    finally:
        threads.set_num_threads(before)
    return wanted
