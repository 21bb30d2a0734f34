"""Sequential, ModuleList and ModuleDict."""
import copy
import itertools

import numpy as np
import pytest

from pytorch_quantization_c import float_nn as nn

from .test_module import Net, Scale


def factors(modules):
    return [float(module.weight[0]) for module in modules]


def scale(factor):
    module = Scale()
    module.weight[...] = factor
    return module


def sequence(*numbers):
    return nn.Sequential(*(scale(number) for number in numbers))


def test_sequential_runs_in_order_and_slices():
    net = sequence(2, 3, 5)
    assert net(np.ones(2, np.float32)).tolist() == [30, 30]
    assert factors(net[:2]) == [2, 3] and type(net[1:]) is nn.Sequential and list(net[1:]._modules) == ["1", "2"]
    assert factors([net[0], net[-1]]) == [2, 5] and len(net) == 3
    for bad in (3, -4):
        with pytest.raises(IndexError, match="out of range"):
            net[bad]


def test_sequential_of_names():
    net = nn.Sequential({"one": scale(2), "two": scale(3)})
    assert net.one is net[0] and list(net.state_dict())[0] == "one.weight"
    del net[0]
    assert list(net._modules) == ["two"]
    with pytest.raises(TypeError, match="not a Module"):
        nn.Sequential(len)


@pytest.mark.parametrize("make", [sequence, lambda *numbers: nn.ModuleList([scale(number) for number in numbers])])
def test_list_operations(make):
    net = make(2, 3)
    assert net.append(scale(5)) is net and factors(net) == [2, 3, 5]
    net.insert(1, scale(7))
    net.extend([scale(11), scale(13)])
    assert factors(net) == [2, 7, 3, 5, 11, 13] and list(net._modules) == list("012345")
    assert factors([net.pop(), net.pop(0)]) == [13, 2]
    net[1] = scale(17)
    del net[-1]
    assert factors(net) == [7, 17, 5] and list(net._modules) == list("012")
    del net[1:]
    assert factors(net) == [7]
    assert factors(net + make(1)) == [7, 1] and factors(net) == [7]
    for error, action in ((TypeError, lambda: net.append(3)), (TypeError, lambda: net.insert(0, 3)),
                          (IndexError, lambda: net.insert(4, scale(1))), (TypeError, lambda: net.extend(3)),
                          (IndexError, lambda: net.__setitem__(5, scale(1)))):
        with pytest.raises(error):
            action()


def test_adding_something_else_to_a_sequential():
    with pytest.raises(ValueError, match="Sequential"):
        sequence(1) + [scale(2)]


def test_module_list():
    net = nn.ModuleList([scale(2), scale(3)])
    net += [scale(5)]
    assert factors(net[::2]) == [2, 5] and type(net[:1]) is nn.ModuleList and list(net[1:]._modules) == ["0", "1"]
    with pytest.raises(TypeError, match="forward"):
        net(1)
    assert repr(net) == "ModuleList(\n  (0-2): 3 x Scale(size=2)\n)"
    net.append(Net())
    assert repr(net).splitlines()[2] == "  (3): Net("
    assert repr(nn.ModuleList()) == "ModuleList()"


def test_module_dict():
    net = nn.ModuleDict({"a": scale(2)})
    net["b"] = scale(3)
    net.update([("c", scale(5))])
    assert list(net) == ["a", "b", "c"] == list(net.keys()) and "b" in net and "d" not in net and len(net) == 3
    assert factors(net.values()) == [2, 3, 5] and [name for name, _ in net.items()] == ["a", "b", "c"]
    assert factors([net.pop("a"), net["c"]]) == [2, 5]
    del net["b"]
    assert list(copy.deepcopy(net).state_dict()) == ["c.weight", "c.count"]
    net.clear()
    assert len(net) == 0
    for error, argument in ((TypeError, 3), (ValueError, [(1, 2, 3)]), (TypeError, {"a": 1}),
                            (TypeError, {1: scale(1)}), (TypeError, itertools.count()),
                            (ValueError, itertools.repeat("abc"))):
        with pytest.raises(error):
            nn.ModuleDict(argument)
