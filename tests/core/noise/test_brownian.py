"""Brownian paths that are walked in chosen steps, and the solver that walks them."""

import math

import pytest
import torch
from support.golden_solvers_data import SDES, Law
from support.processes import f64

from sgmkit import Reverse, SeededNoise
from sgmkit.noise import BrownianPath
from sgmkit_exact.exact import Exact
from sgmkit_sdes.vp import VP
from sgmkit_solvers.adaptive_sde import AdaptiveSDE

ROWS = 10_000


def like(rows, *event, dtype=torch.float64):
    return torch.zeros(rows, *event, dtype=dtype)


class Redrawn(BrownianPath):
    """What must not be done: a refused step is forgotten, and drawn anew."""

    def settle(self, taken):
        assert self._now is not None
        self._lengths, self._pieces = [], []


def walk(path, noise, refuse, steps=4, rows=ROWS):
    """Walks to 1, each row in its own steps: the sum of what was taken, ``(rows,)``."""
    gone, end = torch.zeros(rows, dtype=torch.float64), f64(1.0)
    total = like(rows, 1)
    length = torch.full((rows,), 1 / steps, dtype=torch.float64)
    for _ in range(200):
        h = path.step(torch.minimum(length, (end - gone).clamp_min(0)))
        increment = path.draw(noise, h)
        taken = ~refuse(increment[:, 0], h) | (h < 0.03)
        path.settle(taken)
        total += torch.where(taken[:, None], increment, 0.0)
        gone = torch.where(taken, gone + h, gone)
        length = torch.where(taken, 1 / steps, h / 3)
        if bool((gone > 1 - 1e-9).all()):
            return total[:, 0]
    raise AssertionError("nobody arrives")


RULES = {
    "never": lambda w, h: torch.zeros_like(w, dtype=torch.bool),
    "large": lambda w, h: w.abs() > 0.7 * h.sqrt(),
    "upward": lambda w, h: w > 0.3 * h.sqrt(),
    "always once": lambda w, h: h > 0.1,
}


@pytest.mark.parametrize("rule", RULES)
def test_refusals_leave_the_law_alone(rule):
    """W_1 is N(0, 1), though the rule looks at the increments."""
    noise = SeededNoise(3, range(ROWS))
    total = walk(BrownianPath(like(ROWS, 1)), noise, RULES[rule])
    assert abs(float(total.mean())) < 4 / math.sqrt(ROWS)
    assert abs(float(total.square().mean()) - 1) < 4 * math.sqrt(2 / ROWS)
    assert abs(float(total.pow(4).mean()) - 3) < 4 * math.sqrt(96 / ROWS)


def test_drawing_anew_would_show():
    """The same assertions tell a path that forgets: its wild steps are too rare."""
    for rule in ("large", "upward"):
        noise = SeededNoise(3, range(ROWS))
        total = walk(Redrawn(like(ROWS, 1)), noise, RULES[rule])
        lost = abs(float(total.square().mean()) - 1) > 20 * math.sqrt(2 / ROWS)
        bias = abs(float(total.mean())) > 20 / math.sqrt(ROWS)
        assert lost or bias


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_pieces_add_up(dtype):
    """A refused step, and a refused half of it, in as many pieces as it takes."""
    path, noise = BrownianPath(like(3, 2, 4, dtype=dtype)), SeededNoise(0, range(3))
    whole = path.draw(noise, f64([1.0, 2.0, 0.5]))
    path.settle(torch.tensor([False, False, True]))
    assert path.step(f64([9.0, 9.0, 9.0])).tolist() == [1.0, 2.0, 9.0]
    half = path.draw(noise, path.step(f64([0.5, 1.5, 3.0])))
    path.settle(torch.tensor([False, True, True]))
    assert path.step(f64([9.0, 9.0, 9.0])).tolist() == [0.5, 0.5, 9.0]
    first = path.draw(noise, path.step(f64([0.2, 9.0, 1.0])))
    path.settle(torch.tensor([True, True, True]))
    second = path.draw(noise, path.step(f64([9.0, 1.0, 1.0])))
    path.settle(torch.tensor([True, True, True]))
    rest = path.draw(noise, path.step(f64([9.0, 1.0, 1.0])))
    tiny = 1e-14 if dtype == torch.float64 else 2e-6
    assert torch.allclose(first[0] + second[0], half[0], rtol=0, atol=tiny)
    assert torch.allclose(half[0] + rest[0], whole[0], rtol=0, atol=tiny)
    assert torch.allclose(half[1] + first[1], whole[1], rtol=0, atol=tiny)
    assert whole.dtype == rest.dtype == dtype
    path.settle(torch.tensor([True, True, True]))
    assert path.step(f64([9.0, 9.0, 9.0])).tolist() == [9.0, 9.0, 9.0]


def test_rows_are_independent_of_their_company():
    """The same numbers for a row, whoever else refuses what."""
    ids, h = [4, 8, 15, 16], f64([1.0, 1.0, 1.0, 1.0])

    def run(index):
        chosen = [ids[i] for i in index]
        path, noise = BrownianPath(like(len(index), 1)), SeededNoise(0, chosen)
        out, refused = [], torch.tensor([[1, 0, 1, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 1]])
        for row in refused:
            out.append(path.draw(noise, path.step(h[index] / 2)))
            path.settle(~row[index].bool())
        return torch.cat(out, 1)

    whole = run([0, 1, 2, 3])
    for index in ([0], [2, 1], [3]):
        assert torch.allclose(run(index), whole[index], rtol=0, atol=1e-15)


