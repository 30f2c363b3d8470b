"""Order of items, and shares of a batch: the same for any number of processes and parts."""

import pytest
import torch

from sgmkit.training.batches import Batches, Order


def test_each_epoch_shows_every_item_once_in_an_order_of_its_own():
    order = Order(3, 7)
    epochs = [order(7 * e, 7).tolist() for e in range(4)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    flat = torch.tensor(epochs).flatten()
    for first, count in ((0, 7), (5, 4), (3, 20), (13, 1), (6, 8)):  # in any order of asking
        assert torch.equal(order(first, count), flat[first : first + count])
    assert not torch.equal(Order(4, 7)(0, 7), flat[:7])


def test_orders_are_fair():
    """Every item comes first equally often: 400 epochs of 5 items, chi-squared with 4 degrees."""
    first = torch.stack([Order(0, 5).epoch(e)[:1] for e in range(400)]).flatten()
    counts = torch.bincount(first, minlength=5).double()
    assert float(((counts - 80).square() / 80).sum()) < 18.5  # one in a thousand


@pytest.mark.parametrize("data", ["Points", "Law"])
@pytest.mark.parametrize(("processes", "accumulate"), [(1, 3), (2, 1), (2, 3), (3, 2)])
def test_shares_of_processes_and_parts_are_the_whole_batch(tiny, data, processes, accumulate):
    law = getattr(tiny, data)(**({} if data == "Law" else {"count": 7}))
    whole = Batches(law, 5, 12)
    for step in (0, 1, 4):
        batch, noise = whole(step, 0)
        eps, shares = noise(batch.x), []
        for rank in range(processes):
            share = Batches(law, 5, 12, accumulate, rank, processes)
            shares += [share(step, part) for part in range(accumulate)]
        assert torch.equal(torch.cat([b.x for b, _ in shares]), batch.x)
        assert torch.equal(torch.cat([b.ids for b, _ in shares]), batch.ids)
        assert torch.equal(torch.cat([n(b.x) for b, n in shares]), eps)
        assert noise.ids.tolist() == list(range(12 * step, 12 * step + 12))
    assert len(eps.unique()) == eps.numel()
