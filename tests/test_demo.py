"""The demonstration: its data, its arithmetic, and the results that the README promises."""
from __future__ import annotations

import numpy as np
import pytest

from pytorch_quantization_c import demo


@pytest.fixture(scope="module")
def digits() -> demo.Digits:
    return demo.load_digits()


@pytest.fixture(scope="module")
def rows() -> list[demo.Row]:
    return demo.run(batch=125)


def test_data_is_what_the_data_readme_says(digits: demo.Digits) -> None:
    assert digits.test_images.shape == (500, 1, 28, 28)
    assert digits.calibration_images.shape == (100, 1, 28, 28)
    assert digits.test_labels.shape == (500,) and set(digits.test_labels.tolist()) == set(range(10))
    assert {name: array.shape for name, array in digits.weights.items()} == {
        "conv1.weight": (10, 1, 5, 5), "conv1.bias": (10,), "conv2.weight": (20, 10, 5, 5), "conv2.bias": (20,),
        "fc1.weight": (50, 320), "fc1.bias": (50,), "fc2.weight": (10, 50), "fc2.bias": (10,),
    }
    assert all(array.dtype == np.float32 for array in digits.weights.values())
    assert digits.test_images.min() == 0 and 0.9 < digits.test_images.max() <= 1


def test_calibration_images_are_not_test_images(digits: demo.Digits) -> None:
    tested = {image.tobytes() for image in digits.test_images}
    assert not tested & {image.tobytes() for image in digits.calibration_images}


def test_enlarging_keeps_a_constant_and_a_slope() -> None:
    assert (demo.enlarge(np.full((1, 8, 8), 16, np.uint8)) == 1).all()
    slope = demo.enlarge(np.tile(np.arange(8, dtype=np.uint8), (1, 8, 1)))[0, 0, 5]
    inner = slope[2:-2]  # beyond the first and the last centre the border value is repeated
    np.testing.assert_allclose(np.diff(inner), 1 / 3.5 / 16, rtol=1e-5)
    assert slope[0] == slope[1] == 0 and slope[-1] == slope[-2] == np.float32(7 / 16)


def test_sqnr() -> None:
    signal = np.array([3.0, -4.0], np.float32)
    assert demo.sqnr(signal, signal + np.float32(0.5)) == pytest.approx(10 * np.log10(25 / 0.5))
    assert demo.sqnr(signal, signal) == float("inf")


def test_bytes_of_weights(digits: demo.Digits) -> None:
    assert demo.weight_bytes(digits) == 4 * (250 + 10 + 5000 + 20 + 16000 + 50 + 500 + 10)
    assert demo.weight_bytes(digits, 8) == (250 + 5000 + 16000 + 500) + 4 * 2 * (10 + 20 + 50 + 10)
    assert demo.weight_bytes(digits, 4) == (250 + 5000 + 16000 + 500) // 2 + 4 * 2 * (10 + 20 + 50 + 10)


def test_results(rows: list[demo.Row]) -> None:
    """Float at least 97 %; 8 bits, in flight and calibrated, within 0.3 points of it."""
    float_row, default, calibrated, compiled, four_bits, e4m3 = rows
    assert float_row.accuracy >= 97 and float_row.sqnr == float("inf")
    assert abs(default.accuracy - float_row.accuracy) <= 0.3 + 1e-9
    assert abs(calibrated.accuracy - float_row.accuracy) <= 0.3 + 1e-9
    assert default.sqnr > 30 and calibrated.sqnr > 30
    assert (compiled.accuracy, compiled.sqnr) == (calibrated.accuracy, calibrated.sqnr)
    assert 20 < e4m3.sqnr < default.sqnr
    assert 5 < four_bits.sqnr < e4m3.sqnr
    assert all(row.milliseconds > 0 and row.microseconds > 0 for row in rows)


def test_the_program_that_is_shipped_has_the_bits_of_the_net(digits: demo.Digits) -> None:
    """`tests/graph` compiles it anew."""
    net, program = demo.quantised_net(digits), demo.program()
    demo.calibrate(net, digits.calibration_images)
    for batch in (1, 3, 500):
        images = digits.test_images[:batch]
        assert np.array_equal(program(images), net(images))


def test_calibration_fixes_every_amax(digits: demo.Digits) -> None:
    net = demo.quantised_net(digits)
    demo.calibrate(net, digits.calibration_images)
    state = net.state_dict()
    amax = {name: value for name, value in state.items() if name.endswith("_amax")}
    assert len(amax) == 8
    np.testing.assert_array_equal(amax["conv1._input_quantizer._amax"], abs(digits.calibration_images).max())
    expected = abs(digits.weights["fc1.weight"]).max(axis=1, keepdims=True)
    np.testing.assert_array_equal(amax["fc1._weight_quantizer._amax"], expected)


def test_table_shows_every_row() -> None:
    rows = [demo.Row("float32", 98.6, float("inf"), 1.25, 40.2, 87360),
            demo.Row("8 bits", 98.4, 38.26, 0.5, 9.0, 22470)]
    lines = demo.table(rows, 100).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1].split() == ["float32", "98.6", "%", "1.25", "40", "87.4", "kB"]
    assert lines[2].split() == ["8", "bits", "98.4", "%", "38.3", "dB", "0.50", "9", "22.5", "kB"]
