"""Score-SDE's predictors and correctors, reproduced from their recorded noise (tests/golden).

They step through tables of N discrete levels, at times ``linspace(1, eps, N)`` that are not quite
the tables', with the score of the continuous process. So the process here is a continuous one
whose `transition` is the table's: predictors and correctors are ours.
"""

from dataclasses import dataclass

import pytest
import torch
from support.golden_data import load
from support.golden_solvers_data import MIXTURE, close, problem

from sgmkit import LinearSDE, RecordedNoise, Reverse
from sgmkit.processes import Kernel, Operator
from sgmkit_exact.exact import Exact
from sgmkit_sdes.ve import VE
from sgmkit_sdes.vp import VP, SubVP
from sgmkit_solvers.adaptive_runge_kutta import RK45
from sgmkit_solvers.ancestral import Ancestral, ReverseDiffusion
from sgmkit_solvers.euler_maruyama import Euler
from sgmkit_solvers.predictor_corrector import Level, PredictorCorrector, levels

SDES = {  # of runs of 20 steps and of single steps; of runs of 100
    "vp": (VP(beta_min=0.1, beta_max=12.0), VP(beta_min=0.1, beta_max=20.0)),
    "subvp": (SubVP(beta_min=0.1, beta_max=20.0), SubVP(beta_min=0.1, beta_max=20.0)),
    "ve": (VE(sigma_min=0.01, sigma_max=50.0), VE(sigma_min=0.01, sigma_max=50.0)),
}
CUTS = {"vp": 1e-3, "subvp": 1e-3, "ve": 1e-5}
SCALES = {"vp": 1.0, "subvp": 1.0, "ve": 50.0}
AGREE = {"vp": 1e-11, "subvp": 1e-11, "ve": 1e-6}
"""Runs: VE's start at a large sigma amplifies rounding in the reference."""
PREDICTORS = {
    "euler_maruyama": {name: Euler() for name in SDES},
    "reverse_diffusion": {name: ReverseDiffusion() for name in SDES},
    "reverse_diffusion_pf": {name: ReverseDiffusion(eta=0.0) for name in SDES},
    "ancestral_sampling": {"vp": Ancestral("forward"), "ve": Ancestral("posterior")},
}
CORRECTORS = {
    "langevin": PredictorCorrector(ReverseDiffusion(), "langevin", snr=0.16, norms="batch"),
    "ald": PredictorCorrector(ReverseDiffusion(), "annealed", snr=0.16),
}


@dataclass(frozen=True)
class Discrete(LinearSDE):
    """A continuous process whose transition to t is that of a table of n levels."""

    base: LinearSDE
    n: int

    def index(self, t):
        return (t * (self.n - 1)).floor()

    def before(self, t):
        """A time at which the table is one level lower than at t."""
        return (self.index(t) - 0.5) / (self.n - 1)

    def drift(self, t):
        return self.base.drift(t)

    def diffusion(self, t):
        return self.base.diffusion(t)

    def kernel(self, t):
        return self.base.kernel(t)

    def level(self, index):
        """VE's sigma, ``(*index)``: geometric, and zero before the first."""
        low, high = self.base.sigma_min, self.base.sigma_max
        sigma = low * (high / low) ** (index / (self.n - 1))
        return torch.where(index < 0, 0.0, sigma)

    def transition(self, s, t):
        if isinstance(self.base, VE):
            high, low = (self.level(self.index(t) - i).square() for i in (0, 1))
            phi, cov = torch.ones_like(t), high - low
        elif isinstance(self.base, VP):
            slope = (self.base.beta_max - self.base.beta_min) / (self.n - 1)
            cov = (self.base.beta_min + slope * self.index(t)) / self.n
            phi = (1 - cov).sqrt()
        else:
            phi, cov = 1 + self.drift(t)[..., 0, 0] / self.n, self.diffusion(t)[..., 0, 0] / self.n
        return phi[..., None, None], cov[..., None, None]


class Table(Discrete):
    """With the table's kernel as well, which the posterior's variance comes from."""

    def kernel(self, t):
        sigma = self.level(self.index(t))[..., None, None]
        return Kernel(torch.ones_like(sigma[..., 0]), sigma.square(), sigma)


