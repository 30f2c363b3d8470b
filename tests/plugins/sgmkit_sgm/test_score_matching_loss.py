"""The training loss in expectation: its value, its minimiser, and what leaves both unchanged."""

import math

import pytest
import torch
from support.normal_losses import ROWS, WEIGHTINGS, Even, agrees, normal_data, per_row
from support.processes import EVERY, f64
from support.sgm_oracles import oracle_model, total_cov
from torch import Tensor, nn

from sgmkit import Batch, Network, SeededNoise
from sgmkit_sgm.sgm import Sgm

BUILT_IN = ("vp", "subvp", "ve", "geometric", "edm", "cld")


class Normal(Network):
    """The exact noise of N(0, c) data under any process, ``scale`` times."""

    def __init__(self, in_shape, out_shape, sde, scale=1.0):
        super().__init__(in_shape, out_shape)
        self.sde, self.var = sde, sde.data_var()
        self.scale = nn.Parameter(torch.tensor(scale, dtype=torch.float64))

    def forward(self, z: Tensor, c: Tensor, y: Tensor | None = None) -> Tensor:
        t, r = c * self.sde.horizon, self.sde.driven
        total = total_cov(self.sde, t, self.var)
        u = z.unflatten(1, (self.sde.phases, -1))
        u = u * total.diagonal(dim1=-2, dim2=-1).sqrt()[..., None]
        factor = self.sde.kernel(t).chol[:, -r:, -r:]
        noise = factor.mT @ torch.linalg.solve(total, u)[:, -r:]
        return self.scale * noise.flatten(1)


def normal_model(sde, scale=1.0, **options):
    return Sgm((1,), sde, lambda **shapes: Normal(**shapes, sde=sde, scale=scale), **options)


@pytest.mark.parametrize("sampling", ["importance", "uniform"])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("name", [*BUILT_IN, "third", "pair"])
@torch.no_grad()
def test_normal_data_leave_a_loss_of_one(name, weighting, sampling):
    """Whatever the process, the weighting and the law of t: so importance sampling is unbiased."""
    sde = EVERY[name]
    model = normal_model(sde, weighting=weighting, sampling=sampling, t_min=0.02 * sde.horizon)
    data = normal_data(sde)
    rows = per_row(model, data, Even(ROWS))
    assert agrees(rows, 1.0)
    error = float(rows.std()) / math.sqrt(ROWS)
    assert error < {"importance": 0.03, "uniform": 0.25}[sampling]  # of EDM's 80, few t matter
    total = model.loss(data, Even(ROWS), 0.5).total
    assert float(total) == pytest.approx(float(rows.mean()), rel=1e-12)


@pytest.mark.parametrize("name", ["vp", "edm", "cld"])
@torch.no_grad()
def test_edm_data_of_another_size(name):
    """What weighs, what is drawn and what it is measured by: all know the same sigma_data."""
    options = {"weighting": "edm", "sigma_data": 0.1, "t_min": 0.02 * EVERY[name].horizon}
    rows = per_row(normal_model(EVERY[name], **options), normal_data(EVERY[name]), Even(ROWS))
    assert float(rows.std()) / math.sqrt(ROWS) < 0.02
    assert agrees(rows, 1.0)


@pytest.mark.parametrize("name", BUILT_IN)
@torch.no_grad()
def test_parts_are_in_their_own_units(name):
    """Nats per coordinate of the likelihood weighting; the noise error, whatever the weighting."""
    sde, t_min = EVERY[name], 0.02 * EVERY[name].horizon
    data, losses = normal_data(sde), {}
    for weighting in WEIGHTINGS:
        model = normal_model(sde, weighting=weighting, sampling="uniform", t_min=t_min)
        losses[weighting] = model.loss(data, Even(ROWS), 0.0)
    c = sde.data_var()
    ends = 0.5 * torch.log1p(c * sde.kernel(f64([t_min, sde.horizon])).snr)
    nats = float(losses["likelihood"].parts["score"])
    assert nats == pytest.approx(float(ends[0] - ends[1]), rel=0.05)
    noise = {float(loss.parts["noise"]) for loss in losses.values()}
    assert max(noise) - min(noise) < 1e-12
    if name != "edm":  # whose uniform times nearly all lie where nothing is left of the data
        other = normal_model(sde, weighting="likelihood", t_min=t_min).loss(data, Even(ROWS), 0.0)
        assert float(other.parts["noise"]) == pytest.approx(min(noise), rel=0.05)
    span = sde.horizon - t_min
    assert float(losses["unweighted"].parts["score"]) == pytest.approx(min(noise) * span, rel=1e-9)


