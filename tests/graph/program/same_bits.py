"""Programs that give the interpreter's bits on every instruction set and number of threads."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from pytorch_quantization_c import graph

from ...everywhere import everywhere

__all__ = ["assert_same_bits"]


def assert_same_bits(session: Any, model: ir.Model, feeds: dict[str, Any],
                     counts: Sequence[int] = (1, 2, 3, 4)) -> list[Any]:
    """Runs the session's program on each instruction set with each number of threads; what the interpreter gives."""
    wanted = graph.interpret(model, feeds)
    expected = [(each.shape, each.tobytes()) for each in wanted]
    for setting, found in everywhere(lambda: session._program.run(feeds, session._outputs), counts).items():
        assert found is not None and [(array.shape, array.tobytes()) for array in found] == expected, setting
    return wanted
