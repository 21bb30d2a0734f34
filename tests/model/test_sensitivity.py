"""`sensitivity`: the ranking against a formula written here, and what may go wrong."""
import json
import math

import numpy as np
import pytest

from pytorch_quantization_c import calibrating, float_nn, nn, quant_modules, sensitivity
from pytorch_quantization_c.model.sensitivity import Sensitivity
from pytorch_quantization_c.tensor_quant import QuantDescriptor

COARSE = {"quant_desc_input": QuantDescriptor(num_bits=3), "quant_desc_weight": QuantDescriptor(num_bits=3, axis=0)}


class Net(float_nn.Module):
    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(5)
        self.first = nn.QuantLinear(6, 6)
        self.second = nn.QuantLinear(6, 6, **COARSE)
        self.last = nn.TensorQuantizer()
        for layer in (self.first, self.second):
            np.copyto(layer.weight, rng.normal(size=(6, 6)))
            np.copyto(layer.bias, rng.normal(size=6))

    def forward(self, x):
        return self.last(self.second(np.maximum(self.first(x), 0)))


@pytest.fixture
def model():
    return Net()


@pytest.fixture
def batches():
    rng = np.random.default_rng(6)
    return [rng.normal(size=(n, 6)).astype(np.float32) for n in (4, 7)]


def fake(x, bits, axis=None):
    """The formula of symmetric quantisation, in float64."""
    bound = 2 ** (bits - 1) - 1
    amax = np.abs(x).max() if axis is None else np.abs(x).max(axis=1 - axis, keepdims=True)
    return np.rint(x * bound / amax) * amax / bound


def by_hand(model, batches, layer):
    signal = noise = 0.0
    for batch in batches:
        x = batch.astype(np.float64)
        w = [np.asarray(m.weight, np.float64) for m in (model.first, model.second)]
        b = [np.asarray(m.bias, np.float64) for m in (model.first, model.second)]

        def run(chosen, x=x, w=w, b=b):
            q = (lambda v: fake(v, 8), lambda v: fake(v, 8, 0)) if chosen == "first" else (lambda v: v,) * 2
            h = np.maximum(q[0](x) @ q[1](w[0]).T + b[0], 0)
            q = (lambda v: fake(v, 3), lambda v: fake(v, 3, 0)) if chosen == "second" else (lambda v: v,) * 2
            y = q[0](h) @ q[1](w[1]).T + b[1]
            return fake(y, 8) if chosen == "last" else y

        y, y_q = run(None), run(layer)
        signal, noise = signal + (y ** 2).sum(), noise + ((y - y_q) ** 2).sum()
    return 10 * math.log10(signal / noise)


def test_sqnr_and_order(model, batches):
    report = sensitivity(model, batches)
    assert report.to_dict().keys() == {"first", "second", "last"}
    for layer, value in report.to_dict().items():
        assert value == pytest.approx(by_hand(model, batches, layer), abs=0.05), layer
    assert report.rows[0].layer == "second"
    assert [row.value for row in report.rows] == sorted(row.value for row in report.rows)
    assert report.rows[0].quantizers == ("second._input_quantizer", "second._weight_quantizer")
    assert report.baseline == math.inf


def test_text_has_a_line_for_each_layer(model, batches):
    lines = str(sensitivity(model, batches)).splitlines()
    assert len(lines) == 5
    assert lines[2].split()[:2] == ["1", "second"]


def test_metric_of_the_caller_sees_one_layer_at_a_time(model):
    seen = []

    def number_of_live_layers(net):
        on = {name for name, m in net.named_modules() if isinstance(m, nn.TensorQuantizer) and not m._disabled}
        seen.append(on)
        return float(len(on))

    report = sensitivity(model, metric=number_of_live_layers, higher_is_better=False)
    assert seen == [set(), {"first._input_quantizer", "first._weight_quantizer"},
                    {"second._input_quantizer", "second._weight_quantizer"}, {"last"}]
    assert report.baseline == 0.0
    assert [row.value for row in report.rows] == [2.0, 2.0, 1.0]
    assert report.metric == "number_of_live_layers"