@pytest.mark.parametrize("matching", ["hsm", "dsm"])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("name", ["vp", "ve", "cld", "third"])
def test_the_exact_score_is_the_minimiser(name, weighting, matching):
    """Mixture data: no gradient along the exact noise, and one that pulls back from beside it."""
    sde, rows = EVERY[name], 4000
    model = oracle_model(sde, matching=matching, weighting=weighting, t_min=0.05)
    noise, law = SeededNoise(5, range(rows)), model.network.law
    uniform = noise.stream("place").uniform(torch.empty(rows, dtype=torch.float64))
    place = torch.searchsorted(law.weights.cumsum(0)[:-1], uniform)
    normal = noise.stream("normal")(torch.empty(rows, 2, dtype=torch.float64))
    x = law.means[place] + law.variances.expand(law.means.shape)[place].sqrt() * normal
    batch = Batch(x, None, noise.ids)
    share = model.network.share

    def slopes(value):
        """Slope of each row's loss in the share of the exact answer; its loss is a parabola."""
        with torch.no_grad():
            share.fill_(value + 0.5)
            high = per_row(model, batch, SeededNoise(1, range(rows)))
            share.fill_(value - 0.5)
            return high - per_row(model, batch, SeededNoise(1, range(rows)))

    at, beside = slopes(1.0), slopes(1.2)
    assert agrees(at, 0.0)
    assert float(beside.mean()) > 10 * float(beside.std()) / math.sqrt(rows)
    if matching == "hsm" and weighting == "unweighted" and name == "vp":
        share.data.fill_(1.2)
        model.loss(batch, SeededNoise(1, range(rows)), 0.0).total.backward()
        assert float(share.grad) == pytest.approx(float(beside.mean()), rel=1e-9)


def excess(sde, t_min):
    """What knowing u_0 adds to the loss of one coordinate, ``1/2 int tr D (F^-2 - L^-2) dt``.

    Given x and u_t the mean of one target is the other, so their squares tell the losses apart.
    """
    t, r = torch.linspace(t_min, sde.horizon, 200_001, dtype=torch.float64), sde.driven
    noise, sizes = sde.diffusion(t)[:, -r:, -r:], []
    for factor in (sde.kernel_from(t)[1], sde.kernel(t).chol):
        inverse = torch.linalg.inv(factor[:, -r:, -r:])
        sizes.append((noise * (inverse.mT @ inverse)).sum((1, 2)))
    return 0.5 * float(torch.trapezoid(sizes[0] - sizes[1], t))


@pytest.mark.parametrize("name", ["ve", "vp-start", "cld"])
@torch.no_grad()
def test_hybrid_and_denoising_matching_differ_by_a_constant(name):
    """As errors of a score: one gradient, whatever the network, and a known difference.

    The likelihood weighting is one of scores; the others weigh a noise, which is another's.
    """
    sde, t_min = EVERY[name], 0.005
    data = normal_data(sde)
    data = Batch(data.x.abs() - 0.8, None, data.ids)  # no Normal law
    options = {"weighting": "likelihood", "prediction": "v", "t_min": t_min}
    want = excess(sde, t_min)
    for scale in (-1.0, 0.5):
        hybrid, denoising = (
            normal_model(sde, scale, matching=matching, **options) for matching in ("hsm", "dsm")
        )
        more = per_row(denoising, data, Even(ROWS)) - per_row(hybrid, data, Even(ROWS))
        assert agrees(more, want / hybrid.problem.times(hybrid.problem.weighting).total)
        assert float(more.mean()) > 8 * float(more.std()) / math.sqrt(ROWS)


@pytest.mark.parametrize("name", ["vp", "geometric", "third"])
def test_denoising_matching_is_the_hybrid_one_where_the_start_is_known(name):
    """VP starts at the data: every draw gives the very same loss. Third order does not."""
    sde = EVERY[name]
    data = normal_data(sde, 50)
    hybrid, denoising = (
        normal_model(sde, 0.5, matching=m).match(data, SeededNoise(0, range(50)))
        for m in ("hsm", "dsm")
    )
    same = torch.allclose(hybrid.error, denoising.error, rtol=1e-9, atol=1e-12)
    assert same == (name == "vp")
    assert torch.equal(hybrid.t, denoising.t)


@pytest.mark.parametrize("name", ["ve", "cld"])
@torch.no_grad()
def test_denoising_matching_draws_the_stated_start(name):
    """States have the law of the kernel, whichever noise is asked for: mean and covariance."""
    sde, rows = EVERY[name], 40_000
    x = torch.full((rows, 1), 0.7, dtype=torch.float64)
    seen = []

    class Spy(Normal):
        def forward(self, z, c, y=None):
            seen.append((z, c))
            return super().forward(z, c, y)

    model = Sgm((1,), sde, lambda **shapes: Spy(**shapes, sde=sde), matching="dsm", t_min=0.1)
    times = model.problem.times("unweighted")
    times.draw = lambda q: (torch.full_like(q, 0.15), torch.ones_like(q))
    model.match(Batch(x, None, torch.arange(rows)), SeededNoise(2, range(rows)))
    z, c = seen[0]
    kernel = sde.kernel(f64(0.15))
    assert torch.equal(c, torch.full_like(c, 0.15))
    total = total_cov(sde, f64(0.15), sde.data_var()).diagonal().sqrt()
    u = z * total - kernel.mean * 0.7
    cov = u.T @ u / rows
    unit = kernel.cov.diagonal().sqrt()
    apart = (cov - kernel.cov) / unit[:, None] / unit
    assert float(apart.abs().max()) < 4 * math.sqrt(2 / rows)
    assert float((u.mean(0) / unit).abs().max()) < 4 / math.sqrt(rows)


