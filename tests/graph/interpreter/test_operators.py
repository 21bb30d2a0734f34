"""Every operator that the interpreter has a function for, on the cases that ONNX has for the nodes of backends."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.interpreter.table import operators

RUN_BY_GRAPHS = ("If", "Loop")
FOUR_DIGITS = "test_averagepool", "test_gridsample_bicubic"  # as many as the expected values of some of them have


@cache
def cases() -> dict[str, list[Any]]:
    """ONNX's cases by the only operator of their graph."""
    from onnx.backend.test.loader import load_model_tests

    with np.errstate(all="ignore"):
        found = load_model_tests(kind="node")
    by_operator = defaultdict(list)
    for case in found:
        kinds = {node.op_type for node in case.model.graph.node}
        if len(kinds) == 1 and case.model.graph.node[0].domain == "":
            by_operator[kinds.pop()].append(case)
    return by_operator


def plain(value: Any) -> Any:
    if isinstance(value, onnx.SequenceProto):
        return numpy_helper.to_list(value)
    if isinstance(value, onnx.OptionalProto):
        return numpy_helper.to_optional(value)
    if isinstance(value, np.generic):
        return np.asarray(value)
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def data_sets(case: Any) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    names = [value.name for value in case.model.graph.input]
    for inputs, outputs in case.data_sets:
        yield dict(zip(names, map(plain, inputs), strict=False)), [plain(each) for each in outputs]


def assert_close(name: str, got: Any, expected: Any) -> None:
    if isinstance(expected, list):
        assert isinstance(got, list) and len(got) == len(expected), name
        for one, other in zip(got, expected, strict=True):
            assert_close(name, one, other)
        return
    if expected is None:
        assert got is None, name
        return
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape), name
    if got.dtype.kind not in "fV":
        np.testing.assert_array_equal(got, expected, name)
        return
    tolerance = 1e-5 if got.dtype.itemsize >= 4 and got.dtype.kind == "f" else 1e-2
    tolerance = 2e-3 if name.startswith(FOUR_DIGITS) else tolerance
    np.testing.assert_allclose(got.astype(float), expected.astype(float), tolerance, tolerance, err_msg=name)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("operator", sorted([*operators(), *RUN_BY_GRAPHS]))
def test_cases_of_onnx(operator: str) -> None:
    """Values within 1e-5 of those that ONNX gives, types and shapes exactly."""
    found = cases()[operator]
    assert found, f"ONNX has no case for {operator}"
    for case in found:
        interpreter = graph.Interpreter(ir.from_proto(case.model))
        for feeds, outputs in data_sets(case):
            for value, got, expected in zip(case.model.graph.output, interpreter.run(feeds), outputs, strict=True):
                if case.name == "test_if_opt":  # `Optional` of onnx.reference puts its value into a list
                    assert value.type.HasField("optional_type")
                    (got,) = got
                assert_close(case.name, got, expected)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_table_in_the_documentation() -> None:
    """Says what is so: written anew by `python -m tests.graph.interpreter.operator_table`."""
    from .operator_table import PAGE, page

    with np.errstate(all="ignore"):
        assert PAGE.read_text() == page()
