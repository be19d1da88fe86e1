import copy

import pytest
import torch
from torch import nn

from pocketvision.nn.chain import Chain, drop_path
from pocketvision.nn.rows import RowDropout, Rows, rows_, see
from pocketvision.nn.steps import Sum

SHARES = ((0, 3), (3, 6), (6, 8))  # of a batch of 8, over three processes


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(8, 1280), (8, 20, 5, 7), (8, 3, 1, 1)])
def test_rows_of_dropout_are_those_of_the_whole_batch_to_the_bit(shape, order, dtype):
    x = torch.randn(shape, dtype=dtype)
    x = x.contiguous(memory_format=order) if len(shape) == 4 else x
    torch.manual_seed(3)
    whole = nn.Dropout(0.3)(x)
    after = torch.rand(1)
    for first, stop in SHARES:
        rows = Rows()
        rows.first, rows.whole = first, 8
        torch.manual_seed(3)
        assert torch.equal(RowDropout(0.3, rows)(x[first:stop]), whole[first:stop])
        assert torch.rand(1) == after  # as many numbers were drawn


def test_a_network_of_rows_drops_what_the_whole_one_does():
    conv = nn.Conv2d(4, 4, 1)
    chain = Chain({"conv": conv}, shortcut=4, c_out=4, drop_path=0.5)
    network = nn.Sequential(chain, nn.Dropout(0.5), nn.Dropout(0.0))
    shared = copy.deepcopy(network)
    rows_(shared)
    x = torch.randn(8, 4, 3, 3)
    torch.manual_seed(1)
    whole = network(x)
    for first, stop in SHARES:
        see(shared, first, 8)
        torch.manual_seed(1)
        assert torch.equal(shared(x[first:stop]), whole[first:stop])
    assert torch.equal(shared.eval()(x), network.eval()(x))


def test_sums_drop_whole_samples_by_their_place_in_the_batch():
    join = nn.Sequential(Sum(drop_path=0.5))
    rows_(join)
    y = torch.ones(8, 2, 1, 1)
    torch.manual_seed(2)
    whole = drop_path(y, 0.5)
    see(join, 3, 8)
    torch.manual_seed(2)
    assert torch.equal(join[0](y[3:6], torch.zeros_like(y[3:6])), whole[3:6])
    assert set(whole.flatten().tolist()) == {0.0, 2.0}


def test_a_network_of_whole_batches_does_not_care():
    network = nn.Linear(2, 2)
    see(network, 3, 8)
    assert not hasattr(network, "rows")