class Hats(Network):
    """``sum_j theta_j hat_j(c) z``: one slope for each time, between knots a line."""

    def __init__(self, in_shape, out_shape, knots=12):
        super().__init__(in_shape, out_shape)
        self.theta = nn.Parameter(torch.zeros(in_shape[0], knots, dtype=torch.float64))

    def forward(self, z: Tensor, c: Tensor, y: Tensor | None = None) -> Tensor:
        knots = self.theta.shape[1]
        place = c.clamp(0, 1).sqrt()[:, None] * (knots - 1) - torch.arange(knots)
        hats = (1 - place.abs()).clamp_min(0)
        return torch.einsum("bj,kj,bk->b", hats, self.theta, z)[:, None]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vp", {}),
        ("vp", {"weighting": "likelihood"}),
        ("ve", {"prediction": "v", "sampling": "uniform"}),
        ("cld", {"t_min": 0.02}),
        ("cld", {"matching": "dsm", "t_min": 0.02}),
        ("cld", {"mixed": "velocity", "t_min": 0.02}),
    ],
)
def test_least_squares_find_the_exact_score(name, options):
    """The loss is quadratic in the slopes, so one Newton step ends at its minimum."""
    sde, rows, std = EVERY[name], 60_000, 0.5
    model = Sgm((1,), sde, Hats, **options)
    x = std * SeededNoise(7, range(rows))(torch.empty(rows, 1, dtype=torch.float64))
    batch = Batch(x, None, torch.arange(rows))
    loss = model.loss(batch, Even(rows), 0.0).total
    theta = model.network.theta
    (slope,) = torch.autograd.grad(loss, theta, create_graph=True)
    rows_of = [torch.autograd.grad(s, theta, retain_graph=True)[0] for s in slope.flatten()]
    hessian = torch.stack([row.flatten() for row in rows_of])
    with torch.no_grad():
        theta -= torch.linalg.lstsq(hessian, slope.flatten()[:, None]).solution.reshape(theta.shape)
    assert float(model.loss(batch, Even(rows), 0.0).total.detach()) < float(loss.detach())
    times = f64([0.03, 0.1, 0.3, 0.6, 0.9])
    r = sde.driven
    total, factor = total_cov(sde, times, std**2), sde.kernel(times).chol[:, -r:, -r:]
    u = torch.linalg.cholesky(total) @ torch.eye(sde.phases).double()
    for b, t in enumerate(times):
        eye = u[b].T[..., None]  # states of unit size under the law of u_t
        want = (factor[b].mT @ torch.linalg.solve(total[b], eye[..., 0].T)[-r:]).T[..., None]
        with torch.no_grad():
            got = model.eps(eye, t)
        assert float((got - want).abs().max()) < 0.05


def test_rows_draw_by_their_ids():
    """Time, noise and start of a row: not of its place, nor of its neighbours."""
    sde = EVERY["cld"]
    data = normal_data(sde, 6)
    for matching in ("hsm", "dsm"):
        model = normal_model(sde, matching=matching)
        whole = model.match(data, SeededNoise(0, [5, 3, 9, 0, 2, 4]))
        part = [4, 1]
        few = Batch(data.x[part], None, data.ids[part])
        again = model.match(few, SeededNoise(0, [2, 3]))
        assert torch.equal(again.t, whole.t[part])
        assert torch.allclose(again.error, whole.error[part], rtol=1e-9, atol=1e-9)


def test_times_lie_between_the_cut_off_and_the_horizon():
    for name in BUILT_IN:
        sde = EVERY[name]
        for sampling in ("importance", "uniform"):
            model = normal_model(sde, sampling=sampling)
            t = model.match(normal_data(sde, 500), SeededNoise(0, range(500))).t
            assert t.dtype == torch.float64
            assert model.t_min <= float(t.min()) < float(t.max()) <= sde.horizon


def test_progress_anneals_nothing():
    model, data = normal_model(EVERY["vp"]), normal_data(EVERY["vp"], 8)
    ends = [model.loss(data, SeededNoise(0, range(8)), p).total.detach() for p in (0.0, 1.0)]
    assert torch.equal(*ends)
