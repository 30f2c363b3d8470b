"""Sampling by number: batches change nothing, and a sample alone goes its way."""

import pytest
import torch

from sgmkit import create, time_grid
from sgmkit.errors import Incompatible
from sgmkit.models import SamplingRules, gather, path_of, sample_batches
from sgmkit.models.sampling import batch_size
from sgmkit_exact.exact import Exact
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.vp import VP, SubVP


def exact(sde, data="two-moons"):
    return Exact(sde, create("dataset", data))


def test_batches_are_cut_to_size_and_change_nothing():
    model, solver = exact(CLD()), create("solver", "ssem")
    grid = time_grid("logsnr", model.sde, 5, model.t_min)
    parts = list(sample_batches(model, 10, solver, grid, 3, batch=4))
    assert [len(part.x) for part in parts] == [4, 4, 2]
    whole, cut = gather(sample_batches(model, 10, solver, grid, 3)), gather(iter(parts))
    for name in ("x", "u", "start", "nfe"):
        torch.testing.assert_close(getattr(cut, name), getattr(whole, name), rtol=1e-9, atol=1e-9)
    assert whole.nfe.tolist() == [5] * 10


def test_a_batch_holds_so_many_numbers():
    assert batch_size(exact(VP())) == 4096
    assert batch_size(exact(VP(), "digits")) == 4096

    class Large(Exact):
        def state_event(self):
            return (3, 512, 1024)

    assert batch_size(Large(VP(), create("dataset", "two-moons"))) == 1


@pytest.mark.parametrize("last", ["none", "mean"])
@pytest.mark.parametrize("name", ["euler", "ssem", "heun", "ddim", "rk45"])
def test_a_path_ends_in_the_sample(name, last):
    model, solver = exact(CLD()), create("solver", name)
    grid = time_grid("logsnr", model.sde, 6, model.t_min)
    rules = SamplingRules(last)
    whole = gather(sample_batches(model, 5, solver, grid, 1, rules))
    times, states = path_of(model, 3, solver, grid, 1, rules)
    assert (times.diff() < 0).all()
    assert float(times[0]) == 1.0
    assert float(times[-1]) == (model.t_min if last == "none" else 0.0)
    assert states.shape == (len(times), 2, 2)
    torch.testing.assert_close(states[0], whole.start[3], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(states[-1], whole.u[3], rtol=1e-6, atol=1e-7)
    if name in ("ssem", "ddim"):
        evaluated = grid if last == "mean" else grid[:-1]
        assert times[:-1].tolist() == evaluated.tolist()


def test_a_path_names_what_does_not_fit():
    model = exact(SubVP())
    grid, solver = time_grid("logsnr", model.sde, 6, model.t_min), create("solver", "ssem")
    with pytest.raises(Incompatible, match="ssem needs constant matrices on a clock"):
        path_of(model, 0, solver, grid, 0)
