"""Attention on arrays, against the formula in float64, and its quantised projections against QuantLinear's own rule."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pytorch_quantization_c as pq
from pytorch_quantization_c import float_nn, integer, nn
from pytorch_quantization_c.tensor_quant import QuantDescriptor

RNG = np.random.default_rng(0)
E, HEADS, N, L, S = 16, 4, 3, 5, 7


def arrays(batch_first: bool = True, kdim: int = E, vdim: int = E) -> list[Any]:
    found = [RNG.standard_normal((N, n, c)).astype(np.float32) for n, c in ((L, E), (S, kdim), (S, vdim))]
    return found if batch_first else [x.swapaxes(0, 1) for x in found]


def literal(layer: Any, q: Any, k: Any, v: Any, mask: Any = 0.0) -> tuple[Any, Any]:
    """softmax(Q K^T / sqrt(d) + mask) V of every head, one by one, in float64."""
    weight, bias = np.float64(layer.in_proj_weight), np.float64(layer.in_proj_bias)
    q, k, v = (np.float64(x) @ weight[at * E:(at + 1) * E].T + bias[at * E:(at + 1) * E]
               for at, x in enumerate((q, k, v)))
    size, mixed, weights = E // HEADS, [], []
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        scores = q[..., part] @ k[..., part].swapaxes(1, 2) / np.sqrt(size) + mask
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        mixed.append(shares @ v[..., part])
        weights.append(shares)
    out = np.concatenate(mixed, -1) @ np.float64(layer.out_proj.weight).T + np.float64(layer.out_proj.bias)
    return out, np.stack(weights, 1)


def test_the_formula() -> None:
    layer = float_nn.MultiheadAttention(E, HEADS, batch_first=True).eval()
    layer.in_proj_bias[:] = RNG.standard_normal(3 * E)
    given = arrays()
    mask = RNG.random((L, S)) < 0.3
    mask[:, 0] = False
    penalties = np.where(mask, -np.inf, 0.0)
    for extra, options in ((0.0, {}), (penalties, {"attn_mask": mask}), (penalties, {"attn_mask": penalties})):
        out, weights = layer(*given, average_attn_weights=False, **options)
        wanted, shares = literal(layer, *given, extra)
        np.testing.assert_allclose(out, wanted, atol=2e-6)
        np.testing.assert_allclose(weights, shares, atol=1e-6)
    mean = layer(*given)[1]
    np.testing.assert_allclose(mean, literal(layer, *given)[1].mean(1), atol=1e-6)
    assert layer(*given, need_weights=False)[1] is None


def test_a_padded_key_counts_as_one_that_is_not_there() -> None:
    layer = float_nn.MultiheadAttention(E, HEADS, batch_first=True).eval()
    q, k, v = arrays()
    padding = np.zeros((N, S), bool)
    padding[:, 4:] = True
    np.testing.assert_allclose(layer(q, k, v, padding)[0], layer(q, k[:, :4], v[:, :4])[0], atol=1e-6)


def test_orders_of_axes_agree() -> None:
    layer = float_nn.MultiheadAttention(E, HEADS).eval()
    first = float_nn.MultiheadAttention(E, HEADS, batch_first=True).eval()
    first.load_state_dict(layer.state_dict())
    q, k, v = arrays()
    wanted, weights = first(q, k, v)
    out, same = layer(*(x.swapaxes(0, 1) for x in (q, k, v)))
    np.testing.assert_allclose(out.swapaxes(0, 1), wanted, atol=1e-6)
    np.testing.assert_allclose(same, weights, atol=1e-6)
    alone, one = layer(q[1], k[1], v[1])
    np.testing.assert_allclose(alone, wanted[1], atol=1e-6)
    np.testing.assert_allclose(one, weights[1], atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"kdim": 6, "vdim": 10}, {"add_bias_kv": True, "add_zero_attn": True},
                                     {"bias": False}])
def test_from_float_and_state_dictionaries(options: dict[str, Any]) -> None:
    """Quantisers off: the float layer's answer; on: near it; entries of the float layer load into a new one."""
    layer = float_nn.MultiheadAttention(E, HEADS, batch_first=True, **options).eval()
    given = arrays(True, options.get("kdim", E), options.get("vdim", E))
    model = float_nn.Sequential(layer)
    wanted = layer(*given)[0]
    pq.replace(model, custom_quant_modules=[(float_nn, "MultiheadAttention", nn.QuantMultiheadAttention)])
    quantised = model[0]
    assert type(quantised) is nn.QuantMultiheadAttention
    out = quantised(*given)[0]
    assert 0 < np.abs(out - wanted).max() < 0.05 * np.abs(wanted).max()
    assert {each.execution for each in quantised.modules() if isinstance(each, nn.QuantLinear)} == {"int8"}
    other = nn.QuantMultiheadAttention(E, HEADS, batch_first=True, **options).eval()
    other.load_state_dict(layer.state_dict(), strict=False)
    np.testing.assert_array_equal(other(*given)[0], out)
    for each in quantised.modules():
        if isinstance(each, nn.TensorQuantizer):
            each.disable()
    np.testing.assert_allclose(quantised(*given)[0], wanted, atol=1e-6)


