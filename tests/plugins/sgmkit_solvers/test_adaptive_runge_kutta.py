"""RK45 and RK23: errors follow the tolerance, and each sample has steps and calls of its own."""

import pytest
import torch
from support.golden_solvers_data import MIXTURE, SDES, close, numbers, times

from sgmkit import SeededNoise
from sgmkit_exact.exact import Exact
from sgmkit_solvers.adaptive_runge_kutta import RK23, RK45


@pytest.mark.parametrize("name", ["vp", "cld"])
@pytest.mark.parametrize("solver", [RK45, RK23])
def test_errors_follow_the_tolerance(solver, name):
    sde = SDES[name]
    model, u = Exact(sde, MIXTURE), numbers(4, sde.phases, 2)
    grid = times(sde, 0.8, 0.5, 0.1)

    def end(tolerance):
        rev = model.reverse(SeededNoise(0, range(4)))
        return solver(tolerance, tolerance).solve(rev, u, grid), rev.calls.sum()

    (loose, few), (tight, many), (exact, _) = (end(10.0**-n) for n in (2, 5, 8))
    assert float((tight - exact).abs().max()) < 100 * 1e-5  # as the conformance suite has it
    assert float((tight - exact).abs().max()) < float((loose - exact).abs().max())
    assert few < many


@pytest.mark.parametrize("solver", [RK45(), RK23()], ids=["rk45", "rk23"])
def test_samples_and_their_calls_do_not_depend_on_the_batch(solver):
    sde = SDES["vp"]
    model, grid = Exact(sde, MIXTURE), times(sde, 1.0, 0.01)
    u = numbers(5, 1, 2) * torch.linspace(0.1, 3.0, 5, dtype=torch.float64)[:, None, None]
    rev = model.reverse(SeededNoise(0, range(5)))
    together = solver.solve(rev, u, grid)
    assert len(set(rev.calls.tolist())) > 1
    for row in range(5):
        alone = model.reverse(SeededNoise(0, [row]))
        assert close(solver.solve(alone, u[[row]], grid), together[[row]], 1e-12)
        assert alone.calls.tolist() == rev.calls[[row]].tolist()
