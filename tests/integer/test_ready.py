"""A layer that was called before does what one does that is called for the first time, whatever has changed."""
import copy
import gc
import pickle
import threading
import time
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pytorch_quantization_c import _C, integer, nn, quant_modules
from pytorch_quantization_c.float_nn import Parameter
from pytorch_quantization_c.tensor_quant import QuantDescriptor


class Doubled(nn.QuantLinear):
    def _linear(self, input, weight):
        return 2 * super()._linear(input, weight)


class OwnQuantizer(nn.TensorQuantizer):
    pass


def linear(rng, cls=nn.QuantLinear, amax=None, frozen=True):
    layer = cls(12, 8, quant_desc_input=QuantDescriptor(amax=amax))
    layer.weight[...], layer.bias[...] = rng.standard_normal((8, 12)), rng.standard_normal(8)
    return quant_modules.freeze(layer) if frozen else layer


def conv(rng, frozen=True):
    layer = nn.QuantConv2d(4, 8, 3, padding=1)
    layer.weight[...], layer.bias[...] = rng.standard_normal((8, 4, 3, 3)), rng.standard_normal(8)
    return quant_modules.freeze(layer) if frozen else layer


def transposed(rng, frozen=True):
    layer = nn.QuantConvTranspose2d(4, 8, 3, 2)
    layer.weight[...], layer.bias[...] = rng.standard_normal((4, 8, 3, 3)), rng.standard_normal(8)
    return quant_modules.freeze(layer) if frozen else layer


def inputs(layer, seed=5):
    shape = (3, 12) if isinstance(layer, nn.QuantLinear) else (2, 4, 7, 6)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def outcome(layer, x):
    """What a call gives, or the error that it raises, and what the layer says about it."""
    try:
        answer = layer(x)
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        return type(error), str(error), layer.execution
    return answer.shape, answer.dtype, answer.tobytes(), layer.execution


def is_ready(layer, x):
    cached = layer._engine.frozen or layer._engine.cached
    return cached is not None and cached.guarded is not None and _C.integer_call(cached.guarded, layer, x) is not None


def attribute(name, value):
    return lambda layer: setattr(layer, name, value)


def of_quantizer(name, value):
    return lambda layer: setattr(layer.input_quantizer, name, value)


def buffer(name, value):
    return lambda layer: layer.input_quantizer._buffers.update({name: np.array(value, np.float32)})


def parameter(name, value):
    return lambda layer: layer._parameters.update({name: value})


def quantizer(**settings):
    return lambda layer: setattr(layer, "_input_quantizer", nn.TensorQuantizer(QuantDescriptor(**settings)))


def replaced(holder, name):
    """Another dictionary in the place of one, with other contents."""
    def change(layer):
        target = layer if holder == "layer" else layer.input_quantizer
        vars(target)[name] = dict(vars(target)[name], **{
            "_modules": {"_input_quantizer": nn.TensorQuantizer(QuantDescriptor(num_bits=4))},
            "_parameters": {"bias": None}, "_buffers": {"_amax": np.float32(0.5)}}[name])
    return change


def other_state(layer):
    """Another dictionary of all attributes."""
    layer.input_quantizer.__dict__ = dict(vars(layer.input_quantizer), _num_bits=4)


