"""`python -m pytorch_quantization_c`: commands, help, exit codes."""
from __future__ import annotations

import argparse
import subprocess
import sys

import pytest

import pytorch_quantization_c
from pytorch_quantization_c import info, isa, threads
from pytorch_quantization_c.__main__ import main, make_parser

from .process import run_python

VERSION = pytorch_quantization_c.__version__


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_python("-m", "pytorch_quantization_c", *arguments)


def test_demo_prints_the_table() -> None:
    done = run("demo", "--batch", "250")
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert "ms / 250 images" in lines[0] and len(lines) >= 6
    assert lines[1].startswith("float32")


def test_info_prints_what_a_bug_report_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    told = dict(line.split(":", 1) for line in capsys.readouterr().out.splitlines())
    told = {name: value.strip() for name, value in told.items()}
    assert told["pytorch_quantization_c"] == VERSION
    assert told["compiler"] and told["Python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert told["instruction sets found"].split(", ") == list(isa.available())
    assert told["instruction sets used"].split(", ") == list(isa.selected())
    assert told["threads"].startswith(f"{threads.get_num_threads()} of ")


def test_info_tells_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PQC_SOMETHING", "7")
    assert "PQC_SOMETHING=7" in info.facts()["environment"]
    assert info.installed("surely-no-such-package") == "not installed"


def test_help_and_version_leave_with_zero(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["demo", "--help"], ["info", "-h"], ["--version"]):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 0
    told = capsys.readouterr().out
    assert "demo" in told and "--batch" in told and f"pytorch_quantization_c {VERSION}" in told


def test_every_argument_has_a_help_text() -> None:
    chosen = next(each for each in make_parser()._actions if isinstance(each, argparse._SubParsersAction))
    assert len(chosen.choices) == len(chosen._choices_actions) == 6
    for name, command in chosen.choices.items():
        for action in command._actions:
            assert action.help, (name, action.dest)


@pytest.mark.parametrize("arguments", ["", "dance", "demo --batch 0", "demo --batch x", "info extra",
                                       "demo --shape 1,3"])
def test_wrong_command_lines_leave_with_two(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments.split())
    assert left.value.code == 2
    assert "usage:" in capsys.readouterr().err
