"""PSLD and HOLD contain CLD: the same laws and samples."""

import pytest
import torch
from support.golden_solvers_data import MIXTURE
from support.processes import f64

import sgmkit
from sgmkit import Reverse, SeededNoise
from sgmkit_exact.exact import Exact
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.hold import HOLD
from sgmkit_sdes.psld import PSLD
from sgmkit_solvers.ddim import DDIM
from sgmkit_solvers.euler_maruyama import Euler
from sgmkit_solvers.heun import Heun
from sgmkit_solvers.ssem import SSEM

TWINS = [
    (PSLD(gamma_x=0.0), CLD()),
    (PSLD(6.0, 2.5, 0.0, 0.1, 1e-6), CLD(3.0, 0.0, 2.5, 0.1, 1e-6)),
    (HOLD(order=2, beta=8.0), CLD(8.0, m_inv=1.0)),
]


@pytest.mark.parametrize(("sde", "cld"), TWINS)
def test_both_contain_cld(sde, cld):
    """PSLD without noise in x at twice beta, and HOLD of order 2: the same laws and samples."""
    times = f64([1e-5, 1e-3, 0.1, 0.6, 1.0])
    pairs = [(sde.kernel(times).chol, cld.kernel(times).chol)]
    pairs += [(sde.kernel(times).mean, cld.kernel(times).mean)]
    pairs += zip(
        sde.transition(0.5 * times, times), cld.transition(0.5 * times, times), strict=True
    )
    pairs += [(sde.prior_cov(), cld.prior_cov()), (f64(sde.start_cov), f64(cld.start_cov))]
    for got, want in pairs:
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-15)
    grid = sgmkit.time_grid("logsnr", cld, 12, 1e-3)
    start = SeededNoise(1, range(6))(torch.empty(6, 2, 2, dtype=torch.float64))
    for solver in (Euler(), DDIM(), Heun(), SSEM()):
        ends = [
            solver.solve(Reverse(x, Exact(x, MIXTURE).eps, SeededNoise(2, range(6))), start, grid)
            for x in (sde, cld)
        ]
        torch.testing.assert_close(*ends, rtol=1e-9, atol=1e-11)