ONES = np.ones(8, np.float32)
CHANGES = {
    "disabled": (lambda layer: layer.input_quantizer.disable(), "float: the input quantiser is off"),
    "no quant": (lambda layer: layer.input_quantizer.disable_quant(), "float: the input quantiser is off"),
    "calibration": (lambda layer: layer.input_quantizer.enable_calib(), "float: the input quantiser collects"),
    "bits": (of_quantizer("num_bits", 4), "int8"),
    "wide": (of_quantizer("num_bits", 12), "float: the input has not 2 to 8 bits"),
    "unsigned": (of_quantizer("unsigned", True), "float: negative input"),
    "narrow": (of_quantizer("narrow_range", True), "int8"),
    "real": (of_quantizer("_fake_quant", False), "float: the input quantiser is not fake"),
    "learnt without clip": (of_quantizer("_learn_amax", True), "float: the range of the input is learnt"),
    "learnt": (quantizer(amax=1.0, learn_amax=True), "float: the range of the input is learnt"),
    "axis": (of_quantizer("_axis", 0), "float: the input has an amax for each channel"),
    "scaled": (of_quantizer("_scale_amax", 0.5), "int8"),
    "own forward": (of_quantizer("forward", lambda x: x), "float: the input quantiser has a forward"),
    "export": (of_quantizer("_enable_onnx_export", True), "float: ONNX export is on"),
    "amax": (of_quantizer("amax", 0.5), "int8"),
    "amax of several": (buffer("_amax", [1, 2]), "float: the input has an amax for each channel"),
    "pre_quant_scale": (of_quantizer("pre_quant_scale", 2.0), "float: the input has a pre_quant_scale"),
    "another quantiser": (quantizer(num_bits=4), "int8"),
    "class of the quantiser": (of_quantizer("__class__", OwnQuantizer), "float: a class of its own"),
    "state of the quantiser": (other_state, "int8"),
    "modules": (replaced("layer", "_modules"), "int8"),
    "parameters": (replaced("layer", "_parameters"), "int8"),
    "buffers": (replaced("quantizer", "_buffers"), "int8"),
    "bias": (attribute("bias", Parameter(ONES)), "int8"),
    "no bias": (attribute("bias", None), "int8"),
    "wide bias": (parameter("bias", Parameter(ONES.astype(np.float64))), "float: the bias is float64"),
    "writable": (lambda layer: layer.weight.setflags(write=True), "int8"),
}
OF_LINEAR = {
    "axis": (of_quantizer("_axis", 0), "int8"),        # a range for each row
    "weight": (lambda layer: setattr(layer, "weight", Parameter(np.ones((8, 12), np.float32))), "int8"),
    "class": (lambda layer: setattr(layer, "__class__", Doubled), "float: a class of its own"),
}
OF_CONV = {
    "stride": (attribute("stride", (2, 1)), "int8"), "padding": (attribute("padding", (0, 1)), "int8"),
    "dilation": (attribute("dilation", (2, 2)), "int8"),
    "padding_mode": (attribute("padding_mode", "reflect"), "int8"),
}
OF_TRANSPOSED = {"output_padding": (attribute("output_padding", (1, 0)), "int8")}
MAKERS = ((linear, CHANGES | OF_LINEAR), (conv, CHANGES | OF_CONV), (transposed, OF_TRANSPOSED))
ALL = [(make, name, *change) for make, changes in MAKERS
       for name, change in changes.items()]


EACH = [(*case, frozen) for case in ALL for frozen in (True, False) if frozen or case[1] != "writable"]


@pytest.mark.parametrize("make, name, change, execution, frozen", EACH,
                         ids=[f"{'frozen ' * case[4]}{case[0].__name__} {case[1]}" for case in EACH])
def test_a_change_is_seen(make, name, change, execution, frozen):
    used, fresh = (make(np.random.default_rng(1), frozen=frozen) for _ in range(2))
    x = inputs(used)
    before = used(x)
    assert is_ready(used, x)
    np.testing.assert_array_equal(used(x), before)
    for layer in (used, fresh):
        change(layer)
    assert not is_ready(used, x)
    outcomes = [outcome(layer, x) for layer in (used, used, fresh)]
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert outcomes[0][-1].startswith(execution)
    if name not in ("writable", "narrow"):
        assert outcomes[0][-2] != before.tobytes()


def of_weight(name, value):
    return lambda layer: setattr(layer.weight_quantizer, name, value)


def in_place(layer):
    layer.weight[1, 2] += 1


