"""LSTM, GRU, their cells and packed sequences against torch's."""
import numpy as np
import pytest
import torch
from torch.nn.utils import rnn as their_rnn

from pytorch_quantization_c.float_nn.utils import rnn as our_rnn

from .compare import assert_close, error_of, kind_of, ours, theirs, to_torch

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")  # torch: a slower path

OPTIONS = [{}, {"num_layers": 2}, {"bidirectional": True, "batch_first": True}, {"bias": False, "num_layers": 3},
           {"num_layers": 2, "bidirectional": True, "dropout": 0.5}, {"proj_size": 2},
           {"proj_size": 3, "num_layers": 2, "bidirectional": True, "batch_first": True, "bias": False}]
OPTIONS += [{"mode": "GRU", **each} for each in OPTIONS[:5]]


def pair(options, dtype=np.float32):
    given = dict(options)
    mode = given.pop("mode", "LSTM")
    our, their = getattr(ours, mode)(3, 5, **given), getattr(theirs, mode)(3, 5, **given)
    assert repr(our) == repr(their) and our._all_weights == their._all_weights
    their.load_state_dict({key: to_torch(value) for key, value in our.state_dict().items()})
    if dtype == np.float64:
        our.double(), their.double()
    return our, their


def states(rng, our, *batch, dtype=np.float32):
    count = our.num_layers * (2 if our.bidirectional else 1)
    sizes = (our.proj_size or 5, 5) if our.mode == "LSTM" else (5,)
    found = tuple(rng.normal(size=(count, *batch, size)).astype(dtype) for size in sizes)
    return found if our.mode == "LSTM" else found[0]


def as_torch(state):
    return tuple(map(to_torch, state)) if isinstance(state, tuple) else to_torch(state)


def compare(got, wanted):
    assert_close(got[0], wanted[0])
    for ours_, theirs_ in zip(*(each[1] if isinstance(each[1], tuple) else (each[1],) for each in (got, wanted)),
                              strict=True):
        assert_close(ours_, theirs_)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_same_results(options, dtype, rng):
    our, their = pair(options, dtype)
    our.eval(), their.eval()
    for shape, batch in (((7, 4, 3), (7 if our.batch_first else 4,)), ((6, 3), ())):
        x = rng.normal(size=shape).astype(dtype)
        compare(our(x), their(to_torch(x)))
        state = states(rng, our, *batch, dtype=dtype)
        compare(our(x, state), their(to_torch(x), as_torch(state)))
    empty = np.zeros((0, 7, 3) if our.batch_first else (7, 0, 3), dtype)
    compare(our(empty), their(to_torch(empty)))


@pytest.mark.parametrize("sort", [True, False])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_packed(options, sort, rng):
    our, their = pair(options)
    our.eval(), their.eval()
    lengths = np.array([6, 4, 4, 1] if sort else [4, 1, 6, 4])
    x = rng.normal(size=(6, 4, 3)).astype(np.float32)
    state = states(rng, our, 4)
    packed = our_rnn.pack_padded_sequence(x, lengths, enforce_sorted=sort)
    their_packed = their_rnn.pack_padded_sequence(to_torch(x), torch.as_tensor(lengths), enforce_sorted=sort)
    assert_close(packed.data, their_packed.data)
    assert packed.batch_sizes.tolist() == their_packed.batch_sizes.tolist()
    got, wanted = our(packed, state), their(their_packed, as_torch(state))
    compare((got[0].data, got[1]), (wanted[0].data, wanted[1]))
    for batch_first in (False, True):
        padded = our_rnn.pad_packed_sequence(got[0], batch_first, -1.0, 8)
        their_padded = their_rnn.pad_packed_sequence(wanted[0], batch_first, -1.0, 8)
        assert_close(padded[0], their_padded[0])
        assert padded[1].tolist() == their_padded[1].tolist() == lengths.tolist()
    plain = our((packed.data, packed.batch_sizes))  # the two arrays alone
    assert_close(plain[0].data, their(their_rnn.PackedSequence(their_packed.data, their_packed.batch_sizes))[0].data)


def test_sequences(rng):
    arrays = [rng.normal(size=(length, 3)).astype(np.float32) for length in (2, 5, 3)]
    for batch_first in (False, True):
        assert_close(our_rnn.pad_sequence(arrays, batch_first, 7.0),
                     their_rnn.pad_sequence([to_torch(each) for each in arrays], batch_first, 7.0))
    got = our_rnn.pack_sequence(arrays, enforce_sorted=False)
    wanted = their_rnn.pack_sequence([to_torch(each) for each in arrays], enforce_sorted=False)
    assert_close(got.data, wanted.data)
    assert got.unsorted_indices.tolist() == wanted.unsorted_indices.tolist()


@pytest.mark.parametrize("bias", [True, False])
def test_cell(bias, rng):
    our, their = ours.LSTMCell(3, 5, bias), theirs.LSTMCell(3, 5, bias)
    assert repr(our) == repr(their)
    their.load_state_dict({key: to_torch(value) for key, value in our.state_dict().items()})
    for batch in ((4,), (), (0,)):
        x, h, c = (rng.normal(size=(*batch, size)).astype(np.float32) for size in (3, 5, 5))
        for got, wanted in zip(our(x), their(to_torch(x)), strict=True):
            assert_close(got, wanted)
        for got, wanted in zip(our(x, (h, c)), their(to_torch(x), (to_torch(h), to_torch(c))), strict=True):
            assert_close(got, wanted)


