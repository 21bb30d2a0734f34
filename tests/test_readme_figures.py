"""README's first table repeats figures of two pages, which are measured anew more often than README is read."""
from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NETWORKS = {
    "MobileNetV2": ("MobileNetV2", "mobilenet_v2"), "EfficientNet-Lite0": ("EfficientNet-Lite0", "efficientnet_lite0"),
    "PP-LCNet (page orientation)": ("orientation", "orientation"),
    "MobileNetV3 (text direction)": ("ocr_cls", "ocr_cls"),
    "PP-OCRv4 (text detection)": ("ocr_det_v4", "ocr_det_v4"), "YOLOX-tiny": ("yolox_tiny", "yolox_tiny"),
    "LeNet (the demo)": ("LeNet", None), "ResNet-50": ("ResNet-50", None),
}


def table(page: str, title: str) -> dict[str, list[str]]:
    """First cell to the others, of the first table whose head has this title."""
    text = (ROOT / page).read_text()
    lines = text[text.index(title):].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in
            lines[2:next(at for at, line in enumerate(lines) if not line.startswith("|"))]]
    return {row[0]: row[1:] for row in rows}


def microseconds(cell: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+) (ms|us)", cell).groups()     # type: ignore[union-attr]
    return float(number) * (1000 if unit == "ms" else 1)


README = table("README.md", "| network, one image, one thread |")
TIMES = table("docs/performance.md", "| network | ours | of peak | / best int8 peer |")
NOISE = table("docs/models_onnx.md", "| model | ours | onnxruntime | NNCF |")


def test_every_network_of_the_table_has_its_rows() -> None:
    assert list(README) == list(NETWORKS)


@pytest.mark.parametrize("network", NETWORKS)
def test_times_are_those_of_the_page(network: str) -> None:
    ours, peer, floats, _ = README[network]
    row = TIMES[NETWORKS[network][0]]
    wanted = [microseconds(row[0]), min(microseconds(row[3]), microseconds(row[4])), microseconds(row[5])]
    for shown, figure in zip(map(microseconds, (ours, peer, floats)), wanted, strict=True):
        assert shown == pytest.approx(figure, rel=0.02)


@pytest.mark.parametrize("network", [name for name, (_, model) in NETWORKS.items() if model])
def test_noise_is_that_of_the_page(network: str) -> None:
    model = NETWORKS[network][1]
    assert model is not None
    ours, onnxruntime, nncf = map(float, NOISE[model][:3])
    assert README[network][3] == f"{ours} and {max(onnxruntime, nncf)} dB"