OF_WEIGHT = {
    "in place": (in_place, "int8"),
    "disabled": (lambda layer: layer.weight_quantizer.disable(), "float: the weight quantiser is off"),
    "bits": (of_weight("num_bits", 4), "int8"), "unsigned": (of_weight("unsigned", True), "float: an unsigned weight"),
    "narrow": (of_weight("narrow_range", True), "int8"), "scaled": (of_weight("_scale_amax", 0.5), "int8"),
    "axis": (of_weight("_axis", None), "int8"), "amax": (of_weight("amax", 0.5), "int8"),
    "amax in place": (lambda layer: layer.weight_quantizer.amax.fill(0.25), "int8"),
    "amax of another shape": (lambda layer: setattr(layer.weight_quantizer, "_amax", np.ones((8, 1), np.float32)),
                              "int8"),
    "amax of several": (lambda layer: setattr(layer.weight_quantizer, "_amax", np.ones(12, np.float32)),
                        "float: the weight's amax"),
    "pre_quant_scale": (of_weight("pre_quant_scale", 2.0), "float: the weight has a pre_quant_scale"),
    "forward": (of_weight("forward", lambda x: x), "float: the weight quantiser has a forward"),
    "class": (of_weight("__class__", OwnQuantizer), "float: a class of its own"),
    "another": (lambda layer: setattr(layer, "_weight_quantizer", nn.TensorQuantizer(QuantDescriptor(num_bits=3))),
                "int8"),
}

@pytest.mark.parametrize("with_amax", [False, True])
@pytest.mark.parametrize("name", OF_WEIGHT)
def test_a_change_of_a_weight_that_is_not_frozen_is_seen(name, with_amax):
    change, execution = OF_WEIGHT[name]
    used, fresh = (linear(np.random.default_rng(1), frozen=False) for _ in range(2))
    if with_amax or name == "amax in place":
        for layer in (used, fresh):
            layer.weight_quantizer.amax = np.full((8, 1) if name == "amax of another shape" else (), 2, np.float32)
    x = inputs(used)
    before = used(x)
    assert is_ready(used, x)
    for layer in (used, fresh):
        change(layer)
    assert not is_ready(used, x)
    outcomes = [outcome(layer, x) for layer in (used, used, fresh)]
    assert outcomes[0] == outcomes[1] == outcomes[2] and outcomes[0][-1].startswith(execution)
    if name != "narrow" and not (name == "axis" and with_amax):
        assert outcomes[0][-2] != before.tobytes()


@pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")  # of NumPy 2.5; it still can be done
def test_another_shape_of_the_same_weight_is_seen():
    layer = linear(np.random.default_rng(1), frozen=False)
    x = inputs(layer)
    layer(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        layer.weight.shape = (12, 8)
    with pytest.raises(ValueError, match="12"):
        layer(x)


def test_switches_of_the_process_are_seen():
    layer = linear(np.random.default_rng(1), amax=2.0)
    x = inputs(layer)
    before = layer(x)
    with integer.float_only():
        layer(x)
        assert layer.execution == "float: integers are switched off"
    nn.TensorQuantizer._enable_onnx_export = True
    try:
        layer(x)
        assert layer.execution == "float: ONNX export is on"
    finally:
        del nn.TensorQuantizer._enable_onnx_export
    np.testing.assert_array_equal(layer(x), before)
    assert layer.execution == "int8" and is_ready(layer, x)


@pytest.mark.parametrize("make, change", [(linear, of_quantizer("_scale_amax", 0.5)),
                                          (conv, attribute("padding_mode", "reflect"))])
def test_what_takes_more_than_one_step_is_not_prepared(make, change):
    layer = make(np.random.default_rng(1))
    change(layer)
    layer(inputs(layer))
    assert layer.execution == "int8" and layer._engine.frozen.guarded is None


@pytest.mark.parametrize("make", [linear, conv])
def test_any_input_gets_the_answer_of_a_first_call(make):
    used, fresh = (make(np.random.default_rng(1)) for _ in range(2))
    x = inputs(used)
    used(x)
    bad = np.where(x > 2, np.float32(np.nan), x)
    for each in (x[0], x[:, ::-1][:, ::-1], np.asfortranarray(x), x.astype(">f4"), x.astype(np.float64), x.tolist(),
                 bad, x[:0], Parameter(x), x[:, 1:], "text", None, np.float32(3)):
        assert outcome(used, each) == outcome(fresh, each)
    assert is_ready(used, x)


def test_a_fixed_amax_is_read_in_every_call():
    layer = linear(np.random.default_rng(1), amax=1.5)
    x = inputs(layer)
    layer(x)
    assert is_ready(layer, x)
    layer.input_quantizer.amax[...] = 0.25
    assert is_ready(layer, x)
    np.testing.assert_array_equal(layer(x), linear(np.random.default_rng(1), amax=0.25)(x))
    layer.input_quantizer.amax[...] = np.nan
    layer(x)
    assert layer.execution == "float: amax is negative or not finite"


def test_the_forward_of_a_subclass_is_taken():
    taken = []

    class Own(nn.QuantLinear):
        def forward(self, *args, **kwargs):
            taken.append(args)
            return super().forward(*args, **kwargs)

    layer = linear(np.random.default_rng(1), Own)
    for count in range(1, 4):
        layer(inputs(layer))
        assert len(taken) == count and layer.execution == "int8"


@pytest.mark.parametrize("first", [0, 1])
def test_a_size_of_the_output_is_heeded(first):
    """With and without, in either order, and again."""
    layer = transposed(np.random.default_rng(1))
    x = inputs(layer)
    for size in [None, (16, 13)][first:] + [None, (16, 13), None]:
        fresh = transposed(np.random.default_rng(1))
        y = layer(x, output_size=size)
        assert y.shape == (2, 8, *(size or (15, 13))) and layer.execution == "int8"
        np.testing.assert_array_equal(y, fresh(x, output_size=size))


def test_groups_are_seen():
    """Which a layer whose weight stays cannot change and compute: it says what one does that is called first."""
    used, fresh = (conv(np.random.default_rng(1)) for _ in range(2))
    x = inputs(used)
    used(x)
    for layer in (used, fresh):
        layer.groups = 2
    assert not is_ready(used, x) and outcome(used, x) == outcome(fresh, x)


def test_a_list_that_changes_in_place_is_seen():
    used, fresh = (conv(np.random.default_rng(1)) for _ in range(2))
    used.stride = [1, 1]
    used(inputs(used))
    used.stride[0] = 2
    fresh.stride = (2, 1)
    np.testing.assert_array_equal(used(inputs(used)), fresh(inputs(used)))


@pytest.mark.parametrize("name, value", [("_disabled", 0), ("_if_quant", 1), ("unsigned", 0), ("narrow_range", 0)])
def test_a_number_for_a_truth_is_prepared_too(name, value):
    layer = linear(np.random.default_rng(1))
    setattr(layer.input_quantizer, name, value)
    layer.input_quantizer._buffers["_pre_quant_scale"] = None
    before = layer(inputs(layer))
    assert is_ready(layer, inputs(layer))
    np.testing.assert_array_equal(before, layer(inputs(layer)))


@pytest.mark.parametrize("name, values", [("num_bits", (8, 4)), ("_scale_amax", (None, 0.5))])
def test_a_change_in_another_thread_gives_one_answer_or_the_other(name, values):
    layer = linear(np.random.default_rng(1))
    x, answers, found = inputs(layer), {}, set()
    for value in values:
        setattr(layer.input_quantizer, name, value)
        answers[value] = layer(x).tobytes()
    done, rounds = threading.Event(), 0

    def change():
        while not done.is_set():
            for value in values:
                setattr(layer.input_quantizer, name, value)
                time.sleep(1e-5)

    changing = threading.Thread(target=change)
    changing.start()
    try:
        with ThreadPoolExecutor(3) as pool:
            while found < set(answers.values()) and rounds < 500:   # until the other thread had its turn, too
                rounds += 1
                found.update(pool.map(lambda _: layer(x).tobytes(), range(3000)))
    finally:
        done.set()
        changing.join()
    assert found == set(answers.values())
    for value, answer in answers.items():
        setattr(layer.input_quantizer, name, value)
        assert layer(x).tobytes() == answer


def test_what_a_layer_has_no_longer_is_not_kept():
    layer = linear(np.random.default_rng(1))
    layer(inputs(layer))
    gone = weakref.ref(layer.input_quantizer)
    layer._input_quantizer = nn.TensorQuantizer(QuantDescriptor())
    layer.input_quantizer.disable()
    layer(inputs(layer))
    gc.collect()
    assert gone() is None


def test_a_layer_goes_with_its_last_reference():
    layer = linear(np.random.default_rng(1))
    layer(inputs(layer))
    assert layer._engine.frozen.guarded is not None
    gone = weakref.ref(layer.input_quantizer)
    gc.disable()
    try:
        del layer
        assert gone() is None
    finally:
        gc.enable()


def test_what_is_no_prepared_call_is_refused():
    layer = linear(np.random.default_rng(1))
    x = inputs(layer)
    y = layer(x)
    good = layer._engine.frozen.guarded
    packed, *rest, guards = good
    for ready in (None, (), good[:4], [*good], (packed, *rest, None), (packed, *rest, (1,)), (packed, *rest, ((),)),
                  (packed, *rest, ((None, type(layer), ("a",), ()),)),
                  (packed, *rest, ((None, type(layer), "a", "b"),)),
                  (packed, *rest, (({}, dict, ([],), (1,)),))):
        with pytest.raises(TypeError):
            _C.integer_call(ready, layer, x)
    with pytest.raises(ValueError):
        _C.integer_call((object(), *rest, guards), layer, x)
    for gone in ((float, type, ("nothing",), (1,)), (None, float, ("nothing",), (1,))):
        assert _C.integer_call((packed, *rest, (gone,)), 1.0, x) is None
    assert _C.integer_call((packed, *rest, ((float, type, ("nothing",), (...,)),)), layer, x) is not None
    for proof in (1, (1,), ((x, x),), ((x, 1, None),), ((x, x, 1),), ((x, x.astype(np.float64), None),)):
        with pytest.raises(TypeError, match="Expected what proves a weight"):
            _C.integer_call((packed, None, None, proof, ()), layer, x)
    for others in ((1, None, None), (None, 1, None), (None, x, None), (x, None, None), (None, None, ((x, y, None),))):
        assert _C.integer_call((packed, *others, ()), layer, x) is None
    np.testing.assert_array_equal(_C.integer_call((packed, *rest, ()), layer, x), y)


def test_a_prepared_call_has_the_weights_packed_for_its_own_settings():
    """Another thread that packs the same weight for another size in between."""
    layer = transposed(np.random.default_rng(1), frozen=False)
    x = inputs(layer)
    wanted, engine = layer(x), type(layer._engine)
    original, others = engine._called, []

    def called(self, *args):
        others.append(1)
        if len(others) == 1:
            layer(x, output_size=(16, 13))
        original(self, *args)

    fresh = transposed(np.random.default_rng(1), frozen=False)
    layer._engine.cached = None
    engine._called = called
    try:
        layer(x)
    finally:
        engine._called = original
    for _ in range(2):
        np.testing.assert_array_equal(layer(x), wanted)
    np.testing.assert_array_equal(fresh(x), wanted)


def test_a_thawed_layer_loads_a_state_and_its_bias_can_be_written():
    layer = linear(np.random.default_rng(1))
    state = {name: np.array(value) for name, value in layer.state_dict().items()}
    layer.weight = Parameter(np.ones((8, 12), np.float32))
    layer.load_state_dict({**state, "weight": np.full((8, 12), 2, np.float32)})
    assert (layer.weight == 2).all() and layer.weight.flags.writeable
    layer.bias += 1
    layer.load_state_dict(state)


@pytest.mark.parametrize("travel", [copy.deepcopy, copy.copy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_does_not_trust_a_frozen_weight_that_was_made_writable(travel):
    layer = linear(np.random.default_rng(1))
    x = inputs(layer)
    layer(x)
    layer.weight.setflags(write=True)
    layer.weight *= 2
    np.testing.assert_array_equal(travel(layer)(x), layer(x))
