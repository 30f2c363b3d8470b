"""The seam: formulas, counts, sub-batches, and what is computed ahead."""

import pytest
import torch
from support.golden_solvers_data import MIXTURE, SDES, close, numbers, times

from sgmkit import RecordedNoise, Reverse, SeededNoise, time_grid
from sgmkit.errors import Incompatible
from sgmkit.solvers import StepSolver, finish
from sgmkit_exact.exact import Exact
from sgmkit_solvers.adaptive_runge_kutta import RK45
from sgmkit_solvers.ddim import DDIM
from sgmkit_solvers.euler_maruyama import Euler
from sgmkit_solvers.heun import Heun
from sgmkit_solvers.ssem import SSEM

B, EVENT = 4, (2, 3)


def network(sde):
    """Any function of state and time, row by row: ``(B, r, *event)``."""

    def predict(u, t):
        shift = t.reshape(-1, *[1] * (u.ndim - 1)).to(u) if t.ndim else float(t)
        return (u[:, -sde.driven :] + 0.3 * u[:, :1] - shift).tanh()

    return predict


def problem(sde, rows=B):
    return Reverse(sde, network(sde), SeededNoise(0, range(rows)))


def expected(sde, u, t):
    """Everything by its formula, one row at a time, at t ``(B,)``."""
    out = {"score": [], "velocity": [], "drift": []}
    r = sde.driven
    for row, now in zip(u, t, strict=True):
        f, d, low = sde.drift(now), sde.diffusion(now), sde.kernel(now).chol[-r:, -r:]
        eps = network(sde)(row[None], now)[0].flatten(1)
        s = -torch.linalg.solve(low.mT, eps)
        state = row.flatten(1)
        out["score"].append(s)
        out["velocity"].append(f @ state - d[:, -r:] @ s / 2)
        out["drift"].append(-f @ state + d[:, -r:] @ s)
    return {key: torch.stack(rows).unflatten(2, EVENT) for key, rows in out.items()}


@pytest.mark.parametrize("what", ["score", "velocity", "drift"])
@pytest.mark.parametrize("name", SDES)
def test_formulas(name, what):
    sde = SDES[name]
    u, places = numbers(B, sde.phases, *EVENT), times(sde, 0.1, 0.35, 0.8, 1.0)
    rev = problem(sde)
    rows = getattr(rev, what)(u, places)
    assert close(rows, expected(sde, u, places)[what], 1e-11)
    for place in places:
        single = getattr(rev, what)(u, place)
        assert close(single, expected(sde, u, place.expand(B))[what], 1e-11)


@pytest.mark.parametrize("name", SDES)
def test_denoised_data_solve_for_the_driven_noise(name):
    """x with w_d = a_d x + eps_d: where the driven channels tell, whatever the network says."""
    sde = SDES[name]
    places = times(sde, 0.1, 0.35, 0.8, 1.0)
    kernel, r = sde.kernel(places), sde.driven
    x, eps = numbers(B, *EVENT), numbers(B, sde.phases, *EVENT, seed=1)
    u = kernel.mean[:, :, None, None] * x[:, None]
    u = u + (kernel.chol @ eps.flatten(2)).unflatten(2, EVENT)
    rev = Reverse(sde, lambda u, t: eps[:, -r:], SeededNoise(0, range(B)))
    strong = kernel.rho[:, -r:].square().sum(1) > 1e-3 * kernel.snr
    assert bool(strong.any())
    assert close(rev.denoise(u, places)[strong], x[strong], 1e-8)
    for row in strong.nonzero()[:, 0]:
        assert close(rev.denoise(u, places[row])[row], x[row], 1e-8)


@pytest.mark.parametrize("name", SDES)
def test_noise_of_a_step(name):
    """Unit draws in turn: together they have the covariance D(t) (t - s)."""
    sde = SDES[name]
    t, s = times(sde, 0.6, 0.5)
    r = sde.driven
    draws = torch.eye(r, dtype=torch.float64)
    rev = Reverse(sde, network(sde), RecordedNoise([draws[:, :, None]] * 2))
    u = torch.zeros(r, sde.phases, 1, dtype=torch.float64)
    for one, other in ((t, s), (t.expand(r), s.expand(r))):
        out = rev.brownian(u, one, other)[:, :, 0]
        assert close(out.mT @ out, sde.diffusion(t) * (t - s), 1e-12)
    assert bool((out[:, : sde.phases - r] == 0).all())


