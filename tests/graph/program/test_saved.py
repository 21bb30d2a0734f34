"""Saved programs: the bits of the session that wrote them, with NumPy alone; damaged files are refused."""
from __future__ import annotations

import json
import pickle
from pathlib import Path
from types import GenericAlias
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pytorch_quantization_c import graph, integer, isa, threads
from pytorch_quantization_c._core.safetensors import load_file, save_file
from pytorch_quantization_c.graph.errors import GraphError
from pytorch_quantization_c.graph.program import codec, document
from pytorch_quantization_c.graph.program.operations import Operation

from ...process import run_python
from ..networks import network, normal
from .zoo import ZOO

SMALL = ["lenet", "resnet", "squeeze"]

LOAD = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("onnx", "onnx_ir", "onnxscript", "torch", "ml_dtypes", "yaml", "scipy"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
import numpy as np
from pytorch_quantization_c import graph
with np.load(sys.argv[2]) as arrays:
    found = graph.load_session(sys.argv[1]).run(None, {"x": arrays["x"]})
    assert all(np.array_equal(a, arrays[f"y{number}"]) for number, a in enumerate(found)) and len(arrays) > len(found)
"""


def equal(found: Any, expected: Any) -> bool:
    return len(found) == len(expected) and all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in zip(found, expected, strict=True))


@pytest.fixture
def saved(rng: np.random.Generator, tmp_path: Path) -> Any:
    """Makes a network of the zoo: its model, the file of its program, and feeds of a batch."""
    def make(name: str = "resnet", **options: Any) -> tuple[Any, Path, Any]:
        model, shape = ZOO[name](rng)
        int8 = graph.quantize(model, [normal(rng, 2, *shape)], methods=(), **options)
        path = tmp_path / f"{name}.pqc"
        graph.compile(int8).save(path)
        return int8, path, lambda count, *size: {"x": normal(rng, count, *(size or shape)) * 2}
    return make


@pytest.mark.parametrize("name", ZOO)
def test_the_bits_of_the_interpreter(saved: Any, name: str) -> None:
    model, path, feeds = saved(name)
    session = graph.load_session(path)
    compiled = graph.compile(model)
    for count in (1, 3):
        x = feeds(count)
        assert equal(session.run(None, x), graph.interpret(model, x))
    assert session.get_inputs() == compiled.get_inputs() and session.get_outputs() == compiled.get_outputs()
    assert repr(session) == repr(compiled) and session.summary() == compiled.summary()


@pytest.mark.parametrize("name", SMALL)
def test_instruction_sets_and_threads(saved: Any, name: str) -> None:
    """A file is the same wherever it is written, and runs everywhere."""
    model, path, feeds = saved(name)
    x = feeds(2)
    expected, data = graph.interpret(model, x), path.read_bytes()
    for one in isa.available():
        with isa.only("scalar", one):
            graph.compile(model).save(path)
            assert path.read_bytes() == data
            for count in range(1, 5):
                assert equal(graph.load_session(path, num_threads=count).run(None, x), expected), (one, count)


def test_other_sizes_and_lists(saved: Any) -> None:
    model, path, feeds = saved(residual="u8")
    session = graph.load_session(path)
    for size in ((3, 20, 41), (3, 64, 17)):
        x = feeds(2, *size)
        assert equal(session.run(None, x), graph.interpret(model, x))
        assert equal(session.run(None, {"x": x["x"].tolist()}), graph.interpret(model, x))


def test_without_onnx(saved: Any) -> None:
    for name in SMALL:
        model, path, feeds = saved(name)
        arrays = feeds(2)
        expected = {f"y{number}": each for number, each in enumerate(graph.interpret(model, arrays))}
        np.savez(path.with_suffix(".npz"), **arrays, **expected)
        done = run_python("-c", LOAD, str(path), str(path.with_suffix(".npz")))
        assert done.returncode == 0, done.stderr


def test_what_python_computes(rng: np.random.Generator, tmp_path: Path) -> None:
    """Operators with attributes of all types, constants, values with and without names, layers on integers in 1-D,
    transposed, with zero points and by channel."""
    body = """a = Conv <pads = [1, 1]> (x, w1)  b = LeakyRelu <alpha = 0.2> (a)
              c = ConvTranspose <strides = [2]> (b, w2)
              d = Pad (c, pads)  e, f = Split <axis = 1> (d, parts)  g = Softmax <axis = 1> (e)
              s = Shape (f)  z = ConstantOfShape <value = float[1] {0.5}> (s)  h = Add (f, z)
              k = Clip (h, low, high)  t = Transpose <perm = [0, 2, 1]> (k)
              l, lh, lc = LSTM <hidden_size = 3> (t, w3, w4)  y = Cast <to = 11> (l)"""
    model = network(body, "float[N,4,9] x", "double[L,1,N,3] y, float[N,P,Q] g",
                    w1=normal(rng, 6, 4, 3), w2=normal(rng, 6, 5, 2), pads=np.array([0, 0, 1, 0, 0, 2]),
                    parts=np.array([2, 3]), low=np.float32(-1), high=np.float32(1), w3=normal(rng, 1, 12, 3),
                    w4=normal(rng, 1, 12, 3))
    int8 = graph.quantize(model, [normal(rng, 2, 4, 9)])
    path = tmp_path / "x.pqc"
    graph.compile(int8).save(path)
    session = graph.load_session(path)
    for count in (1, 2):
        x = {"x": normal(rng, count, 4, 9)}
        assert equal(session.run(None, x), graph.interpret(int8, x))
    reasons = [row.reason for row in session.summary() if row.kernel == "Python"]
    assert reasons and all(reasons)


def test_inputs_with_values_of_their_own(rng: np.random.Generator, tmp_path: Path) -> None:
    model = network("y = Add (x, z)", "float[N,3] x, float[3] z", "float[N,3] y", z=normal(rng, 3))
    session = graph.compile(model)
    session.save(tmp_path / "x.pqc")
    loaded, x = graph.load_session(tmp_path / "x.pqc"), normal(rng, 2, 3)
    for feeds in ({"x": x}, {"x": x, "z": normal(rng, 3)}):
        assert equal(loaded.run(None, feeds), session.run(None, feeds))
    with pytest.raises(GraphError, match=r"Expected inputs \['x', 'z'\], got none for 'x'"):
        loaded.run(None, {})


def test_steps_that_need_onnx_are_named(tmp_path: Path) -> None:
    model = network("y = Det (x)  z = ReduceL1 <keepdims = 0> (n)", "float[2,2] x, int64[3] n", "float y, int64 z")
    session, path = graph.compile(model), tmp_path / "x.pqc"
    session.run(None, {"x": np.ones((2, 2), np.float32), "n": np.arange(3)})
    with pytest.raises(GraphError, match=r"needs the package onnx.*'det0' \(Det\).*'reducel11' \(ReduceL1\)"):
        session.save(path)
    assert not path.exists()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_without_a_code(saved: Any, bad: float) -> None:
    _, path, feeds = saved()
    session, x = graph.load_session(path), feeds(1)
    good = session.run(None, x)
    broken = {"x": x["x"].copy()}
    broken["x"][0, 1, 5, 6] = bad
    with pytest.raises(ValueError, match=f"Expected finite numbers as input 'x' of a saved program, got {bad}"):
        session.run(None, broken)
    assert equal(session.run(None, x), good)


def test_what_a_saved_program_cannot_do(saved: Any) -> None:
    _, path, feeds = saved()
    session, x = graph.load_session(path), feeds(1)
    with integer.float_only(), pytest.raises(ValueError, match="float_only"):
        session.run(None, x)
    with pytest.raises(ValueError, match="Expected inputs that this program has been made for, got an array of shape"):
        session.run(None, {"x": np.zeros((0, 3, 9, 9), np.float32)})
    with pytest.raises(AttributeError, match="no graph"):
        session.model  # noqa: B018
    with pytest.raises(GraphError, match="Expected outputs among"):
        session.run(["q"], x)


def test_pickles_and_copies(saved: Any, tmp_path: Path) -> None:
    model, path, feeds = saved("squeeze")
    session, x = graph.load_session(path, num_threads=2), feeds(2)
    again = pickle.loads(pickle.dumps(session))
    assert equal(again.run(None, x), graph.interpret(model, x)) and again.num_threads == 2
    again.save(tmp_path / "again.pqc")
    assert (tmp_path / "again.pqc").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("count", [1, 3, None])
def test_numbers_of_threads(saved: Any, count: int | None) -> None:
    model, path, feeds = saved("lenet")
    before = threads.get_num_threads()
    assert graph.compile(model, num_threads=count).num_threads == count
    graph.load_session(path, num_threads=count).run(None, feeds(1))
    assert threads.get_num_threads() == before


@pytest.mark.parametrize(("count", "error"), [(0, ValueError), (257, ValueError), (1.0, TypeError), (True, TypeError)])
def test_senseless_numbers_of_threads(saved: Any, count: Any, error: type[Exception]) -> None:
    _, path, _ = saved("lenet")
    with pytest.raises(error, match="Expected `num_threads`"):
        graph.load_session(path, num_threads=count)


# Damaged files

def test_other_formats_and_versions(saved: Any, tmp_path: Path) -> None:
    _, path, _ = saved("lenet")
    arrays, metadata = load_file(path)
    for changed, text in (({"version": "2"}, "its version is '2', and this library reads '1': save the program once"),
                          ({"format": "pytorch_quantization_c quantizers"}, r"call load_quant_state\(model, path\)"),
                          ({"mark": ""}, "it is corrupt: its fingerprint does not match")):
        save_file(arrays, tmp_path / "other.pqc", {**metadata, **changed})
        with pytest.raises(ValueError, match=text):
            graph.load_session(tmp_path / "other.pqc")
    (tmp_path / "other.pqc").write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(ValueError, match="zip archive"):
        graph.load_session(tmp_path / "other.pqc")


def test_every_flipped_byte_is_noticed(saved: Any, tmp_path: Path, rng: np.random.Generator) -> None:
    _, path, _ = saved("lenet")
    data, broken = path.read_bytes(), tmp_path / "broken.pqc"
    for at in [*range(0, len(data), 97), len(data) - 1]:
        broken.write_bytes(data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1:])
        with pytest.raises(ValueError):
            graph.load_session(broken)
    for length in range(0, len(data), 401):
        broken.write_bytes(data[:length])
        with pytest.raises(ValueError):
            graph.load_session(broken)


def _places(data: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all parts of JSON."""
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [*([here] if here else []), *(each for name, part in inside for each in _places(part, (*here, name)))]


HOSTILE: list[Any] = [None, -1, 0, 3, 2 ** 40, 2 ** 70, 1e300, "nan", "", [], [[]], {}, {"class": "Conv"}, True, ...]


@pytest.mark.parametrize("name", ["lenet", "squeeze"])
def test_every_part_changed_on_purpose(saved: Any, tmp_path: Path, rng: np.random.Generator, name: str) -> None:
    """Files whose fingerprint fits: refused, or run as any other; `...`: the part is taken away."""
    _, path, feeds = saved(name)
    arrays, metadata = load_file(path)
    program, x, refused = json.loads(metadata["program"]), feeds(1), 0
    places = _places(program)
    chosen = [places[i] for i in rng.choice(len(places), 150, replace=False)]
    for where in chosen:
        value = HOSTILE[rng.integers(len(HOSTILE))]
        changed = json.loads(metadata["program"])
        part = changed
        for step in where[:-1]:
            part = part[step]
        if value is ...:
            del part[where[-1]]
        else:
            part[where[-1]] = value
        text = json.dumps(changed)
        save_file(arrays, tmp_path / "x.pqc", {**metadata, "program": text, "mark": document._mark(text, arrays)})
        try:
            graph.load_session(tmp_path / "x.pqc").run(None, x)
        except (ValueError, MemoryError) as error:
            refused += 1
            assert str(error)
    assert refused > 90 and program == json.loads(metadata["program"])


def _changed(path: Path, change: Any) -> None:
    """Rewrites a file with a changed program and the fingerprint of it."""
    arrays, metadata = load_file(path)
    program = json.loads(metadata["program"])
    change(program, arrays)
    text = json.dumps(program)
    save_file(arrays, path, {**metadata, "program": text, "mark": document._mark(text, arrays)})


def _first(program: Any, kind: str) -> Any:
    return next(each for each in program["operations"] if each["class"] == kind)


def _cycle(program: Any, arrays: Any) -> None:
    first, second, *_ = (each for each in program["operations"] if each["class"] == "Conv")
    first["input"] = second["outputs"][0]


def _twice(program: Any, arrays: Any) -> None:
    program["operations"].append(_first(program, "Conv"))


def _from_nowhere(program: Any, arrays: Any) -> None:
    _first(program, "Import")["value"] = 12345


def _wide(program: Any, arrays: Any) -> None:
    for axis in "yx":
        _first(program, "Conv")[axis][3:5] = [20000, 20000]


def _wrong_weight(program: Any, arrays: Any) -> None:
    arrays[_first(program, "Conv")["weight"]] = np.zeros((3, 3), np.int8)


def _floats(program: Any, arrays: Any) -> None:
    name = _first(program, "Conv")["weight"]
    arrays[name] = arrays[name].astype(np.float32)


@pytest.mark.parametrize(("change", "text"), [
    (_cycle, "each other in a cycle"), (_twice, "is made twice"), (_from_nowhere, "nothing makes value 12345"),
    (_wrong_weight, "expected a weight"), (_floats, "expected an array of int8"),
    (_wide, "bytes of memory|does not fit the weights"),
])
def test_hostile_programs(saved: Any, change: Any, text: str) -> None:
    _, path, feeds = saved("mobilenet")
    _changed(path, change)
    with pytest.raises(ValueError, match=text):
        graph.load_session(path).run(None, feeds(1))


@pytest.mark.parametrize("change", [lambda header: header.update({"\ud800": header.pop(next(reversed(header)))}),
                                    lambda header: header["__metadata__"].update(program="\ud800")],
                         ids=["an array", "the program"])
def test_names_that_are_no_text(saved: Any, change: Any) -> None:
    """JSON can say half of a character, which no encoding has."""
    _, path, _ = saved("lenet")
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[end:])
    with pytest.raises(ValueError, match="its fingerprint does not match"):
        graph.load_session(path)


