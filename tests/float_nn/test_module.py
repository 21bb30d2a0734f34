"""Module: registration, traversal, mode, types, text, copies."""
import copy
import pickle
import threading

import numpy as np
import pytest

from pytorch_quantization_c import float_nn as nn


class Scale(nn.Module):
    def __init__(self, size=2):
        super().__init__()
        self.weight = nn.Parameter(np.ones(size, np.float32))
        self.register_buffer("count", np.zeros((), np.int64))
        self.register_buffer("cache", np.zeros(size, np.float32), persistent=False)

    def forward(self, input):
        return self.weight * input

    def extra_repr(self):
        return f"size={self.weight.size}"


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Scale()
        self.rest = nn.Sequential(Scale(), Scale())
        self.empty = None

    def forward(self, input):
        return self.rest(self.first(input))


def test_forward_and_call():
    y = Net()(np.array([1.0, 2.0], np.float32))
    assert type(y) is np.ndarray and y.tolist() == [1, 2]
    with pytest.raises(TypeError, match="define `forward`"):
        nn.Module()(1)


def test_a_call_passes_on_all_that_it_is_given():
    class Echo(nn.Module):
        def forward(self, /, *args, **kwargs):
            return args, kwargs

    echo = Echo()
    assert echo() == ((), {})
    assert echo(None) == ((None,), {})
    assert echo(1, 2, self=3, input=4) == ((1, 2), {"self": 3, "input": 4})
    assert echo(input=1) == ((), {"input": 1})
    echo.forward = lambda x: x + 1
    assert echo(1) == 2


def test_names_and_traversal():
    net = Net()
    assert [name for name, _ in net.named_modules()] == ["", "first", "rest", "rest.0", "rest.1"]
    assert [name for name, _ in net.named_children()] == ["first", "rest"]
    assert [name for name, _ in net.named_parameters()] == ["first.weight", "rest.0.weight", "rest.1.weight"]
    assert [name for name, _ in net.named_buffers()][:2] == ["first.count", "first.cache"]
    assert [name for name, _ in net.named_parameters("p", recurse=False)] == []
    assert [name for name, _ in net.named_modules(prefix="m")][-1] == "m.rest.1"
    assert len(list(net.parameters())) == 3 and len(list(net.buffers())) == 6 and len(list(net.modules())) == 5


def test_shared_modules_and_parameters_are_given_once():
    net = Net()
    net.twin, net.tied = net.first, net.first.weight
    assert len(list(net.modules())) == 5 and len(list(net.parameters())) == 3 and len(list(net.children())) == 2
    assert len(list(net.named_modules(remove_duplicate=False))) == 6
    assert len(list(net.named_parameters(remove_duplicate=False))) == 5
    other = copy.deepcopy(net)
    assert other.twin is other.first and other.tied is other.first.weight and other.first is not net.first


def test_get_by_name():
    net = Net()
    assert net.get_submodule("rest.1") is net.rest[1] and net.get_submodule("") is net
    assert net.get_parameter("first.weight") is net.first.weight and net.get_buffer("rest.0.count").shape == ()
    for bad in ("rest.2", "first.weight", "none"):
        with pytest.raises(AttributeError):
            net.get_submodule(bad)
    for bad in ("first.count", "first.none"):
        with pytest.raises(AttributeError, match="no parameter"):
            net.get_parameter(bad)
    with pytest.raises(AttributeError, match="no buffer"):
        net.get_buffer("first.weight")


def test_assignment_registers_and_moves_between_registries():
    net = nn.Module()
    net.thing = 5
    net.thing = nn.Parameter([1.0])
    assert "thing" in net._parameters and "thing" not in net.__dict__
    net.thing = None
    assert net.thing is None and list(net.parameters()) == []
    net.thing = Scale().weight
    del net.thing
    net.thing = Scale()
    assert "thing" in net._modules and "thing" not in net._parameters
    net.thing = nn.Parameter([1.0])
    assert "thing" in net._parameters and "thing" not in net._modules
    del net.thing
    assert not hasattr(net, "thing")
    with pytest.raises(AttributeError, match="'Module' object has no attribute 'thing'"):
        del net.thing


def test_assignment_refuses_wrong_kinds():
    net = Scale()
    with pytest.raises(TypeError, match="cannot assign 'ndarray' as parameter 'weight'"):
        net.weight = np.ones(2, np.float32)
    with pytest.raises(TypeError, match="as buffer 'count'"):
        net.count = "three"
    net.child = Scale()
    with pytest.raises(TypeError, match="as child module 'child'"):
        net.child = 3
    net.count = np.float32(3)
    assert isinstance(net.count, np.ndarray) and net.count == 3
    net.count += 1
    assert net.state_dict()["count"] == 4


def test_registration_errors():
    net = Scale()
    for register, value in ((net.register_buffer, np.ones(1)), (net.register_parameter, nn.Parameter([1.0])),
                            (net.add_module, Scale())):
        for name in ("a.b", "", "forward"):
            with pytest.raises(KeyError):
                register(name, value)
        with pytest.raises(TypeError):
            register(3, value)
        with pytest.raises(TypeError):
            register("fine", "text")
        register("none" + register.__name__, None)


def test_assignment_before_init():
    class Early(nn.Module):
        def __init__(self):
            self.part = self.make()
            super().__init__()

    for make, kind in ((Scale, "module"), (lambda self: nn.Parameter([1.0]), "parameters")):
        Early.make = staticmethod(Scale) if make is Scale else make
        with pytest.raises(AttributeError, match=f"cannot assign {kind} before"):
            Early()


def test_mode_flags_and_apply():
    net = Net()
    assert net.training and net.eval() is net
    assert not any(module.training for module in net.modules())
    net.train()
    assert all(module.training for module in net.modules())
    with pytest.raises(ValueError):
        net.train("yes")
    net.requires_grad_(False)
    assert not any(parameter.requires_grad for parameter in net.parameters())
    seen = []
    assert net.apply(lambda module: seen.append(type(module).__name__)) is net
    assert seen == ["Scale", "Scale", "Scale", "Sequential", "Net"]


def test_conversion_of_types():
    net = Net()
    net.twin = net.first
    for method, dtype in (("half", np.float16), ("double", np.float64), ("float", np.float32)):
        assert getattr(net, method)() is net
        assert {p.dtype for p in net.parameters()} == {np.dtype(dtype)}
        assert net.first.count.dtype == np.int64 and net.twin.weight is net.first.weight
    with pytest.raises(TypeError, match="floating `dtype`"):
        net.to(np.int32)
    with pytest.raises(TypeError, match="floating `dtype`"):
        net.to(np.longdouble)
    assert net.to("cpu") is net


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_are_whole_and_apart(clone):
    net = Net()
    net.first.weight.requires_grad = False
    other = clone(net)
    assert repr(other) == repr(net) and list(other.state_dict()) == list(net.state_dict())
    assert not other.first.weight.requires_grad and other.rest[0].weight.requires_grad
    other.first.weight *= 7
    assert net.first.weight[0] == 1


def test_text():
    assert repr(Net()) == ("Net(\n  (first): Scale(size=2)\n  (rest): Sequential(\n    (0): Scale(size=2)\n"
                           "    (1): Scale(size=2)\n  )\n)")
    assert repr(nn.Module()) == "Module()"
    assert {"first", "rest", "forward"} <= set(dir(Net()))


def test_many_threads_may_read_one_module():
    net, wrong = Net(), []

    def work():
        for _ in range(50):
            if net(np.ones(2, np.float32)).tolist() != [1, 1] or len(net.state_dict()) != 6:
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
    assert not wrong