def test_disabled_quantizers_are_left_out(model, batches):
    model.last.disable()
    assert sensitivity(model, batches).to_dict().keys() == {"first", "second"}
    assert model.last._disabled


def test_the_model_is_as_before_even_after_an_exception(model, batches):
    def fails(net):
        raise KeyError("data")

    with pytest.raises(KeyError):
        sensitivity(model, metric=fails)
    assert not any(m._disabled for m in model.modules() if isinstance(m, nn.TensorQuantizer))


def test_resume_measures_the_rest(model, tmp_path):
    path, calls = tmp_path / "state.json", []

    def metric(net):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return float(len(calls))

    with pytest.raises(KeyboardInterrupt):
        sensitivity(model, metric=metric, resume=path)
    assert json.loads(path.read_text())["layers"] == {"first": 2.0}
    report = sensitivity(model, metric=metric, resume=path)
    assert report.to_dict() == {"first": 2.0, "second": 5.0, "last": 6.0}
    assert len(calls) == 6      # the float model again, then two layers


def test_batches_may_be_tuples_or_dicts(model, batches):
    plain = sensitivity(model, batches).to_dict()
    assert sensitivity(model, [(x,) for x in batches]).to_dict() == plain
    assert sensitivity(model, [{"x": x} for x in batches]).to_dict() == plain


FORMAT = '"format": "pytorch_quantization_c sensitivity 1"'


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1}', f"{{{FORMAT}}}",
                                     f'{{{FORMAT}, "layers": {{"first": "x"}}}}',
                                     f'{{{FORMAT}, "layers": {{"other": 1.0}}}}',
                                     f'{{{FORMAT}, "layers": {{}}, "metric": "x"}}'])
def test_a_file_of_something_else_is_refused(model, batches, tmp_path, content):
    path = tmp_path / "state.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="`resume`"):
        sensitivity(model, batches, resume=path)
    assert path.read_text() == content


def test_refusals(model, batches):
    with pytest.raises(TypeError, match="neither"):
        sensitivity(model)
    with pytest.raises(TypeError, match="both"):
        sensitivity(model, batches, metric=len)
    with pytest.raises(TypeError, match="`batches` to be a list"):
        sensitivity(model, 3)
    with pytest.raises(TypeError, match="`metric`"):
        sensitivity(model, metric=3)
    with pytest.raises(ValueError, match="at least one batch"):
        sensitivity(model, [])
    with pytest.raises(ValueError, match="quantisers"):
        sensitivity(float_nn.Linear(2, 2), batches)
    for answer in (None, "high", np.zeros(2)):
        with pytest.raises(TypeError, match="`metric` to return a number"):
            sensitivity(model, metric=lambda net, answer=answer: answer)
    model.last.forward = lambda x: object()
    with pytest.raises(TypeError, match="`model` to return an array"):
        sensitivity(model, batches)


def test_batches_are_gone_through_once(model, batches):
    """A generator will do, and a loader that shuffles compares like with like."""
    plain = sensitivity(model, batches).to_dict()
    assert sensitivity(model, (batch for batch in batches)).to_dict() == plain
    passes = []

    class Shuffled:
        def __iter__(self):
            passes.append(1)
            return iter(batches[::-1] if len(passes) % 2 else batches)

    assert sensitivity(model, Shuffled()).to_dict() == pytest.approx(plain)
    assert len(passes) == 1


@pytest.mark.parametrize("wrap", [lambda y: {"logits": y}, lambda y: [y], lambda y: (y,)])
def test_outputs_may_be_dicts_lists_or_tuples(model, batches, wrap):
    plain, forward = sensitivity(model, batches).to_dict(), model.forward
    model.forward = lambda x: wrap(forward(x))
    assert sensitivity(model, batches).to_dict() == plain


def state(net):
    return {name: {key: value for key, value in vars(module).items() if key in ("training", *SWITCHES)}
            for name, module in net.named_modules()}


SWITCHES = ("_disabled", "_if_quant", "_if_calib", "_if_clip")


