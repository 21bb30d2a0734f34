"""`quantize`, `compare` and `run` on the command line."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.__main__ import main
from pytorch_quantization_c.graph.commands import benchmark
from pytorch_quantization_c.graph.files import reader
from tests.graph.networks import convolutional, images, network, normal, sqnr


@pytest.fixture
def files(rng: np.random.Generator, tmp_path: Path) -> tuple[Path, Path]:
    """A model and a file of data."""
    (tmp_path / "model.onnx").write_bytes(ir.to_proto(convolutional(rng)).SerializeToString())
    np.savez(tmp_path / "data.npz", x=images(rng, 6))
    return tmp_path / "model.onnx", tmp_path / "data.npz"


def test_a_file_is_quantized_compared_and_run(files: tuple[Path, Path], tmp_path: Path,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    model, data, int8 = *map(str, files), str(tmp_path / "int8.onnx")
    assert main(["quantize", model, "-o", int8, "--data", data, "--exclude", "gemm10", "--summary"]) == 0
    text = capsys.readouterr().out
    assert "7 quantisers" in text and "SQNR of y:" in text and "exclude" in text
    assert main(["compare", model, int8, "--data", data, "--report", str(tmp_path / "page.html")]) == 0
    assert "conv3.weight" in capsys.readouterr().out and (tmp_path / "page.html").exists()
    assert main(["run", int8, "--data", data, "-o", str(tmp_path / "out.npz")]) == 0
    assert "y: float32 [6, 5]" in capsys.readouterr().out
    with np.load(data) as arrays, np.load(tmp_path / "out.npz") as written:
        np.testing.assert_array_equal(written["y"], graph.interpret(graph.load(int8), dict(arrays))[0])


def test_the_demo_takes_a_file(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """SQNR and agreement are those of plain NumPy on the samples that were not calibrated with."""
    model, data = files
    assert main(["demo", "--onnx", str(model), "--data", str(data)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "calibrated with 3 samples, measured on 3 others" in lines[-1]
    x, float_model = np.load(data)["x"], graph.load(model)
    int8 = graph.quantize(float_model, [x[at:at + 1] for at in range(3)])
    wanted, got = (graph.interpret(each, {"x": x[3:]})[0] for each in (float_model, int8))
    same = 100 * np.mean(wanted.argmax(1) == got.argmax(1))
    rows = {line[:30].strip(): line for line in lines}
    for name in ("8 bits, operator by operator", "8 bits, one program"):
        assert f"{same:.1f} %" in rows[name] and f"{sqnr(wanted, got):.1f} dB" in rows[name]
    assert "MB" in rows["float"] and "dB" not in rows["float"]


def test_the_demo_takes_random_inputs_and_refuses_what_is_no_model(files: tuple[Path, Path],
                                                                  capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--onnx", str(files[0]), "--shape", "2,3,16,16"]) == 0
    assert "random inputs" in capsys.readouterr().out
    assert main(["demo", "--onnx", str(files[1])]) == 2
    assert capsys.readouterr().err.startswith("demo: ")


def test_the_float_model_is_not_overwritten(files: tuple[Path, Path], tmp_path: Path,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    model, data = files
    before = model.read_bytes()
    (tmp_path / "link.onnx").symlink_to(model)
    for output in (str(model), str(tmp_path / "link.onnx")):
        assert main(["quantize", str(model), "-o", output, "--data", str(data)]) == 2
        assert "another file than the float model" in capsys.readouterr().err
    assert main(["quantize", str(model), "-o", str(tmp_path / "none" / "a.onnx"), "--data", str(data)]) == 2
    assert "folder that exists" in capsys.readouterr().err and model.read_bytes() == before


def test_more_memory_than_there_is_gets_a_message(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(files[0]), "--shape", f"{2**40},3,16,16"]) == 2
    assert capsys.readouterr().err.startswith("bench: ")


def test_weights_of_a_file_are_said_to_be_integers(files: tuple[Path, Path], tmp_path: Path,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    model, data, int8 = *map(str, files), str(tmp_path / "int8.onnx")
    assert main(["quantize", model, "-o", int8, "--data", data]) == 0
    assert main(["compare", model, int8, "--data", data]) == 0
    assert "stored as integers" in capsys.readouterr().out
    assert main(["compare", model, model, "--data", data]) == 0
    assert "stored as integers" not in capsys.readouterr().out


def test_data_may_be_a_folder_or_left_out(files: tuple[Path, Path], rng: np.random.Generator, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(3):
        np.save(folder / f"{number}.npy", images(rng, 2))
    assert main(["quantize", str(files[0]), "-o", str(tmp_path / "a.onnx"), "--data", str(folder)]) == 0
    assert main(["quantize", str(files[0]), "-o", str(tmp_path / "b.onnx")]) == 0


@pytest.mark.parametrize("data, message", [("nothing.npz", "not there"), ("model.onnx", ".npy or .npz file"),
                                           ("bad.npz", "file of NumPy arrays"), ("other.npz", "inputs ['x']")])
def test_bad_data_is_refused_and_nothing_is_written(files: tuple[Path, Path], tmp_path: Path, data: str, message: str,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.npz").write_bytes(b"no arrays")
    np.savez(tmp_path / "other.npz", z=np.zeros(3), q=np.zeros(2))
    assert main(["quantize", str(files[0]), "-o", str(tmp_path / "int8.onnx"), "--data", str(tmp_path / data)]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "int8.onnx").exists()


def test_models_of_a_fixed_batch_take_any_number_of_samples(rng: np.random.Generator, tmp_path: Path,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    model = network("""c = Conv (x, w)  g = GlobalAveragePool (c)  file = Flatten (g)
                       label = ArgMax <axis = 1, keepdims = 0> (file)""", "float[1,3,8,8] x",
                    "float[1,4] file, int64[1] label", w=normal(rng, 4, 3, 3, 3))
    data, paths = images(rng, 6, 8), {name: str(tmp_path / f"{name}.onnx") for name in ("float", "int8")}
    Path(paths["float"]).write_bytes(ir.to_proto(model).SerializeToString())
    np.save(tmp_path / "data.npy", data)
    given = ["--data", str(tmp_path / "data.npy")]
    assert main(["quantize", paths["float"], "-o", paths["int8"], *given]) == 0
    text = capsys.readouterr().out
    assert "SQNR of file: " in text and "label: " in text and "% equal" in text and "inf" not in text
    assert main(["compare", paths["float"], paths["int8"], *given, "--report", str(tmp_path / "page.html")]) == 0
    text = capsys.readouterr().out
    assert "output file: " in text and "output label: " in text and "inf" not in text
    assert "% equal" in (tmp_path / "page.html").read_text()
    assert main(["run", paths["float"], *given, "-o", str(tmp_path / "out.npz")]) == 0
    expected = np.concatenate([graph.interpret(model, {"x": each[None]})[0] for each in data])
    with np.load(tmp_path / "out.npz") as written:
        assert sorted(written.files) == ["file", "label"]
        np.testing.assert_array_equal(written["file"], expected)
        np.testing.assert_array_equal(written["label"], expected.argmax(1))


@pytest.mark.parametrize("option", [["--method", "mse"], ["--percentile", "99"], ["--residual", "u8"]])
def test_options_that_need_data_are_refused_without(files: tuple[Path, Path], tmp_path: Path, option: list[str],
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quantize", str(files[0]), "-o", str(tmp_path / "int8.onnx"), *option]) == 2
    assert "Expected `batches`" in capsys.readouterr().err and not (tmp_path / "int8.onnx").exists()


@pytest.mark.parametrize("given", [["--batch", "2"], ["--shape", "x=1,3,16,16", "--threads", "2", "--profile"], "data"])
def test_a_file_is_timed(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str], given: list[str] | str,
                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "SECONDS", 0.001)
    reads, read = list[str](), reader.read_file
    monkeypatch.setattr(reader, "read_file", lambda path: reads.append(path) or read(path))
    assert main(["bench", str(files[0]), *(["--data", str(files[1])] if given == "data" else given)]) == 0
    assert reads == [str(files[0])]  # once
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[0].startswith("model.onnx, ") and lines[0].split()[-3:] == ["ms", "x", "here"]
    assert lines[1].split()[0] == "here" and lines[1].split()[2] == "1.00"
    assert "here, quantised" in text and any(line.startswith("onnxruntime") for line in lines)
    assert ("why no kernel" in text) == ("--profile" in given)


def test_a_saved_program_is_timed(files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "SECONDS", 0.001)
    graph.compile(files[0]).save(tmp_path / "net.pqc")
    assert main(["bench", str(tmp_path / "net.pqc")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["bench", str(tmp_path / "net.pqc"), "--data", str(files[1]), "--profile"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("here ")
    np.savez(tmp_path / "other.npz", z=np.zeros(3))
    assert main(["bench", str(tmp_path / "net.pqc"), "--data", str(tmp_path / "other.npz")]) == 2
    assert "inputs ['x']" in capsys.readouterr().err


@pytest.mark.parametrize("data", [True, False])
def test_a_quantised_file_is_timed_as_it_is(files: tuple[Path, Path], tmp_path: Path, data: bool, capsys: Any,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """With ranges from data, and with those that are found in each input."""
    monkeypatch.setattr(benchmark, "SECONDS", 0.001)
    int8 = str(tmp_path / "int8.onnx")
    assert main(["quantize", str(files[0]), "-o", int8, *(["--data", str(files[1])] if data else [])]) == 0
    capsys.readouterr()
    assert main(["bench", int8]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["int8.onnx,", "here", "onnxruntime"]


@pytest.mark.parametrize(("arguments", "message"), [
    (["--shape", "x=1,a"], "Expected `--shape` as NAME=1,3,224,224"), (["--data", "nothing.npy"], "not there"),
    (["--shape", "x=1,4,16,16"], "of shape ['N', 3, 16, 16], got"),
    (["--shape", "images=1,3,16,16"], "Expected `--shape` to name an input of the model, x, got 'images'"),
    (["--shape", "1,3,16,16", "--shape", "1,3,8,8"], "Expected one `--shape` without a name, got 2"),
])
def test_bad_arguments_of_bench(files: tuple[Path, Path], arguments: list[str], message: str,
                                capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(files[0]), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_times_take_turns() -> None:
    calls: list[str] = []
    rows = benchmark.timings({"a": lambda: calls.append("a"), "b": "it is not there"}, rounds=2)
    assert rows[1] == ("b", None, "it is not there") and rows[0].milliseconds is not None and len(calls) > 4