class Runner:
    """Problems of one continuous score, which share draws and the list of its inputs."""

    def __init__(self, name, base, n, draws):
        self.name, self.n, self.seen = name, n, []
        self.exact, self.base, self.noise = Exact(base, MIXTURE), base, RecordedNoise(draws)

    def rev(self, kind=Discrete):
        return Reverse.from_score(kind(self.base, self.n), self.score, self.noise)

    def score(self, u, t):
        self.seen.append(u)
        return -self.exact.eps(u, t) / self.base.kernel(t).chol.reshape(-1, 1, 1)

    def predict(self, predictor, u, t):
        """One step down from t."""
        solver = PREDICTORS[predictor][self.name]
        rev = self.rev(Table if solver == Ancestral("posterior") else Discrete)
        s = t - 1 / self.n if predictor == "euler_maruyama" else rev.sde.before(t)
        return solver.solve(rev, u, torch.stack([t, s]))

    def correct(self, corrector, u, t):
        """One Langevin step at t."""
        rev = self.rev()
        (level,) = levels(rev.sde, torch.stack([t, rev.sde.before(t)]))
        return CORRECTORS[corrector].correct(rev, u, t, level)


def times_of(name, n):
    return torch.linspace(1.0, CUTS[name], n, dtype=torch.float64)


def run(name, base, predictor, corrector, start, noise, n):
    """A run's end with its last noise and without it, and the score's inputs."""
    runner = Runner(name, base, n, list(noise[:, :, None]))
    u = mean = SCALES[name] * start[:, None]
    for t in times_of(name, n):
        if corrector != "none":
            u = mean = runner.correct(corrector, u, t)
        if predictor != "none":
            if t == CUTS[name]:
                still = Runner(name, base, n, [torch.zeros_like(u)])
                mean = still.predict(predictor, u, t)
            u = runner.predict(predictor, u, t)
    return u[:, 0], mean[:, 0], torch.stack(runner.seen)[:, :, 0]


RUNS = [
    (name, predictor, corrector)
    for name in SDES
    for predictor in ("euler_maruyama", "reverse_diffusion", "ancestral_sampling", "none")
    for corrector in ("none", "langevin", "ald")
    if predictor != corrector and (name != "subvp" or corrector == "none")
    if name in PREDICTORS.get(predictor, SDES)
]


@pytest.mark.parametrize(("name", "predictor", "corrector"), RUNS)
def test_runs(name, predictor, corrector):
    golden, tag, agree = load(f"scoresde_sampler_{name}"), f"{predictor}__{corrector}", AGREE[name]
    base, start = SDES[name][0], golden["z_T"]
    out, mean, seen = run(name, base, predictor, corrector, start, golden["noise"], 20)
    assert close(out, golden[f"run_{tag}_den0"], agree)
    assert close(mean, golden[f"run_{tag}_den1"], agree)
    if f"run_{tag}_evals" in golden:
        assert close(seen, golden[f"run_{tag}_evals"], agree)
    if f"run_{tag}_den1_f32" in golden:
        assert close(mean, golden[f"run_{tag}_den1_f32"].double(), 1e-3)


@pytest.mark.parametrize(("name", "predictor"), [r[:2] for r in RUNS if r[2] == "none"])
def test_long_runs(name, predictor):
    golden, base = load(f"scoresde_sampler_{name}"), SDES[name][1]
    out, mean, _ = run(name, base, predictor, "none", golden["z_T"], golden["noise100"], 100)
    assert close(out, golden[f"run100_{predictor}_den0"], AGREE[name])
    assert close(mean, golden[f"run100_{predictor}_den1"], AGREE[name])


WHOLE = [
    run
    for run in RUNS
    if run[1] in ("reverse_diffusion", "ancestral_sampling") and run[2] != "none"
    if run != ("ve", "ancestral_sampling", "ald")  # one step has the table's kernel, one has not
]