@pytest.mark.parametrize("problem", [None, KeyError, KeyboardInterrupt])
@pytest.mark.parametrize("by_metric", [True, False])
def test_training_mode_statistics_and_switches_stay(batches, problem, by_metric):
    """Batch norm keeps its statistics, dropout does nothing, and no calibrator sees the data."""
    net = float_nn.Sequential(nn.QuantLinear(6, 6), float_nn.BatchNorm1d(6), float_nn.Dropout(0.5),
                              nn.QuantLinear(6, 6), nn.QuantLinear(6, 2))
    net[1].eval()
    net[3].input_quantizer.enable_calib()
    net[4].input_quantizer.disable()
    before, arrays = state(net), {name: value.copy() for name, value in net.state_dict().items()}
    seen, forward = [], net[4].forward

    def watched(x):
        seen.append([module.training for module in net.modules()])
        if problem is not None and len(seen) == 3:
            raise problem
        return forward(x)

    net[4].forward = watched
    how = {"metric": lambda model: float(model(batches[0]).sum())} if by_metric else {"batches": batches[:1]}
    if problem is None:
        report = sensitivity(net, **how)
        assert report.to_dict() == sensitivity(net, **how).to_dict()        # no dropout
    else:
        with pytest.raises(problem):
            sensitivity(net, **how)
    assert not np.any(seen)
    assert state(net) == before
    assert all(np.array_equal(value, arrays[name]) for name, value in net.state_dict().items())
    assert net[3].input_quantizer._calibrator.compute_amax() is None


def test_quantizers_that_do_not_quantize_are_left_out(model, batches):
    model.first.input_quantizer.disable_quant()
    model.first.weight_quantizer.disable_quant()
    assert sensitivity(model, batches).to_dict().keys() == {"second", "last"}
    with calibrating(model), pytest.raises(ValueError, match="quantise, got none"):
        sensitivity(model, batches)


def test_a_layer_that_gives_nan_comes_first(model):
    values = iter([0.0, 3.0, math.nan, 1.0])
    report = sensitivity(model, metric=lambda net: next(values))
    assert [row.layer for row in report.rows] == ["second", "last", "first"]


def test_a_file_of_other_settings_is_refused(model, batches, tmp_path):
    path = tmp_path / "state.json"
    first = sensitivity(model, batches, resume=path)
    assert sensitivity(model, batches, resume=path) == first
    kept = path.read_bytes()
    for change in (lambda: setattr(model.second.weight_quantizer, "num_bits", 5),
                   lambda: setattr(model.first.input_quantizer, "amax", 1.5)):
        change()
        with pytest.raises(ValueError, match="settings and ranges, the weights and the batches of this call"):
            sensitivity(model, batches, resume=path)
        assert path.read_bytes() == kept


def test_a_file_of_other_data_or_weights_is_refused(model, batches, tmp_path):
    path = tmp_path / "state.json"
    sensitivity(model, iter(batches), resume=path)
    kept = path.read_bytes()
    sensitivity(model, [x.copy() for x in batches], resume=path)
    for other in ([batches[0] + 1, *batches[1:]], batches[:-1], [(x,) for x in batches]):
        with pytest.raises(ValueError, match="batches of this call"):
            sensitivity(model, other, resume=path)
    model.second.weight[0, 0] += 1
    with pytest.raises(ValueError, match="the weights"):
        sensitivity(model, batches, resume=path)
    assert path.read_bytes() == kept


def test_a_folder_that_is_not_there_shows_before_the_work(model, tmp_path):
    def metric(net):
        raise AssertionError("measured")

    with pytest.raises(FileNotFoundError, match="`resume`"):
        sensitivity(model, metric=metric, resume=tmp_path / "nowhere" / "state.json")


def test_nothing_lost_by_a_layer_is_infinite(batches):
    net = float_nn.Sequential(nn.TensorQuantizer(QuantDescriptor(num_bits=8, amax=127.0)))
    whole = [np.rint(x * 10) for x in batches]
    report = sensitivity(net, whole)
    assert report.to_dict() == {"0": math.inf}
    assert isinstance(report, Sensitivity)


@pytest.mark.parametrize("keep_float", [True, False])
def test_frozen_layers_are_refused_by_name(model, batches, keep_float):
    model(batches[0])
    quant_modules.freeze(model, keep_float=keep_float)
    with pytest.raises(ValueError, match="'first'"):
        sensitivity(model, batches)
