"""The picture of a program's times."""
from __future__ import annotations

import matplotlib.pyplot as plt
import pytest

from pytorch_quantization_c.graph.program.profile import Profile, Row

ROWS = [Row("stem", "convolution", 100, 20.0), Row("mean", "Python", 0, 35.0, "there is none"),
        Row("head", "linear", 8, 5.0)]


def test_the_longest_is_on_top() -> None:
    axes = Profile(ROWS).plot()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["mean", "stem", "head"]
    assert sorted(bar.get_width() for bar in axes.patches) == [5.0, 20.0, 35.0]
    assert axes.yaxis_inverted() and "60 microseconds" in axes.get_title()
    plt.close(axes.figure)


def test_own_axes_and_nothing_to_draw() -> None:
    figure, axes = plt.subplots()
    assert Profile([]).plot(axes) is axes
    plt.close(figure)


def test_the_table() -> None:
    lines = str(Profile(ROWS)).splitlines()
    assert lines[0].split() == ["node", "kernel", "weights", "us", "why", "no", "kernel"]
    assert lines[2].split() == ["mean", "Python", "35.0", "there", "is", "none"]
    assert lines[-1].split() == ["total", "108", "60.0"] and Profile(ROWS).total == pytest.approx(60)
