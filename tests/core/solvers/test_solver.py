"""What every solver keeps to, what a sample is made of, and the last step."""

import pytest
import torch
from support.golden_solvers_data import MIXTURE, SDES, close, numbers, times

from sgmkit import ClockedSDE, SeededNoise, time_grid
from sgmkit.errors import BadValue, Incompatible
from sgmkit.solvers import finish
from sgmkit_exact.exact import Exact
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.vp import VP, SubVP
from sgmkit_solvers.adaptive_runge_kutta import RK45
from sgmkit_solvers.ddim import DDIM
from sgmkit_solvers.euler_maruyama import Euler
from sgmkit_solvers.heun import Heun
from sgmkit_solvers.ssem import SSEM

ALL = [
    Euler(),
    SSEM(),
    SSEM(kick="midpoint"),
    Heun(),
    Heun(churn=5.0),
    DDIM(),
    RK45(),
]


@pytest.mark.parametrize("name", ["vp", "ve", "cld"])
@pytest.mark.parametrize("solver", ALL, ids=str)
def test_samples_do_not_see_their_batch(solver, name):
    """Same ids, same sample, in any batch; float32 stays float32; the global generator is left."""
    sde = SDES[name]
    model, grid = Exact(sde, MIXTURE), time_grid("logsnr", sde, 8, 0.02 * sde.horizon)
    state = torch.get_rng_state()
    whole = model.sample(5, solver, grid, SeededNoise(1, range(5)), last="mean")
    part = model.sample(2, solver, grid, SeededNoise(1, [4, 1]), last="mean")
    assert torch.equal(torch.get_rng_state(), state)
    assert close(part.u, whole.u[[4, 1]], 1e-10)
    assert torch.equal(part.nfe, whole.nfe[[4, 1]])
    again = model.sample(5, solver, grid, SeededNoise(1, range(5)), last="mean")
    assert torch.equal(again.u, whole.u)
    other = model.sample(5, solver, grid, SeededNoise(2, range(5)), last="mean")
    assert not torch.equal(other.u, whole.u)
    single = Exact(sde, MIXTURE, dtype="float32")
    out = single.sample(5, solver, grid, SeededNoise(1, range(5)))
    assert out.u.dtype == torch.float32
    none = model.sample(5, solver, grid, SeededNoise(1, range(5)))
    assert float((out.u - none.u).abs().max()) < 1e-2


@pytest.mark.parametrize("solver", ALL, ids=str)
def test_stochastic_solvers_draw_and_others_do_not(solver):
    model = Exact(VP(), MIXTURE)
    grid, u = time_grid("uniform", VP(), 4, 1e-2), numbers(3, 1, 2)

    def solve(seed):
        return solver.solve(model.reverse(SeededNoise(seed, range(3))), u, grid)

    assert torch.equal(solve(0), solve(1)) != solver.stochastic


def test_ssem_names_what_it_cannot_do():
    reason = "ssem needs constant matrices on a clock, which SubVP has not"
    assert SSEM().supports(SubVP()) == reason
    assert all(SSEM().supports(sde) is None for sde in SDES.values() if isinstance(sde, ClockedSDE))
    assert all(solver.supports(SubVP()) is None for solver in (Euler(), Heun(), DDIM(), RK45()))
    grid = time_grid("uniform", SubVP(), 3, 1e-3)
    with pytest.raises(Incompatible) as caught:
        Exact(SubVP(), MIXTURE).sample(2, SSEM(), grid, SeededNoise(0, range(2)))
    assert str(caught.value) == reason


@pytest.mark.parametrize("name", SDES)
def test_last_step_is_the_posterior_mean(name):
    sde = SDES[name]
    model, u = Exact(sde, MIXTURE), numbers(3, sde.phases, 2)
    (t,) = times(sde, 0.3)
    rev = model.reverse(SeededNoise(0, range(3)))
    assert finish(rev, u, t, "none") is u
    assert rev.calls.tolist() == [0] * 3
    out = finish(rev, u, t, "mean")
    assert rev.calls.tolist() == [1] * 3
    assert close(out[:, 0], rev.denoise(u, t), 1e-15)
    assert bool((out[:, 1:] == 0).all())


def test_sample_starts_alike_and_finishes_at_the_end_of_the_grid():
    """Every solver meets the same u_T and stops at the same time; nothing keeps a graph."""
    model, grid = Exact(CLD(), MIXTURE), time_grid("uniform", CLD(), 4, 0.05)
    for solver in ALL:
        plain = model.sample(3, solver, grid, SeededNoise(1, range(3)))
        mean = model.sample(3, solver, grid, SeededNoise(1, range(3)), last="mean")
        rev = model.reverse(SeededNoise(0, range(3)))
        assert close(mean.x, rev.denoise(plain.u, grid[-1]), 1e-12)
        assert torch.equal(plain.x, plain.u[:, 0])
        assert torch.equal(plain.start, model.start(SeededNoise(1, range(3))))
        assert mean.nfe.tolist() == (plain.nfe + 1).tolist()
        assert plain.u.is_inference()


def test_last_step_by_an_unknown_name():
    rev = Exact(VP(), MIXTURE).reverse(SeededNoise(0, range(3)))
    with pytest.raises(BadValue) as caught:
        finish(rev, numbers(3, 1, 2), torch.tensor(0.1), "median")
    assert str(caught.value) == "last-step rule 'median' is none of none, mean"


def test_sample_needs_an_id_for_each():
    grid = time_grid("uniform", VP(), 2, 1e-3)
    with pytest.raises(BadValue) as caught:
        Exact(VP(), MIXTURE).sample(3, Euler(), grid, SeededNoise(0, range(2)))
    assert str(caught.value) == "3 samples need 3 sample ids, not 2"


def test_start_by_an_unknown_name():
    with pytest.raises(BadValue) as caught:
        Exact(VP(), MIXTURE).start(SeededNoise(0, range(2)), "middle")
    assert str(caught.value) == "start 'middle' is none of prior, exact"
