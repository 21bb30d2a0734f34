"""Max pools, and the clamps behind them; on codes, clamping first gives the same result."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from ..interpreter.table import attribute
from .chains import Chained
from .fusing import clamp_of
from .layers import windows_of
from .operations import Clamp, Codes, Window

__all__ = ["ClampedPool", "MaxPool", "clamped_pool", "max_pool"]

ONE = Window(1)


class MaxPool(NamedTuple):
    """Windows along y and x, ONNX's ceil_mode, and of volumes the window along their frames."""

    y: Window
    x: Window
    ceil: bool
    z: Window | None = None

    def pools(self) -> list[tuple[Window, Window, bool, bool]]:
        """The windows as one or two `operations.Pool`; that over frames comes last."""
        planes = [(self.y, self.x, self.ceil, False)] if self.z is None or (self.y, self.x) != (ONE, ONE) else []
        frames = [] if self.z is None or (self.z == ONE and planes) else [(self.z, ONE, self.ceil, True)]
        return planes + frames


class ClampedPool(NamedTuple):
    """A max pool of an image and the clamp of its maxima."""

    source: ir.Value
    y: Window
    x: Window
    ceil: bool
    clamp: Clamp

    def codes(self, wanted: Codes) -> Codes:
        """Codes clamped in such a way that their maxima are the wanted codes, because rounding preserves order."""
        low, high = (float(np.rint(np.float32(bound) * np.float32(wanted.mul))) for bound in self.clamp)
        return wanted._replace(lo=min(max(wanted.lo, low), wanted.hi), hi=max(min(wanted.hi, high), wanted.lo))


def max_pool(node: ir.Node) -> MaxPool | None:
    """A MaxPool with two or three axes."""
    if node.op_type != "MaxPool" or node.domain not in ("", "ai.onnx") or attribute(node, "storage_order", 0):
        return None
    kernel = tuple(attribute(node, "kernel_shape", ()))
    windows = windows_of(node, kernel) if len(kernel) in (2, 3) else None
    if windows is None or any(each.name for each in node.outputs[1:]):
        return None
    *z, y, x = windows
    return MaxPool(y, x, bool(attribute(node, "ceil_mode", 0)), *z)


def clamped_pool(chain: Chained) -> ClampedPool | None:
    """What a chain computes, if it clamps the result of a max pool that has no empty window."""
    node, value = chain.steps[0].node, chain.operands[0]
    clamp = clamp_of(node) if len(chain.steps) == len(chain.operands) == 1 else None
    pool = value.producer() if clamp is not None and isinstance(value, ir.Value) else None
    found = None if pool is None else max_pool(pool)
    if pool is None or found is None or found.z is not None or clamp is None or clamp.low > clamp.high:
        return None
    y, x, ceil = found[:3]
    source = pool.inputs[0]
    if source is None or any(max(each.before, each.after) >= each.reach for each in (y, x)):
        return None
    return ClampedPool(source, y, x, ceil, clamp)
