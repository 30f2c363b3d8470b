"""Exponential multistep methods: at first order they are DDIM; what they refuse."""

from support.golden_solvers_data import MIXTURE, SDES, close, numbers, times
from support.processes import EVERY, Pair

from sgmkit import ClockedSDE, SeededNoise
from sgmkit_exact.exact import Exact
from sgmkit_sdes.vp import VP, SubVP
from sgmkit_solvers.ddim import DDIM
from sgmkit_solvers.exponential_multistep import DEIS, DPMPP, Exponential
from sgmkit_solvers.phase_splitting import BAO, OBA
from sgmkit_solvers.runge_kutta import RungeKutta

SPLIT = [n for n, sde in SDES.items() if isinstance(sde, ClockedSDE) and sde.phases > 1]


def test_first_order_is_one_method():
    """One constant answer: DDIM, whatever the form, where the form is exact for it."""
    for name in ("vp", "subvp", "ve", "cld", "third", "coupled"):
        sde, ends = SDES[name], times(SDES[name], 1.0, 0.4, 0.01)
        rev = Exact(sde, MIXTURE).reverse(SeededNoise(0, range(4)))
        kernel = sde.kernel(ends[0])
        u = kernel.mean[:, None] * numbers(4, 1, 2) + kernel.chol @ numbers(
            4, sde.phases, 2, seed=1
        )
        want = DDIM().solve(rev, u, ends)
        for solver in (DPMPP(max_order=1), DEIS(max_order=1), DEIS(max_order=1, variable="sigma")):
            assert close(solver.solve(rev, u, ends), want, 1e-6), (name, solver)


def test_no_equilibrium_is_refused_with_a_reason():
    for solver in (Exponential(), RungeKutta(form="equilibrium")):
        for sde in (SubVP(), Pair()):
            name = type(sde).__name__
            assert solver.supports(sde) == f"{name} has no equilibrium on a clock to split off"
        for name in ("vp", "ve", "cld", "third"):
            assert solver.supports(EVERY[name]) is None
    assert RungeKutta().supports(SubVP()) is None
    assert "there is one phase" in OBA().supports(VP())
    assert BAO().supports(Pair()) == "Pair has no equilibrium on a clock to relax to"
