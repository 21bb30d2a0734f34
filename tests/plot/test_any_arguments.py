"""Every public callable that draws, with arguments of any kind, and as memory runs out."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pytorch_quantization_c import calib, layer_sensitivity
from tests.faults import lines
from tests.fuzz import subjects
from tests.fuzz.arguments import STRANGE
from tests.fuzz.callables import OTHERS
from tests.fuzz.limits import address_space
from tests.patience import time_limit

REFUSALS = (TypeError, ValueError, MemoryError, AttributeError)     # AttributeError: axes that are none
ROUNDS, SECONDS = 12, 20


def sensitivity() -> Any:
    return layer_sensitivity.Sensitivity("m", 1.0, (subjects.ROW,))


PLOTS: dict[str, Callable[[], lines.Made]] = {
    "calib.plot": lambda: (calib.plot, {"model_or_calibrator": subjects.histogram()}),
    "layer_sensitivity.Sensitivity.plot": lambda: (sensitivity().plot, {"axes": None}),
}
if find_spec("onnx_ir"):
    from pytorch_quantization_c import graph
    from tests.graph.fuzz.subjects import COMPARED, FEEDS, stored

    PLOTS |= {
        "Comparison.plot": lambda: (graph.Comparison(**COMPARED).plot, {"axes": None}),
        "Profile.plot": lambda: (graph.compile(stored(True)).profile(FEEDS, 1).plot, {"axes": None}),
    }


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    import matplotlib.pyplot as plt

    with address_space():
        yield
    plt.close("all")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PLOTS)
def test_any_arguments_give_a_picture_or_a_refusal(name: str) -> None:
    for seed in range(ROUNDS):
        call, given = PLOTS[name]()
        random = Random(f"{seed} {name}")
        if seed:
            given = dict.fromkeys(given, random.choice(OTHERS) if random.random() < 0.5 else random.choice(STRANGE)())
        try:
            with time_limit(SECONDS):
                call(**given)
        except REFUSALS as error:
            assert seed and 0 < len(str(error)) < 1500, (seed, error)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PLOTS)
def test_memory_runs_out(name: str) -> None:
    assert not lines.problems(name, PLOTS[name])


def test_every_plot_is_here() -> None:
    """A public function or method named `plot`, wherever it is, is one of these."""
    source = Path(calib.__file__).parent.parent
    defined = [path for path in source.rglob("*.py") if "def plot(" in path.read_text()]
    assert len(defined) == (len(PLOTS) if find_spec("onnx_ir") else len(PLOTS) + 2)