@pytest.mark.parametrize("bias", [True, False])
def test_gru_cell(bias, rng):
    our, their = ours.GRUCell(3, 5, bias), theirs.GRUCell(3, 5, bias)
    assert repr(our) == repr(their)
    their.load_state_dict({key: to_torch(value) for key, value in our.state_dict().items()})
    for batch in ((4,), (), (0,)):
        x, h = (rng.normal(size=(*batch, size)).astype(np.float32) for size in (3, 5))
        assert_close(our(x), their(to_torch(x)))
        assert_close(our(x, h), their(to_torch(x), to_torch(h)))


def zeros(*shapes):
    return tuple(np.zeros(shape, np.float32) for shape in shapes)


BAD = [
    (lambda nn, a: nn.LSTM(3, 5)(*a((2,)))), (lambda nn, a: nn.LSTM(3, 5)(*a((2, 2, 2)))),
    (lambda nn, a: nn.LSTM(3, 5)(*a((0, 2, 3)))), (lambda nn, a: nn.LSTM(3, 5)(*a((2, 2, 3)), a((1, 2, 5), (1, 2, 4)))),
    (lambda nn, a: nn.LSTM(3, 5)(*a((2, 3)), a((1, 2, 5), (1, 2, 5)))),
    (lambda nn, a: nn.LSTM(3, 5)(*a((2, 2, 3)), a((1, 5), (1, 5)))),
    (lambda nn, a: nn.LSTMCell(3, 5)(*a((2, 2, 3)))), (lambda nn, a: nn.LSTMCell(3, 5)(*a((2, 2)))),
    (lambda nn, a: nn.LSTMCell(3, 5)(*a((2, 3)), a((3, 5), (2, 5)))),
    (lambda nn, a: nn.LSTM(3, 0)), (lambda nn, a: nn.LSTM(0, 3)), (lambda nn, a: nn.LSTM(3, 5, 0)),
    (lambda nn, a: nn.LSTM(3, 5, dropout=1.5)), (lambda nn, a: nn.LSTM(3, 5, dropout=True)),
    (lambda nn, a: nn.LSTM(3, 5, proj_size=5)), (lambda nn, a: nn.LSTM(3, "a")), (lambda nn, a: nn.LSTM(3, 5, 1.5)),
    (lambda nn, a: nn.LSTM(3, 5, dropout=0.5)),  # a warning, which is an error in these tests
]


@pytest.mark.parametrize("number", range(len(BAD)))
def test_same_errors(number):
    wanted = error_of(lambda: BAD[number](theirs, lambda *shapes: tuple(map(to_torch, zeros(*shapes)))))
    got = error_of(lambda: BAD[number](ours, zeros))
    kind = UserWarning if isinstance(wanted, UserWarning) else kind_of(wanted)
    assert isinstance(got, kind), (got, wanted)


@pytest.mark.parametrize("call", [
    lambda rnn, to: rnn.pack_padded_sequence(to(np.zeros((3, 2, 1), np.float32)), to(np.array([1, 2]))),
    lambda rnn, to: rnn.pack_padded_sequence(to(np.zeros((3, 2, 1), np.float32)), to(np.array([2, 0]))),
    lambda rnn, to: rnn.pack_padded_sequence(to(np.zeros((3, 2, 1), np.float32)), to(np.array([2]))),
    lambda rnn, to: rnn.pad_packed_sequence(rnn.pack_padded_sequence(to(np.zeros((3, 2, 1), np.float32)),
                                                                     to(np.array([3, 2]))), total_length=2)])
def test_same_errors_of_packing(call):
    wanted = error_of(lambda: call(their_rnn, to_torch))
    assert isinstance(error_of(lambda: call(our_rnn, lambda array: array)), kind_of(wanted))


def test_lengths_beyond_the_input():
    """torch gives an error from inside for these."""
    with pytest.raises(ValueError, match=r"within \[1, 3\]"):
        our_rnn.pack_padded_sequence(np.zeros((3, 2, 1), np.float32), np.array([4, 2]))
    with pytest.raises(TypeError, match="lengths"):
        our_rnn.pack_padded_sequence(np.zeros((3, 2, 1), np.float32), np.array([1.5, 1]))


@pytest.mark.parametrize("packed", [
    (np.zeros((3, 3), np.float32), np.array([1, 2])), (np.zeros((3, 3), np.float32), np.array([2, 2])),
    (np.zeros((3, 3, 3), np.float32), np.array([3])), (np.zeros((0, 3), np.float32), np.array([], np.int64)),
    (np.zeros((3, 3), np.float32), np.array([3, 0]))], ids=str)
def test_bad_packed_input(packed):
    with pytest.raises(ValueError, match="batch_sizes"):
        ours.LSTM(3, 5)(packed)