def test_products_of_activations_are_quantised_on_request() -> None:
    """With all else off, the products are those of operands that the quantisers' own formula has rounded."""
    layer = nn.QuantMultiheadAttention(E, HEADS, batch_first=True, quant_desc_bmm=QuantDescriptor(4)).eval()
    for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
        for quantizer in (getattr(layer, name).input_quantizer, getattr(layer, name).weight_quantizer):
            quantizer.disable()
    given = arrays()

    def rounded(x: Any) -> Any:
        scale = 7 / np.abs(x).max()
        return np.rint(x * scale) / scale

    with integer.float_only():
        out = layer(*given)[0]
    size = E // HEADS
    q, k, v = (np.float64(each(x)).reshape(N, -1, HEADS, size).swapaxes(1, 2) for each, x in
               zip((layer.q_proj, layer.k_proj, layer.v_proj), given, strict=True))
    scores = rounded(q / np.sqrt(size)) @ rounded(k).swapaxes(2, 3)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    mixed = (rounded(shares) @ rounded(v)).swapaxes(1, 2).reshape(N, L, E)
    np.testing.assert_allclose(out, layer.out_proj(mixed.astype(np.float32)), atol=1e-4)


def test_calibrated_frozen_and_saved(tmp_path: Any) -> None:
    def model() -> Any:
        return float_nn.Sequential(nn.QuantMultiheadAttention(E, HEADS, batch_first=True)).eval()

    made, given = model(), arrays()
    with pq.calibrating(made, load_amax=True):
        made[0](*given)
    wanted = made[0](*given)[0]
    pq.freeze(made, keep_float=False)
    np.testing.assert_array_equal(made[0](*given)[0], wanted)
    pq.save_frozen(made, tmp_path / "attention.safetensors")
    served = pq.load_frozen(model(), tmp_path / "attention.safetensors")
    np.testing.assert_array_equal(served[0](*given)[0], wanted)


@pytest.mark.parametrize("arguments, message", [
    ((15, 4), "divisible"), ((0, 1), "`embed_dim` > 0"), ((16, True), "`num_heads` to be an integer"),
    ((16, 4, 1.5), "dropout"), ((16, 4, 0.0, True, False, False, 0), "`kdim`"),
    (("16", 4), "`embed_dim` to be an integer")])
def test_wrong_sizes_are_refused(arguments: tuple[Any, ...], message: str) -> None:
    for cls in (float_nn.MultiheadAttention, nn.QuantMultiheadAttention):
        with pytest.raises((ValueError, TypeError), match=message):
            cls(*arguments)


@pytest.mark.parametrize("change, message", [
    ({"query": np.zeros((L, E), np.float32)}, "3 dimensions each"),
    ({"key": np.zeros((2, S, E), np.float32)}, "one batch"),
    ({"value": np.zeros((N, 4, E), np.float32)}, "as many keys as values"),
    ({"attn_mask": np.zeros((L, L))}, "`attn_mask` of shape"),
    ({"key_padding_mask": np.zeros((S, N), bool)}, "`key_padding_mask` of shape"),
    ({"attn_mask": np.zeros((L, S), np.int64)}, "attn_mask"), ({"is_causal": True}, "`attn_mask` together with")])
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    layer = float_nn.MultiheadAttention(E, HEADS, batch_first=True).eval()
    given = dict(zip(("query", "key", "value"), arrays(), strict=True))
    with pytest.raises((ValueError, RuntimeError, TypeError), match=message):
        layer(**{**given, **change})


@pytest.mark.parametrize("rows", [3 * E + 1, 3 * E + 2, 2 * E])
def test_entries_of_another_size_do_not_load(rows: int) -> None:
    layer, state = nn.QuantMultiheadAttention(E, HEADS), float_nn.MultiheadAttention(E, HEADS).state_dict()
    with pytest.raises(RuntimeError, match=r"in_proj_weight|q_proj\.weight"):
        layer.load_state_dict({**state, "in_proj_weight": np.zeros((rows, E), np.float32)})
