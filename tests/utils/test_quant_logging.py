"""Handlers of the root logger."""
from __future__ import annotations

import logging

import pytest

from pytorch_quantization_c.utils.quant_logging import reset_logger_handler


def test_all_handlers_go(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [logging.NullHandler(), logging.StreamHandler()])
    reset_logger_handler()
    assert root.handlers == []
    reset_logger_handler()
    assert root.handlers == []
