"""The adaptive solver of the reverse SDE: errors of paths, and samples without their neighbours."""

import pytest
import torch
from support.golden_solvers_data import MIXTURE, SDES, close, numbers, times

from sgmkit import Reverse, SeededNoise
from sgmkit.errors import UserError
from sgmkit_exact.exact import Exact
from sgmkit_solvers.adaptive_sde import AdaptiveSDE


def test_a_sample_does_not_depend_on_its_neighbours():
    sde = SDES["vp"]
    model, grid, u = Exact(sde, MIXTURE), times(sde, 1.0, 0.1), numbers(4, 1, 2)
    rev = model.reverse(SeededNoise(3, range(4)))
    together = AdaptiveSDE().solve(rev, u, grid)
    for row in (0, 3):
        alone = model.reverse(SeededNoise(3, [row]))
        assert close(AdaptiveSDE().solve(alone, u[[row]], grid), together[[row]], 1e-10)
        assert alone.calls.tolist() == rev.calls[[row]].tolist()


def test_a_smaller_tolerance_takes_more_calls():
    sde = SDES["vp"]
    model, grid, u = Exact(sde, MIXTURE), times(sde, 1.0, 0.1), numbers(4, 1, 2)
    calls = []
    for tolerance in (1e-1, 1e-2):
        rev = model.reverse(SeededNoise(3, range(4)))
        AdaptiveSDE(tolerance, tolerance).solve(rev, u, grid)
        calls.append(int(rev.calls.sum()))
    assert calls[0] < calls[1]


def test_a_state_that_is_not_finite_is_an_error_of_one_line():
    sde = SDES["vp"]
    rev = Reverse(sde, lambda u, t: torch.full_like(u, torch.nan), SeededNoise(0, range(2)))
    with pytest.raises(UserError, match=r"^adaptive-sde: a step vanished; loosen --tol$"):
        AdaptiveSDE().solve(rev, numbers(2, 1, 2), times(sde, 1.0, 0.1))
