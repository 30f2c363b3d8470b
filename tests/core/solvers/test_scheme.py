"""Solvers made of tables: which answers meet which weights, and one-step formulas by hand."""

import numpy as np
import pytest
import torch
from support.golden_solvers_data import close, numbers
from support.processes import f64

from sgmkit import RecordedNoise, Reverse, SeededNoise
from sgmkit.noise.recorded import NoiseExhausted
from sgmkit_sdes.vp import VP
from sgmkit_solvers.ancestral import Ancestral
from sgmkit_solvers.ddim import DDIM
from sgmkit_solvers.exponential_multistep import DEIS, DPM, DPMPP, Exponential
from sgmkit_solvers.exponential_runge_kutta import DPMPPSDE, SEEDS, DPMPPSingle, DPMSingle
from sgmkit_solvers.ipndm import IPNDM
from sgmkit_solvers.unipc import UniPC

LOG = ("data", "logsnr")
MULTI = {  # form, variable, answers, halved slope, halved curvature, lower orders at the end
    DEIS(max_order=4): ("noise", "t", 4, (), False),
    DEIS(max_order=2, variable="sigma"): ("noise", "sigma", 2, (), False),
    Exponential(form="data", max_order=3): (*LOG, 3, (), False),
    DPMPP(): (*LOG, 2, (), True),
    DPMPP(max_order=3): (*LOG, 3, (), True),
    DPMPP(max_order=3, weights="published"): (*LOG, 3, (2, 3), True),
    DPM(max_order=2, weights="published"): ("noise", "logsnr", 2, (2,), True),
    DPM(max_order=2, lower_final=False): ("noise", "logsnr", 2, (), False),
}
NODES, MASS = np.polynomial.legendre.leggauss(60)


def vp(t):
    """alpha, sigma and the half log-SNR of VP, written out."""
    bar = np.exp(-(0.1 * t + 19.9 * t**2 / 2))
    return np.sqrt(bar), np.sqrt(1 - bar), 0.5 * np.log(bar / (1 - bar))


def lagrange(x, nodes, j):
    return np.prod([(x - n) / (nodes[j] - n) for i, n in enumerate(nodes) if i != j], axis=0)


def combination(form, variable, t, s, nodes, halved=False):
    """Weights of the state and of answers at times ``nodes`` in a step of VP's flow."""
    (alpha_t, sigma_t, a), (alpha_s, sigma_s, b) = vp(t), vp(s)
    level = a + (b - a) * (1 + NODES) / 2
    # The time of a level: log(1 + e^{-2 level}) is the clock, a parabola in t.
    clock = np.log1p(np.exp(-2 * level))
    now = (-0.1 + np.sqrt(0.01 + 2 * 19.9 * clock)) / 19.9
    if form == "data":
        keep, rate = sigma_s / sigma_t, sigma_s * np.exp(level)
    else:
        keep, rate = alpha_s / alpha_t, -alpha_s * np.exp(-level)
    value = {"t": lambda x: x, "logsnr": lambda x: vp(x)[2], "sigma": lambda x: vp(x)[1] / vp(x)[0]}
    at, places = value[variable](now), [value[variable](n) for n in nodes]
    rate = rate * MASS * (b - a) / 2
    plain = [rate @ (lagrange(at, places, j) * np.ones(60)) for j in range(len(nodes))]
    if not halved or len(nodes) == 1:
        return keep, plain
    ends = value[variable](t), value[variable](s)
    theta = (at - ends[0]) / (ends[1] - ends[0])
    change = rate.sum() / 2 - rate @ theta if len(nodes) == 2 else -(rate @ theta**2) / 2
    power = 1 if len(nodes) == 2 else 2
    places = [(p - ends[0]) / (ends[1] - ends[0]) for p in places]
    for j in range(len(nodes)):  # the coefficient of theta^power in each basis polynomial
        others = np.polynomial.polynomial.polyfromroots([p for i, p in enumerate(places) if i != j])
        scale = np.prod([places[j] - p for i, p in enumerate(places) if i != j])
        plain[j] += change * others[power] / scale
    return keep, plain


class Hot:
    """The n-th call answers with the n-th unit vector, whatever it is shown."""

    def __init__(self, form, size):
        self.form, self.size, self.times = form, size, []

    def __call__(self, u, t):
        alpha, sigma, _ = vp(float(t))
        answer = torch.zeros_like(u)
        answer[:, :, len(self.times)] = 1.0
        self.times.append(float(t))
        return answer if self.form == "noise" else (u - alpha * answer) / sigma


