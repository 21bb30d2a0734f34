"""The safetensors format: files as its description has them, and files that were made to harm."""
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytorch_quantization_c._core.safetensors import deserialize, load_file, save_file, serialize

DTYPES = ["?", "u1", "i1", "u2", "i2", "f2", "u4", "i4", "f4", "u8", "i8", "f8", ">f4", ">i8", ml_dtypes.bfloat16,
          ml_dtypes.float8_e4m3fn]


def file_of(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_a_file_byte_for_byte() -> None:
    header = b'{"__metadata__":{"by":"us"},"b":{"dtype":"F32","shape":[],"data_offsets":[0,4]},' \
             b'"a":{"dtype":"I8","shape":[1,3],"data_offsets":[4,7]}}'
    header += b" " * (-len(header) % 8)
    wanted = file_of(header, b"\x00\x00\x80\x3f" + b"\x01\xff\x02")
    arrays = {"a": np.array([[1, -1, 2]], np.int8), "b": np.float32(1)}
    assert serialize(arrays, {"by": "us"}) == wanted
    back, metadata = deserialize(wanted)
    assert metadata == {"by": "us"} and list(back) == ["b", "a"]
    assert back["b"].shape == () and back["b"] == 1 and back["a"].tolist() == [[1, -1, 2]]
    assert all(array.flags.writeable and array.dtype.isnative for array in back.values())


def test_a_file_without_anything() -> None:
    assert deserialize(file_of({})) == ({}, {})
    assert deserialize(serialize({}, {})) == ({}, {})


@given(st.lists(st.tuples(st.text(max_size=5).filter(lambda name: name != "__metadata__"), st.sampled_from(DTYPES),
                          st.lists(st.integers(0, 3), max_size=4), st.binary(min_size=8, max_size=8)), max_size=5),
       st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3))
def test_round_trip(described: list[Any], metadata: dict[str, str]) -> None:
    arrays = {}
    for name, dtype, shape, seed in described:
        rng = np.random.default_rng(int.from_bytes(seed, "little"))
        arrays[name] = rng.integers(-3, 3, shape).astype(dtype).T
    back, kept = deserialize(serialize(arrays, metadata))
    assert kept == metadata and back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back[name].shape == array.shape and back[name].dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(back[name], array)


LONG = b'{"a":' + b"[" * 100_000
HOSTILE = {
    "nothing": b"",
    "seven bytes": b"\0" * 7,
    "huge header": file_of({}, length=2 ** 63),
    "header over the limit": file_of({}, length=100_000_001),
    "header beyond the end": file_of({}, length=3),
    "no brace": file_of(b" {}"),
    "a list": file_of(b"[]"),
    "not JSON": file_of(b'{"a"'),
    "not UTF-8": file_of(b'{"\xff":1}'),
    "not a number": file_of(b'{"a":NaN}'),
    "deep": file_of(LONG),
    "two of a name": file_of(b'{"__metadata__":{},"__metadata__":{}}'),
    "metadata with a number": file_of({"__metadata__": {"a": 1}}),
    "metadata a list": file_of({"__metadata__": []}),
    "entry a list": file_of({"a": []}),
    "entry with more": file_of({"a": {**entry(), "more": 1}}, b"\0" * 8),
    "unknown type": file_of({"a": entry("F31")}, b"\0" * 8),
    "type a list": file_of({"a": entry([])}, b"\0" * 8),
    "negative size": file_of({"a": entry(shape=[-2])}, b"\0" * 8),
    "fraction": file_of({"a": entry(shape=[2.0])}, b"\0" * 8),
    "true": file_of({"a": entry(shape=[True, 2])}, b"\0" * 8),
    "overflow": file_of({"a": entry("U8", [2 ** 62, 4, 2], [0, 0])}),
    "wraps to zero": file_of({"a": entry("U8", [2 ** 32, 2 ** 32], [0, 0])}),
    "size beyond 63 bits": file_of({"a": entry("U8", [0, 2 ** 64], [0, 0])}),
    "empty but too big": file_of({"a": entry("F64", [0, 2 ** 62, 2 ** 62], [0, 0])}),
    "too many axes": file_of({"a": entry("U8", [1] * 65, [0, 1])}, b"\0"),
    "wrong size": file_of({"a": entry(shape=[3])}, b"\0" * 8),
    "backwards": file_of({"a": entry(offsets=[8, 0])}, b"\0" * 8),
    "three offsets": file_of({"a": entry(offsets=[0, 8, 8])}, b"\0" * 8),
    "hole at the start": file_of({"a": entry(offsets=[8, 16])}, b"\0" * 16),
    "hole at the end": file_of({"a": entry()}, b"\0" * 9),
    "beyond the end": file_of({"a": entry()}, b"\0" * 7),
    "overlap": file_of({"a": entry(), "b": entry(offsets=[4, 12])}, b"\0" * 12),
    "the same bytes twice": file_of({"a": entry(), "b": entry()}, b"\0" * 8),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_files_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="Expected a safetensors file, but"):
        deserialize(data)


@given(st.data())
def test_damaged_files_are_read_or_refused_and_nothing_else(data: Any) -> None:
    whole = bytearray(serialize({"a": np.arange(3, dtype=np.float32), "b": np.zeros((2, 0))}, {"k": "v"}))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        arrays, metadata = deserialize(bytes(whole[:data.draw(st.integers(0, len(whole)))]))
    except ValueError as problem:
        assert "Expected a safetensors file, but" in str(problem)
        return
    assert all(isinstance(array, np.ndarray) for array in arrays.values()) and isinstance(metadata, dict)


def test_booleans_are_zero_or_one_whatever_the_bytes() -> None:
    back, _ = deserialize(file_of({"a": entry("BOOL", [3], [0, 3])}, b"\x00\x01\x07"))
    assert back["a"].view(np.uint8).tolist() == [0, 1, 1]


@pytest.mark.parametrize(("arrays", "metadata", "error"), [
    ({"__metadata__": np.zeros(1)}, None, ValueError), ({1: np.zeros(1)}, None, TypeError),
    ({"a": np.zeros(1, complex)}, None, TypeError), ({"a": np.array(["x"])}, None, TypeError),
    ({"a": np.array([None])}, None, TypeError), ({}, {"a": 1}, TypeError), ({}, {1: "a"}, TypeError)], ids=str)
def test_what_the_format_cannot_hold_is_refused(arrays: Any, metadata: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="Expected"):
        serialize(arrays, metadata)


def test_what_is_wrong_with_a_file_is_said_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "some.safetensors"
    path.write_bytes(b"none of ours")
    with pytest.raises(ValueError, match=r"Expected a safetensors file, but .*\(in '.*some\.safetensors'\)$"):
        load_file(path)
    save_file({}, path, {"kind": "another"})

    def check(metadata: dict[str, str]) -> None:
        raise ValueError(f"Expected one kind, got {metadata['kind']}")
    with pytest.raises(ValueError, match=r"^Expected one kind, got another \(in '.*some\.safetensors'\)$"):
        load_file(path, check)


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.safetensors"
    save_file({"a": np.ones(3)}, path)
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "plain").unlink()

    def failing(*args: Any) -> None:
        raise OSError("no space")

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="no space"):
        save_file({"a": np.zeros(3)}, path)
    assert [each.name for each in tmp_path.iterdir()] == ["state.safetensors"]
    assert load_file(path)[0]["a"].tolist() == [1, 1, 1]