def test_select_keeps_what_was_refused():
    path, noise = BrownianPath(like(4, 1)), SeededNoise(0, range(4))
    whole = path.draw(noise, f64([1.0, 2.0, 3.0, 4.0]))
    path.settle(torch.tensor([False, True, False, False]))
    for index in (torch.tensor([3, 0]), torch.tensor([True, False, False, True])):
        part, own = path.select(index), noise.select(index)
        rows = [3, 0] if index.dtype != torch.bool else [0, 3]
        assert part.step(f64([9.0, 9.0])).tolist() == [rows[0] + 1.0, rows[1] + 1.0]
        got = part.draw(own, part.step(f64([9.0, 9.0])))
        assert torch.allclose(got, whole[rows], rtol=0, atol=1e-14)


# The solver ------------------------------------------------------------------------------------


class Counted:
    """Counts the rows that are asked for, and keeps the times."""

    def __init__(self, predict):
        self.predict, self.rows, self.times = predict, 0, []

    def __call__(self, u, t):
        self.rows += len(u)
        self.times.append(t)
        return self.predict(u, t)


def problem(name, rows, seed=0):
    """Normal data N(0.7, 0.25): the exact reverse problem, start, grid, and the law at the end."""
    sde = SDES[name]
    model = Exact(sde, Law([1.0], [[0.7]], [[0.25]]))
    grid = f64([1.0, 0.02]) * sde.horizon
    noise = SeededNoise(seed, range(rows))
    start, end = (sde.kernel(t) for t in grid)
    covs = [k.cov + 0.25 * k.mean[:, None] * k.mean for k in (start, end)]
    z = noise.stream("start")(like(rows, sde.phases, 1))
    u = 0.7 * start.mean[:, None] + torch.linalg.cholesky(covs[0]) @ z
    return model, u, grid, noise, 0.7 * end.mean, covs[1]


@pytest.mark.parametrize("name", ["vp", "cld"])
def test_the_law_gets_better_with_the_tolerance(name):
    """First and second moments; at a fine tolerance within Monte Carlo error and a small bias."""
    rows, errors = 1500, []
    for tol in (0.4, 0.06):
        model, u, grid, noise, mean, cov = problem(name, rows)
        rev = model.reverse(noise)
        out = AdaptiveSDE(rtol=tol, atol=tol).solve(rev, u, grid)[:, :, 0]
        scale = cov.diagonal().sqrt()
        white = (out - mean) / scale
        got = (white.T @ white / rows - cov / scale / scale[:, None]).abs().max()
        errors.append((float(white.mean(0).abs().max()), float(got)))
        assert len(set(rev.calls.tolist())) > 5  # each its own steps
    assert errors[1][0] < 4 / math.sqrt(rows) + 0.01
    assert errors[1][1] < 4 * math.sqrt(2 / rows) + 0.02
    assert sum(errors[1]) < sum(errors[0])


def test_samples_do_not_see_their_batch():
    for name in ("vp", "cld"):
        model, u, grid, _, _, _ = problem(name, 6)
        whole = AdaptiveSDE(0.2, 0.2).solve(model.reverse(SeededNoise(0, range(6))), u, grid)
        for ids in ([3], [5, 0]):
            rev = model.reverse(SeededNoise(0, ids))
            assert torch.allclose(
                AdaptiveSDE(0.2, 0.2).solve(rev, u[ids], grid), whole[ids], rtol=1e-9, atol=1e-9
            )


@pytest.mark.parametrize("tol", [0.1, 0.02])
def test_calls_are_two_for_a_step_and_one_for_a_refusal(tol, monkeypatch):
    model, u, grid, noise, _, _ = problem("vp", 50)
    tried, taken = torch.zeros(50, dtype=torch.int64), torch.zeros(50, dtype=torch.int64)
    settle, select, init = BrownianPath.settle, BrownianPath.select, BrownianPath.__init__

    def begun(self, like):
        init(self, like)
        self.rows = torch.arange(len(like))

    def settled(self, done):
        tried.index_add_(0, self.rows, torch.ones_like(self.rows))
        taken.index_add_(0, self.rows, done.long())
        settle(self, done)

    def selected(self, index):
        part = select(self, index)
        part.rows = self.rows[index]
        return part

    for key, value in (("settle", settled), ("select", selected), ("__init__", begun)):
        monkeypatch.setattr(BrownianPath, key, value)
    predict = Counted(model.eps)
    rev = Reverse(VP(), predict, noise)
    AdaptiveSDE(rtol=tol, atol=tol).solve(rev, u, grid)
    assert bool((tried > taken).any())
    assert torch.equal(rev.calls, 2 * taken + (tried - taken))
    assert predict.rows == int(rev.calls.sum())
    ends = torch.cat(predict.times)
    assert float(ends.min()) == float(grid[-1])  # no sooner and no later than asked
    assert float(ends.max()) == float(grid[0])


def test_half_and_single_precision():
    """States of a network: the steps stay those of float64 times."""
    model, u, grid, _, mean, cov = problem("cld", 500)
    out = AdaptiveSDE(0.2, 0.2).solve(model.reverse(SeededNoise(0, range(500))), u.float(), grid)
    assert out.dtype == torch.float32
    white = (out.double()[:, :, 0] - mean) / cov.diagonal().sqrt()
    assert float(white.std(0).sub(1).abs().max()) < 0.15