@pytest.mark.parametrize("name", SDES)
def test_known_score_round_trip(name):
    sde = SDES[name]
    model, u = Exact(sde, MIXTURE), numbers(B, sde.phases, 2)
    places = times(sde, 0.2, 0.4, 0.6, 0.9)
    direct = model.reverse(SeededNoise(0, range(B)))

    def score(state, t):
        state = state.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(model.log_prob(state, t).sum(), state)
        return gradient[:, -sde.driven :]

    rev = Reverse.from_score(sde, score, SeededNoise(0, range(B)))
    for t in (places, places[1]):
        assert close(rev.score(u, t), score(u, t), 1e-9)
        assert close(rev.velocity(u, t), direct.velocity(u, t), 1e-8)
    assert rev.calls.tolist() == [4] * B


def test_prepared_and_missed_times_are_the_same():
    sde = SDES["cld sloped"]
    u, grid = numbers(B, 2, *EVENT), time_grid("uniform", sde, 7, 1e-3)
    ready, missed = problem(sde), problem(sde)
    ready.prepare(grid)
    for t in grid:
        assert torch.equal(ready.velocity(u, t), missed.velocity(u, t))
        assert torch.equal(ready.denoise(u, t), missed.denoise(u, t))


@pytest.mark.parametrize("solver", [Euler(), Heun(), Heun(churn=3.0)], ids=str)
def test_prepared_times_cost_no_coefficients(solver, monkeypatch):
    """Batched evaluations for a grid; the steps look theirs up and miss none."""
    sde, kernels = SDES["cld"], []
    original = type(sde).kernel

    def kernel(self, t):
        kernels.append(tuple(t.shape))
        return original(self, t)

    grid = time_grid("uniform", sde, 9, 1.234e-3)  # no other test's: tables are remembered
    monkeypatch.setattr(type(sde), "kernel", kernel)
    solver.solve(problem(sde), numbers(B, 2, *EVENT), grid)
    assert len(kernels) > 0
    assert (1,) not in kernels
    assert () not in kernels
    if solver == Euler():
        assert kernels == [(9,)]


def test_nodes_of_a_step_are_prepared(monkeypatch):
    class Middle(StepSolver):
        nodes = (0.0, 0.5, 1.0)

        def step(self, rev, u, t, s):
            for now in (t, (t + s) / 2, s):
                u = u + (s - t) / 3 * rev.velocity(u, now)
            return u

    sde, kernels = SDES["vp"], []
    original = type(sde).kernel
    monkeypatch.setattr(
        type(sde), "kernel", lambda self, t: (kernels.append(t.shape), original(self, t))[1]
    )
    Middle().solve(problem(sde), numbers(B, 1, *EVENT), torch.tensor([1, 0.5, 0.25]).double())
    assert kernels == [(5,)]


def test_dtypes_may_alternate():
    sde = SDES["cld"]
    rev, u, t = problem(sde), numbers(B, 2, *EVENT), times(sde, 0.4)[0]
    first = rev.velocity(u, t)
    single = rev.velocity(u.float(), t)
    assert single.dtype == torch.float32
    assert close(single.double(), first, 1e-5)
    assert torch.equal(rev.velocity(u, t), first)
    assert rev.velocity(u.float(), times(sde, 0.1, 0.2, 0.3, 0.4)).dtype == torch.float32


@pytest.mark.parametrize("name", ["ve", "cld", "coupled"])
def test_a_network_may_speak_a_lower_precision(name):
    """Its answer is rounded; the arithmetic of a step stays the state's."""
    sde = SDES[name]
    u, t = numbers(B, sde.phases, *EVENT), times(sde, 0.4)[0]
    low = Reverse(sde, lambda u, t: network(sde)(u, t).bfloat16(), SeededNoise(0, range(B)))
    rounded = Reverse(
        sde, lambda u, t: network(sde)(u, t).bfloat16().double(), SeededNoise(0, range(B))
    )
    for what in ("eps", "score", "velocity", "drift", "denoise"):
        assert torch.equal(getattr(low, what)(u, t), getattr(rounded, what)(u, t))


SOLVERS = [Euler(), SSEM(), SSEM(kick="midpoint"), Heun(), Heun(churn=5.0), DDIM(), RK45()]


