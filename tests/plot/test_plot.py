"""The pictures of calibrators: what is drawn, and where."""
from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import float_nn, nn
from pytorch_quantization_c.calib import HistogramCalibrator, MaxCalibrator, plot
from pytorch_quantization_c.tensor_quant import QuantDescriptor


class Net(float_nn.Module):
    def __init__(self) -> None:
        super().__init__()
        options: dict[str, Any] = {"if_calib": True, "if_quant": False}
        self.first = nn.TensorQuantizer(QuantDescriptor(calib_method="histogram"), **options)
        self.channels = nn.TensorQuantizer(QuantDescriptor(calib_method="histogram", axis=0), **options)
        self.largest = nn.TensorQuantizer(**options)

    def forward(self, x: Any) -> Any:
        return self.largest(self.channels(self.first(x)))


def test_a_model(rng: np.random.Generator, tmp_path: Path) -> None:
    net = Net()
    x = np.float32(rng.normal(size=(3, 4000)) * [[1], [2], [5]])
    net(x)
    figure = plot(net)
    first, channels = figure.axes
    assert first.get_title(loc="left") == "first  (int8)" and "3 channels" in channels.get_title(loc="left")
    assert first.get_yscale() == "log"
    for place, quantizer in ((first, net.first), (channels, net.channels)):
        lines = {line.get_label().split()[0]: line.get_xdata()[0] for line in place.lines}
        for method, at in lines.items():
            options = {"percentile": 99.99} if method == "percentile" else {}
            assert at == quantizer._calibrator.compute_amax(method, **options).max()
        assert sorted(lines) == ["entropy", "mse", "percentile"]
        assert all("clips" in text.get_text() for text in place.get_legend().get_texts())
        assert place.patches[0].get_data().values.sum() == x.size
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 5000


def test_one_calibrator(rng: np.random.Generator) -> None:
    calibrator = HistogramCalibrator((4, 3), None, False)
    calibrator.collect(np.float32(rng.normal(size=1000)))
    figure = plot(calibrator)
    assert len(figure.axes) == 1 and len(figure.axes[0].lines) == 2


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    for empty in (HistogramCalibrator(8, None, False), MaxCalibrator(8, None, False), Net()):
        with pytest.raises(ValueError, match="collected a histogram"):
            plot(empty)
    with pytest.raises(TypeError, match="got str"):
        plot("x")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="plot"):
        plot(Net())