def told(solver, form, grid, start=None):
    """What became of each answer, ``(calls,)``, and when they were asked for."""
    size = 2 * len(grid)
    u = torch.zeros(2, 1, size, dtype=torch.float64) if start is None else start
    predict = Hot(form, size)
    out = solver.solve(Reverse(VP(), predict, SeededNoise(0, range(2))), u, grid)
    assert torch.equal(out[0], out[1])
    return out[0, 0].numpy(), predict.times


@pytest.mark.parametrize("steps", [1, 2, 5, 12])
@pytest.mark.parametrize("solver", MULTI, ids=str)
def test_answers_meet_their_weights(solver, steps):
    """Each answer its own weight, of the time at which it was asked: Lagrange and quadrature."""
    form, variable, order, halved, lowered = MULTI[solver]
    grid = (torch.linspace(1.0, 0.15, steps + 1, dtype=torch.float64)) ** 1.5
    got, asked = told(solver, form, grid)
    t = grid.tolist()
    assert asked == t[:-1]
    want = np.zeros_like(got)
    for i in range(steps):
        final = steps - i if lowered and steps < 10 else order
        count = min(order, i + 1, final)
        nodes = [t[i - j] for j in range(count)]
        keep, parts = combination(form, variable, t[i], t[i + 1], nodes, count in halved)
        want *= keep
        for j, part in enumerate(parts):
            want[i - j] += part
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-11)
    again, _ = told(solver, form, grid)  # nothing of the first solve is left
    np.testing.assert_array_equal(again, got)


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("variant", ["bh1", "bh2"])
@pytest.mark.parametrize("form", ["data", "noise"])
def test_unipc_bookkeeping(form, variant, lower):
    """Predictor, answer, corrector from the step's start, and the answer serves the next step."""
    steps, order = 12, 3
    grid = torch.linspace(1.0, 0.2, steps + 1, dtype=torch.float64)
    got, asked = told(UniPC(order, variant, form, lower), form, grid)
    t = grid.tolist()
    assert asked == t[:-1]

    def move(state, i, places):
        keep, parts = combination(
            form, "logsnr", t[i], t[i + 1], [t[p] for p in places], variant == "bh2"
        )
        if len(places) == 2:
            (alpha, sigma, b), (_, _, a) = vp(t[i + 1]), vp(t[i])
            whole = sum(parts)
            if variant == "bh1":  # B(h) = h
                theta = (vp(t[places[0]])[2] - a) / (b - a), (vp(t[places[1]])[2] - a) / (b - a)
                slope = (alpha if form == "data" else -sigma) * (b - a) / 2
                other = 1 if theta[1] else 0
                part = slope / theta[other]
                parts = [whole - part, part] if other == 1 else [part, whole - part]
        else:
            _, parts = combination(form, "logsnr", t[i], t[i + 1], [t[p] for p in places])
        out = keep * state
        for place, part in zip(places, parts, strict=True):
            out[place] += part
        return out

    u, point = np.zeros_like(got), np.zeros_like(got)
    counts = [min(order, i + 1, steps - i if lower else order) for i in range(steps)]
    for i, count in enumerate(counts):
        if i:
            u = move(u, i - 1, [i - j for j in range(counts[i - 1] + 1)])
        point = move(u, i, [i - j for j in range(count)])
    np.testing.assert_allclose(got, point, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("answers", [1, 2, 3, 4])
def test_ipndm_weights(answers):
    steps = 6
    table = [[1], [1.5, -0.5], [23 / 12, -4 / 3, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -3 / 8]]
    grid = torch.linspace(1.0, 0.2, steps + 1, dtype=torch.float64)
    got, _ = told(IPNDM(answers), "noise", grid)
    want = np.zeros_like(got)
    for i in range(steps):
        (alpha, sigma, _), (low, less, _) = vp(float(grid[i])), vp(float(grid[i + 1]))
        want *= low / alpha
        for j, weight in enumerate(table[min(i + 1, answers) - 1]):
            want[i - j] += weight * (less - low / alpha * sigma)
    np.testing.assert_allclose(got, want, rtol=1e-9)


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
    """When a step asks, and for how many fields of normal numbers: not one more is drawn."""
    grid, asked = f64([1.0, 0.5, 0.2]), []

    def predict(u, t):
        asked.append(float(t))
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
        assert [vp(t)[2] for t in asked] == pytest.approx(want, abs=1e-8)
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