def test_an_operator_that_there_is_not(rng: np.random.Generator, tmp_path: Path) -> None:
    def other(program: Any, arrays: Any) -> None:
        _first(program, "Python")["call"]["compute"]["node"]["op_type"] = "Nothing"

    graph.compile(network("y = Cos (x)", "float[N] x", "float[N] y")).save(tmp_path / "x.pqc")
    _changed(tmp_path / "x.pqc", other)
    with pytest.raises(ValueError, match="no function for Nothing"):
        graph.load_session(tmp_path / "x.pqc")


def test_fields_that_are_younger_than_the_file(saved: Any) -> None:
    """What has a default may be absent; what has none may not."""
    model, path, feeds = saved("lenet")

    def older(program: Any, arrays: Any) -> None:
        for each in program["operations"]:
            if each["class"] == "Conv":
                del each["residual"], each["hard_swish"]
                each["y"] = each["y"][:5]

    _changed(path, older)
    x = feeds(2)
    assert equal(graph.load_session(path).run(None, x), graph.interpret(model, x))
    _changed(path, lambda program, arrays: _first(program, "Conv").pop("groups"))
    with pytest.raises(ValueError, match="of a Conv, got"):
        graph.load_session(path)


def test_every_operation_has_fields_that_a_file_can_hold() -> None:
    """A new one needs no code here: the types of its fields say how they are saved."""
    kinds = [each for each in codec._subclasses(Operation) if each.__module__.startswith("pytorch_quantization_c.")]
    assert len(kinds) >= 7
    for kind in kinds:
        for name in codec._saved(kind):
            codec._decoder(codec._hints(kind)[name], tuple(document.LOADING.items()))


def test_arrays_as_any_numpy_declares_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """`NDArray[float32]` is an array class with arguments, or from NumPy 2.5 on an alias with one."""
    arrays = {"a": np.ones(2, np.float32), "b": np.ones(2)}
    alias = object()
    for hint in (NDArray[np.float32], GenericAlias(alias, (np.float32,))):  # type: ignore[arg-type]
        assert codec.decoded(hint, "a", arrays, {}) is arrays["a"]
        with pytest.raises(ValueError, match="expected an array of float32 as 'b', got float64"):
            codec.decoded(hint, "b", arrays, {})
        monkeypatch.setattr(codec, "NDArray", alias)
        codec._decoder.cache_clear()
    monkeypatch.undo()
    codec._decoder.cache_clear()
