"""British spelling in what people read: "quantise", but for names, titles of papers and texts of the original."""
from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "pytorch_quantization_c"
# Not beside what makes it a name: `code`, an attribute, a call, a keyword argument, a part of a path.
AMERICAN = re.compile(r"(?<![\w.`'\"=/\-\[(])(?:de|re)?quantiz(?:ers?|ed|es?|ing|ation)\b(?![\w(=`\])}]|\.\w|: | =)")
ORIGINAL = ("Only fake quantization is supported!", "Negative values encountered in unsigned quantization.",
            "ONNX does not support multi-axis quantization")
NAMES = ("pytorch_quantization_c quantizers", "`(codes, quantization)`")     # a kind of file; a variable


def prose(source: str) -> Iterator[tuple[int, str]]:
    """The comments and the strings of more than one word, each with its line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        middle = token.type == getattr(tokenize, "FSTRING_MIDDLE", None)
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING or middle) and " " in token.string:
            text = token.string
            for known in (*ORIGINAL, *NAMES):
                text = text.replace(known, "")
            yield token.start[0], text


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_prose_says_quantise(path: Path) -> None:
    assert not [f"{line}: {found[0]!r}" for line, text in prose(path.read_text()) for found in AMERICAN.finditer(text)]


def test_the_rule_finds_a_word() -> None:
    assert [found[0] for _, text in prose('raise ValueError(f"Expected a quantizer, got {x}")  # not quantized\n')
            for found in AMERICAN.finditer(text)] == ["quantizer", "quantized"]