@pytest.mark.parametrize("last", ["none", "mean"])
@pytest.mark.parametrize("name", ["vp", "cld", "coupled"])
@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_calls_are_those_of_the_network(solver, name, last):
    """The network counts for itself, per sample; so do rejected steps and rows that are done."""
    sde = SDES[name]
    counted = torch.zeros(5, dtype=torch.int64)

    def narrow(index):
        def predict(u, t):
            assert len(u) == len(index)
            counted[index] += 1
            return network(sde)(u, t)

        return predict

    rev = Reverse(sde, narrow(torch.arange(5)), SeededNoise(0, range(5)), narrow)
    u = numbers(5, sde.phases, 2) * torch.tensor([0.1, 1.0, 5.0, 30.0, 1.0]).double()[:, None, None]
    kept = u.clone()
    grid = time_grid("uniform", sde, 6, 1e-2)
    assert rev.calls.tolist() == [0] * 5
    finish(rev, solver.solve(rev, u, grid), grid[-1], last)
    assert torch.equal(rev.calls, counted)
    assert torch.equal(u, kept)
    if solver.adaptive:
        assert len(counted.unique()) > 1
    else:
        assert counted.tolist() == [6 * solver.cost + (last == "mean")] * 5


def test_sub_batches_of_sub_batches():
    sde = SDES["vp"]
    labels = torch.tensor([10, 11, 12, 13, 14, 15])
    seen = []

    def narrow(index):
        def predict(u, t):
            seen.append(labels[index].tolist())
            return torch.zeros_like(u)

        return predict

    rev = Reverse(sde, narrow(torch.arange(6)), SeededNoise(0, range(6)), narrow)
    u, t = numbers(6, 1, 2), times(sde, 0.5)[0]
    rev.eps(u, t)
    part = rev.select(torch.tensor([5, 1, 3]))
    part.eps(u[:3], t)
    inner = part.select(torch.tensor([2, 0]))
    assert inner.calls.tolist() == [2, 2]
    inner.eps(u[:2], t)
    masked = inner.select(torch.tensor([False, True]))
    masked.eps(u[:1], t)
    masked.eps(u[:1], t)
    assert seen == [labels.tolist(), [15, 11, 13], [13, 15], [15], [15]]
    assert rev.calls.tolist() == [1, 2, 1, 3, 1, 5]
    assert part.calls.tolist() == [5, 2, 3]
    assert inner.calls.tolist() == [3, 5]
    assert masked.calls.tolist() == [5]
    assert rev.select(torch.tensor([4, 0])).calls.tolist() == [1, 1]
    mask = torch.tensor([True, False, False, True, False, False])
    rev.select(mask).eps(u[:2], t)
    assert rev.calls.tolist() == [2, 2, 1, 4, 1, 5]
    assert seen[-1] == [10, 13]


def test_sub_batches_have_the_noise_of_their_samples():
    sde = SDES["vp"]
    u = torch.zeros(5, 1, 2, dtype=torch.float64)
    t, s = times(sde, 0.5, 0.4)
    whole = problem(sde, 5).brownian(u, t, s)
    index = torch.tensor([4, 2])
    part = problem(sde, 5).select(index)
    assert torch.equal(part.brownian(u[:2], t, s), whole[index])
    assert part.noise.ids.tolist() == [4, 2]


def test_calls_before_any_call():
    rev = problem(SDES["vp"])
    assert rev.calls.tolist() == [0] * B
    assert rev.select(torch.tensor([3])).calls.tolist() == [0]
    assert rev.calls.dtype == torch.int64


def test_a_problem_outlives_inference_mode():
    """Counts made in inference mode go on outside of it, where autograd may be on."""
    sde = SDES["vp"]
    rev, u, t = problem(sde), numbers(B, 1, 2), times(sde, 0.5)[0]
    part = rev.select(torch.tensor([0, 2]))
    with torch.inference_mode():
        part.velocity(u[:2].clone(), t)
    state = u[:2].clone().requires_grad_(True)
    part.velocity(state, t).sum().backward()
    assert bool((state.grad != 0).all())
    assert rev.calls.tolist() == [2, 0, 2, 0]


def test_only_some_models_predict_the_whole_noise():
    rev = problem(SDES["cld"])
    assert not rev.predicts_whole
    with pytest.raises(Incompatible) as caught:
        rev.whole(torch.zeros(B, 2, *EVENT), torch.tensor(0.5, dtype=torch.float64))
    assert str(caught.value) == (
        "this model does not predict the whole noise; train with prediction=R, or check "
        "predicts_whole"
    )
    assert rev.calls.tolist() == [0] * B
