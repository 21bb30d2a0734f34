"""What every test shares: seeds from PQC_SEED, and folders left out when the package they need is missing."""
from __future__ import annotations

import os
import random
from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import settings

from pytorch_quantization_c import float_nn

SEED = int(os.environ.get("PQC_SEED", "0"))
NEEDS = {"faults": "_testcapi", "torch": "torch", "ort": "onnxruntime", "dask": "dask", "plot": "matplotlib",
         "notebooks": "nbclient", "graph": "onnxscript", "openvino": "openvino onnxscript",
         "nncf": "nncf onnxscript onnxruntime"}

collect_ignore = [folder for folder, packages in NEEDS.items() if not all(map(find_spec, packages.split()))]
settings.register_profile("pqc", deadline=None, derandomize=SEED == 0, database=None)
settings.load_profile("pqc")


def pytest_report_header() -> list[str]:
    left_out = f", without {', '.join(collect_ignore)}" if collect_ignore else ""
    return [f"PQC_SEED={SEED} PQC_ISA={os.environ.get('PQC_ISA', '')}{left_out}"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A name with an address in it is another one in every process: pytest-xdist refuses such tests."""
    moving = sorted({item.nodeid.partition("[")[0] for item in items if " at 0x" in item.nodeid})
    if moving:
        raise pytest.UsageError(f"Expected names that stay, give `ids` to the parameters of {', '.join(moving)}")


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Every test starts from the same random state, whatever ran before it."""
    state = np.random.get_state()  # noqa: NPY002  (the global state is what is being protected)
    random.seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002
    float_nn.manual_seed(SEED)
    yield
    np.random.set_state(state)  # noqa: NPY002


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(SEED)
