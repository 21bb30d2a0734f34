"""The report: a page that stands alone, with the numbers of every method."""
from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from pytorch_quantization_c import float_nn, nn
from pytorch_quantization_c._core.progress import progress
from pytorch_quantization_c.calib import HistogramCalibrator, MaxCalibrator, report
from pytorch_quantization_c.calib.overview import overviews
from pytorch_quantization_c.calib.reporting import percent
from pytorch_quantization_c.model.calibrating import calibrating
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from . import paper


class Net(float_nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.plain = nn.TensorQuantizer(QuantDescriptor(calib_method="histogram"))
        self.channels = nn.TensorQuantizer(QuantDescriptor(calib_method="histogram", axis=1, num_bits=4))
        self.eighth = nn.TensorQuantizer(QuantDescriptor(calib_method="histogram", num_bits=(4, 3)))
        self.largest = nn.TensorQuantizer(QuantDescriptor(axis=1))
        self.unused = nn.TensorQuantizer(QuantDescriptor(calib_method="histogram"))
        self.off = nn.TensorQuantizer(disabled=True)

    def forward(self, x: Any) -> Any:
        return self.largest(self.eighth(self.channels(self.plain(x))))


@pytest.fixture
def net(rng: np.random.Generator) -> Net:
    made = Net()
    with calibrating(made):
        for _ in range(3):
            made(np.float32(rng.normal(size=(20, 3, 50)) * [[1], [4], [0]]))
    made.plain.load_calib_amax("percentile", percentile=99.0)
    return made


class Links(HTMLParser):
    """What a page would fetch, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [f"{tag} {name}={value}" for name, value in attrs if name in ("src", "href", "srcset")]
        self.fetched += [tag] * (tag in ("script", "link", "img", "iframe"))

    def handle_data(self, data: str) -> None:
        self.text += " " + data


def test_the_page(net: Net, tmp_path: Path) -> None:
    net.plain._calibrator._num_nan = 7
    report(net, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    links = Links()
    links.feed(page)
    assert not links.fetched and "url(" not in page and "@import" not in page
    for text in ("plain", "channels", "eighth", "largest", "unused", "nothing collected", "E4M3", "int4", "3 channels",
                 "7 NaN or infinite", "in use", "9,000 values"):
        assert text in links.text, text
    assert "off" not in re.findall(r"<b>(.*?)</b>", page)
    amax = net.plain._calibrator.compute_amax("mse")
    assert f"{float(amax):.5g}" in links.text
    pictures = re.findall(r"<svg.*?</svg>", page)
    assert len(pictures) == 3
    for picture in pictures:
        root = ElementTree.fromstring(picture)
        numbers = [float(each) for path in root.iter("path") for each in re.findall(r"-?\d+\.?\d*", path.attrib["d"])]
        assert min(numbers) >= 0 and max(numbers) <= 362


def test_names_are_escaped(tmp_path: Path) -> None:
    calibrator = HistogramCalibrator(8, None, False)
    calibrator.name = "<script>&\""
    calibrator.collect(np.float32([1, 2]))
    report(calibrator, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page and "&lt;script&gt;&amp;&quot;" in page


def test_numbers(net: Net) -> None:
    plain, channels, eighth, largest, unused = overviews(net)
    hist, edges = net.plain._calibrator._rows()[0]
    x = paper.centres(edges)
    assert [result.method for result in plain.results] == ["entropy", "mse", "percentile", "in use"]
    for result in plain.results:
        noise = np.sum(hist * (paper.quantised(x, result.amax[0], 8, False).astype(float) - x) ** 2)
        assert np.isclose(result.sqnr, 10 * np.log10(np.sum(hist * x.astype(float) ** 2) / noise))
        assert np.isclose(result.clipped, hist[x > result.amax[0]].sum() / hist.sum())
    assert plain.best is not None and plain.best.method == "mse"
    assert plain.counts is not None and plain.counts.sum() == hist.sum() == 9000
    assert [result.method for result in eighth.results] == ["mse", "percentile"]
    assert channels.channels == 3 and channels.results[0].amax[2] == 0 and (channels.results[0].amax[:2] > 0).all()
    assert largest.counts is None and largest.results[0].amax.size == 3
    assert unused.counts is None and unused.results == []


def test_one_calibrator(rng: np.random.Generator) -> None:
    calibrator = HistogramCalibrator(8, None, False, num_bins=64)
    assert overviews(calibrator)[0].counts is None
    calibrator.collect(np.float32(rng.normal(size=100)))
    (found,) = overviews(calibrator)
    assert found.name == "HistogramCalibrator" and len(found.results) == 3
    assert overviews(MaxCalibrator(8, None, False))[0].results == []
    zeros = HistogramCalibrator(8, None, False)
    zeros.collect(np.zeros(5, np.float32))
    assert overviews(zeros)[0].counts is None


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="a model or a calibrator, got int"):
        report(3, tmp_path / "page.html")
    with pytest.raises(ValueError, match="quantisers that have calibrators"):
        report(float_nn.ReLU(), tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


def test_a_model_that_has_collected_nothing(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="No calibrator has collected anything.*with calibrating"):
        report(nn.QuantLinear(3, 2), tmp_path / "page.html")
    assert "nothing collected" in (tmp_path / "page.html").read_text()


def test_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(progress(range(20), "x")) == list(range(20)) and progress([1], "x") == [1]
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert progress(range(20), "x") == range(20)


@pytest.mark.parametrize(("share", "text"), [
    (0.0, "0 %"), (1.0, "100 %"), (3e-9, "< 0.001 %"), (1e-5, "0.001 %"), (0.0123, "1.2 %"), (0.5, "50 %"),
    (0.9999, "> 99 %"), (0.94, "94 %")])
def test_shares_in_words(share: float, text: str) -> None:
    assert percent(share) == text


def test_an_amax_that_clips_much_is_marked(tmp_path: Path) -> None:
    quantizer = nn.TensorQuantizer(QuantDescriptor(calib_method="histogram", amax=8.0))
    model = float_nn.Sequential(quantizer)
    with calibrating(model):
        model(np.linspace(0, 10, 1000, dtype=np.float32))       # a fifth lies above 8
    report(model, tmp_path / "page.html")
    rows = re.findall(r'<tr class="([^"]*)"><td><i [^>]*></i>([^<]+)</td><td[^>]*>[^<]*</td><td[^>]*>([^<]*)</td>',
                      (tmp_path / "page.html").read_text())
    marked = {method: (kinds.split(), share) for kinds, method, share in rows}
    assert "much" in marked["in use"][0] and marked["in use"][1] == "20 %"
    assert "much" not in marked["percentile"][0]