@pytest.mark.parametrize(("name", "predictor", "corrector"), WHOLE)
def test_our_run_as_a_whole(name, predictor, corrector):
    """The solver's own loop on the whole grid."""
    golden, times = load(f"scoresde_sampler_{name}"), times_of(name, 20)
    runner = Runner(name, SDES[name][0], 20, list(golden["noise"][:, :, None]))
    solver = PREDICTORS[predictor][name]
    rev = runner.rev(Table if solver == Ancestral("posterior") else Discrete)
    rule = "langevin" if corrector == "langevin" else "annealed"
    whole = PredictorCorrector(solver, rule, snr=0.16, norms="batch")
    grid = torch.cat([times, rev.sde.before(times[-1:])])
    u = whole.solve(rev, SCALES[name] * golden["z_T"][:, None], grid)
    assert close(u[:, 0], golden[f"run_{predictor}__{corrector}_den0"], AGREE[name])


SINGLES = [(name, predictor) for predictor, own in PREDICTORS.items() for name in own]


@pytest.mark.parametrize("n", [20, 1000])
@pytest.mark.parametrize(("name", "predictor"), SINGLES)
def test_single_steps(name, predictor, n):
    """Each row from a time of its own."""
    golden = load(f"scoresde_sampler_{name}")
    rows = zip(golden["x_single"], golden["noise"][0], golden["t_single"], strict=True)
    for i, (x, z, t) in enumerate(rows):
        for j, draw in enumerate((z, 0 * z)):
            runner = Runner(name, SDES[name][0], n, [draw[None, None]])
            out = runner.predict(predictor, x[None, None], t)[0, 0]
            assert close(out, golden[f"single_{predictor}_N{n}"][j, i], 1e-11)


@pytest.mark.parametrize("n", [20, 1000])
@pytest.mark.parametrize("name", ["vp", "ve"])
def test_single_langevin_steps(name, n):
    """Norms are means over the batch, whose rows have times of their own, and so contractions.

    With the noise turned round the step is as long: the mean of both is the one without noise.
    """
    golden, base = load(f"scoresde_sampler_{name}"), SDES[name][0]
    u, z, t = golden["x_single"][:, None], golden["noise"][0][:, None], golden["t_single"]
    keep, _ = Discrete(base, n).transition(t, t)
    level = Level(keep.square(), Operator([[-1.0]]), Operator([[1.0]]))
    both = []
    for draw in (z, -z):
        runner = Runner(name, base, n, [draw])
        rev = Reverse(base, lambda u, t, runner=runner: -runner.score(u, t), runner.noise)
        both.append(CORRECTORS["langevin"].correct(rev, u, t, level)[:, 0])
    out = torch.stack([both[0], (both[0] + both[1]) / 2])
    assert close(out, golden[f"single_langevin_N{n}"], 1e-11)


@pytest.mark.parametrize("n", [20, 1000])
@pytest.mark.parametrize("name", ["vp", "ve"])
def test_single_annealed_steps(name, n):
    golden = load(f"scoresde_sampler_{name}")
    rows = zip(golden["x_single"], golden["noise"][0], golden["t_single"], strict=True)
    for i, (x, z, t) in enumerate(rows):
        for j, draw in enumerate((z, 0 * z)):
            runner = Runner(name, SDES[name][0], n, [draw[None, None]])
            out = runner.correct("ald", x[None, None], t)[0, 0]
            assert close(out, golden[f"single_ald_N{n}"][j, i], 1e-11)


@pytest.mark.parametrize(("name", "tolerance"), [("vp", 1e-8), ("subvp", 1e-8), ("ve", 1e-7)])
def test_probability_flow(name, tolerance):
    """Its denoising step is one of reverse diffusion, N = 1000, without noise."""
    golden, base = load(f"scoresde_sampler_{name}"), SDES[name][0]
    rev, _ = problem(base)
    ends = torch.tensor([1.0, CUTS[name]], dtype=torch.float64)
    solver = RK45(rtol=1e-10, atol=1e-10)
    u = solver.solve(rev, SCALES[name] * golden["z_T"][:, None], ends)
    runner = Runner(name, base, 1000, [torch.zeros_like(u)])
    mean = runner.predict("reverse_diffusion", u, ends[1])
    for out, den in ((u, 0), (mean, 1)):
        assert close(out[:, 0], golden[f"ode_tol1e-11_den{den}"], tolerance)
        assert close(out[:, 0], golden[f"ode_tol1e-05_den{den}"], 2e-3)
    assert close(u[:, 0], golden["ode_tol1e-05_den0_f32"].double(), 2e-3)
