"""state_dict and load_state_dict: names, copies, strict errors, overrides."""
import copy

import numpy as np
import pytest

from pytorch_quantization_c import float_nn as nn

from .test_module import Net, Scale


def test_holds_parameters_and_persistent_buffers():
    net = Net()
    state = net.state_dict()
    assert list(state) == [f"{path}.{name}" for path in ("first", "rest.0", "rest.1") for name in ("weight", "count")]
    assert all(type(value) is np.ndarray for value in state.values())
    assert np.shares_memory(state["first.weight"], net.first.weight)
    assert type(net.state_dict(keep_vars=True)["first.weight"]) is nn.Parameter
    assert list(net.first.state_dict(prefix="x.")) == ["x.weight", "x.count"]
    assert net.state_dict(destination={})["rest.1.count"] == 0


def test_round_trip_copies_and_keeps_types():
    net, other = Net(), Net()
    net.first.weight[...] = [3, 4]
    state = copy.deepcopy(net.state_dict())
    weight = other.first.weight
    answer = other.load_state_dict(state)
    assert answer.missing_keys == [] and answer == ([], []) and str(answer) == "<All keys matched successfully>"
    assert other.first.weight is weight and weight.tolist() == [3, 4] and type(weight) is nn.Parameter
    state["first.weight"][0] = 99
    assert weight[0] == 3
    state["first.weight"] = np.array([1.5, 2.5], np.float64)
    other.load_state_dict(state)
    assert weight.dtype == np.float32 and weight.tolist() == [1.5, 2.5]


def test_all_problems_in_one_error():
    state = Net().state_dict()
    del state["first.weight"], state["rest.1.count"]
    state.update({"first.more": np.ones(1), "rest.7.weight": np.ones(1), "rest.0.weight": np.ones(3, np.float32),
                  "rest.0.weight.deep": np.ones(1), "rest.0.count": "text", "rest.1.weight": np.array(["{key}", "b"])})
    net = Net()
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    lines = str(caught.value).split("\n\t")
    assert lines[0] == "Error(s) in loading state_dict for Net:"
    assert lines[1] == 'Missing key(s) in state_dict: "first.weight", "rest.1.count". '
    assert lines[2].startswith("Unexpected key(s) in state_dict: ")
    for name in ("first.more", "rest.7.weight", "rest.0.weight.deep"):
        assert f'"{name}"' in lines[2]
    assert lines[3] == ("size mismatch for rest.0.weight: copying a param with shape (3,) from checkpoint, "
                        "the shape in current model is (2,).")
    assert 'named "rest.0.count", expected an array' in lines[4] and 'named "rest.1.weight"' in lines[5]
    assert len(lines) == 6


def test_not_strict_returns_keys_but_still_checks_shapes():
    net = Net()
    answer = net.load_state_dict({"first.weight": np.zeros(2), "more": np.ones(1)}, strict=False)
    assert answer.unexpected_keys == ["more"] and len(answer.missing_keys) == 5 and net.first.weight[0] == 0
    with pytest.raises(RuntimeError, match="size mismatch"):
        net.load_state_dict({"first.weight": np.zeros(3)}, strict=False)
    with pytest.raises(TypeError, match="dict-like"):
        net.load_state_dict([1])


def test_assign_takes_the_arrays_themselves():
    net = Scale()
    net.weight.requires_grad = False
    state = {"weight": np.array([5.0, 6.0]), "count": np.array(3)}
    net.load_state_dict(state, assign=True)
    assert type(net.weight) is nn.Parameter and net.weight.dtype == np.float64 and not net.weight.requires_grad
    assert np.shares_memory(net.weight, state["weight"]) and net.count is state["count"]


def test_modules_may_load_in_their_own_way():
    class Amax(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("amax", None)

        def _load_from_state_dict(self, state_dict, prefix, *rest):
            if prefix + "amax" in state_dict:
                self.amax = np.zeros(np.shape(state_dict[prefix + "amax"]), np.float32)
            super()._load_from_state_dict(state_dict, prefix, *rest)

    net = nn.Sequential(Amax(), Scale())
    assert net.state_dict()[("1.count")] == 0 and "0.amax" not in net.state_dict()
    net.load_state_dict({"0.amax": np.ones((3, 1)), "1.weight": np.ones(2), "1.count": 7})
    assert net[0].amax.shape == (3, 1) and net[1].count == 7


def test_extra_state():
    class Noted(Scale):
        note = "old"

        def get_extra_state(self):
            return {"note": self.note}

        def set_extra_state(self, state):
            self.note = state["note"]

    net, other = nn.Sequential(Noted()), nn.Sequential(Noted())
    net[0].note = "new"
    assert list(net.state_dict()) == ["0.weight", "0.count", "0._extra_state"]
    other.load_state_dict(net.state_dict())
    assert other[0].note == "new"
    with pytest.raises(RuntimeError, match='Missing key.*"0._extra_state"'):
        other.load_state_dict(nn.Sequential(Scale()).state_dict())
    with pytest.raises(RuntimeError, match='Unexpected key.*"0._extra_state"'):
        nn.Sequential(Scale()).load_state_dict(net.state_dict())


def test_read_only_parameter_is_reported_with_its_name():
    net = Scale()
    net.weight.flags.writeable = False
    with pytest.raises(RuntimeError, match='named "weight".*read-only'):
        net.load_state_dict(Scale().state_dict())
