"""Methods with stages: when they call the network, what they draw, and SEEDS' one noise path."""

import pytest
import torch
from support.golden_solvers_data import close, numbers
from support.processes import f64
from support.vp_by_hand import vp

from sgmkit import RecordedNoise, Reverse, SeededNoise
from sgmkit.noise.recorded import NoiseExhausted
from sgmkit_sdes.vp import VP
from sgmkit_solvers.ancestral import Ancestral
from sgmkit_solvers.ddim import DDIM
from sgmkit_solvers.exponential_multistep import DPMPP
from sgmkit_solvers.exponential_runge_kutta import DPMPPSDE, SEEDS, DPMPPSingle, DPMSingle


@pytest.mark.parametrize(
    ("solver", "shares", "draws"),
    [
        (DPMSingle(), (0, 1 / 2), 0),
        (DPMSingle(order=3), (0, 1 / 3, 2 / 3), 0),
        (DPMPPSingle(order=3, ancestral=0.5), None, 1),
        (SEEDS(), (0, 1 / 2), 2),
        (SEEDS(stages=1), (0,), 1),
        (DPMPPSDE(), None, 2),
        (DPMPP(eta=1.0), (0,), 1),
        (Ancestral(), (0,), 1),
        (DDIM(lam=0.5), (0,), 1),
    ],
    ids=str,
)
def test_stages_and_draws(solver, shares, draws):
    """The times of the calls, and how many fields of normal numbers are drawn: not one more."""
    grid, call_times = f64([1.0, 0.5, 0.2]), []

    def predict(u, t):
        call_times.append(float(t))
        return 0.1 * u

    def run(count):
        fields = [numbers(2, 1, 3, seed=i) for i in range(count)]
        noise = RecordedNoise(fields) if count else SeededNoise(0, range(2))
        return solver.solve(Reverse(VP(), predict, noise), numbers(2, 1, 3), grid)

    run(2 * draws)
    if shares:
        levels = [vp(float(t))[2] for t in grid]
        want = [
            levels[i] + share * (levels[i + 1] - levels[i]) for i in range(2) for share in shares
        ]
        assert [vp(t)[2] for t in call_times] == pytest.approx(want, abs=1e-8)
    if draws:
        with pytest.raises(NoiseExhausted):
            run(2 * draws - 1)


def test_stages_share_one_path():
    """SEEDS: what was drawn for the first stage is carried on, and the second draw comes after."""
    grid, seen = f64([0.9, 0.4]), []

    def predict(u, t):
        seen.append((u, float(t)))
        return torch.zeros_like(u)

    u, fields = numbers(2, 1, 3), [numbers(2, 1, 3, seed=i) for i in (1, 2)]
    out = SEEDS().solve(Reverse(VP(), predict, RecordedNoise(fields)), u, grid)
    (_, t), (middle, m), s = *seen, 0.4
    points = []
    for start, now, end, z in ((u, t, m, fields[0]), (middle, m, s, fields[1])):
        (alpha, sigma, _), (low, less, _) = vp(now), vp(end)
        spread = (low / alpha * sigma) ** 2 - less**2
        points.append(low / alpha * start + spread**0.5 * z)
    assert close(middle, points[0], 1e-9)
    assert close(out, points[1], 1e-9)
