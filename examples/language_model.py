"""A language model with 4-bit weights: decoder blocks with seeded weights, a cache of keys and values, a loop.

    python examples/language_model.py [--width 512] [--blocks 4] [--tokens 64]

Every matrix has integers of 4 bits with a scale for each 32 inputs, and every row that is multiplied with them is
rounded to 8 bits by its own range: `layer.execution` is "int8". The weights are random, so what it says means nothing;
how fast it says it depends on their number alone.
"""
from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pytorch_quantization_c as pq
from pytorch_quantization_c import float_nn, nn
from pytorch_quantization_c.tensor_quant import QuantDescriptor

Array = NDArray[np.float32]
ROWS = QuantDescriptor(8, axis=0)  # each row of an input has a range of its own
GROUPS = QuantDescriptor(4, block_sizes={-1: 32})


def linear(inputs: int, outputs: int) -> nn.QuantLinear:
    return nn.QuantLinear(inputs, outputs, bias=False, quant_desc_input=ROWS, quant_desc_weight=GROUPS)


def root_mean_square(x: Array) -> Array:
    """RMSNorm without weights."""
    squares = np.einsum("ij,ij->i", x, x) * np.float32(1 / x.shape[1])
    return np.asarray(x / np.sqrt(squares + np.float32(1e-6))[:, None], np.float32)


def rotated(x: Array, cos: Array, sin: Array) -> Array:
    """Rotary positions of (rows, ..., size), the halves of a head being the parts of complex numbers."""
    half = x.shape[-1] // 2
    a, b, y = x[..., :half], x[..., half:], np.empty_like(x)
    y[..., :half] = a * cos - b * sin
    y[..., half:] = b * cos + a * sin
    return y


class Block(float_nn.Module):
    """Attention and a gated feed-forward layer, each added to its input; with the keys and values of what was read."""

    def __init__(self, width: int, heads: int, hidden: int, positions: int) -> None:
        super().__init__()
        self.heads, self.size, self.hidden = heads, width // heads, hidden
        self.qkv, self.out = linear(width, 3 * width), linear(width, width)
        self.gate_up, self.down = linear(width, 2 * hidden), linear(hidden, width)
        self.keys, self.values = (np.zeros((heads, positions, self.size), np.float32) for _ in range(2))

    def forward(self, x: Array, start: int, cos: Array, sin: Array) -> Array:
        """x (rows, width): tokens from position `start` on."""
        x = x + self.out(self.attention(root_mean_square(x), start, cos, sin))
        both = self.gate_up(root_mean_square(x))
        gate, up = both[:, :self.hidden], both[:, self.hidden:]
        return np.asarray(x + self.down(gate * up / (1 + np.exp(-gate))))

    def attention(self, x: Array, start: int, cos: Array, sin: Array) -> Array:
        rows, end = len(x), start + len(x)
        qkv = self.qkv(x).reshape(rows, 3, self.heads, self.size)
        q, k = rotated(qkv[:, :2], cos, sin).transpose(1, 2, 0, 3)
        self.keys[:, start:end], self.values[:, start:end] = k, qkv[:, 2].transpose(1, 0, 2)
        scores = (q * np.float32(self.size ** -0.5)) @ self.keys[:, :end].transpose(0, 2, 1)
        if rows > 1:  # no token sees a later one
            scores += np.triu(np.full((rows, end), -np.inf, np.float32), start + 1)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = weights @ self.values[:, :end] / weights.sum(-1, keepdims=True)
        return np.asarray(mixed.transpose(1, 0, 2).reshape(rows, -1), np.float32)


class LanguageModel(float_nn.Module):
    """Embedding, blocks, and a head; `forward` reads tokens from a position on and gives the scores after the last."""

    def __init__(self, words: int = 2048, width: int = 512, blocks: int = 4, positions: int = 256,
                 seed: int = 0) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        self.embedding = rng.standard_normal((words, width), np.float32)
        heads, hidden = width // 64, width * 11 // 4 // 32 * 32
        self.blocks = float_nn.ModuleList([Block(width, heads, hidden, positions) for _ in range(blocks)])
        self.head = linear(width, words)
        for _, parameter in self.named_parameters():
            parameter[...] = rng.standard_normal(parameter.shape, np.float32) * np.float32(parameter.shape[-1] ** -0.5)
        angles = np.outer(np.arange(positions), 10000.0 ** (-np.arange(32) / 32)).astype(np.float32)
        self.cos, self.sin = np.cos(angles)[:, None, None], np.sin(angles)[:, None, None]

    def forward(self, tokens: NDArray[np.int64], start: int) -> Array:
        x, at = self.embedding[tokens], slice(start, start + len(tokens))
        for block in self.blocks:
            x = block(x, start, self.cos[at], self.sin[at])
        return np.asarray(self.head(root_mean_square(x[-1:]))[0], np.float32)

    def generate(self, prompt: list[int], tokens: int) -> list[int]:
        """The likeliest token after the prompt, and so on."""
        found, scores = [int(word) for word in prompt], self(np.asarray(prompt), 0)
        for _ in range(tokens):
            found.append(int(scores.argmax()))
            scores = self(np.asarray(found[-1:]), len(found) - 1)
        return found[len(prompt):]


def quantized(**sizes: Any) -> LanguageModel:
    """A model whose weights are integers alone."""
    model = LanguageModel(**sizes)
    model.eval()
    return pq.freeze(model, keep_float=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, usual in (("width", 512), ("blocks", 4), ("tokens", 64)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    options = parser.parse_args()
    model = quantized(width=options.width, blocks=options.blocks, positions=options.tokens + 8)
    model.generate([1, 2, 3, 4], 1)
    begin = time.perf_counter()
    words = model.generate([1, 2, 3, 4], options.tokens)
    spent = time.perf_counter() - begin
    assert model.head.execution == "int8"
    print(f"{words[:8]} ...: {len(words) / spent:.0f} tokens a second, {1e3 * spent / len(words):.2f} ms each")


if __name__ == "__main__":
    main()
