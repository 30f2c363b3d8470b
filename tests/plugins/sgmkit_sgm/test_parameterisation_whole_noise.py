"""Prediction R: a network that answers the noise of all phases, in the frame of the flow."""

import math

import pytest
import torch
from support.golden_solvers_data import MIXTURE, numbers
from support.normal_losses import ROWS, WEIGHTINGS, Even, agrees, normal_data, per_row
from support.processes import EVERY, f64
from support.sgm_oracles import oracle_model, total_cov

from sgmkit import BadValue, Network, Reverse, SeededNoise, time_grid
from sgmkit.processes import flow_factor
from sgmkit_exact.exact import Exact
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.hold import HOLD
from sgmkit_sdes.psld import PSLD
from sgmkit_sgm.sgm import Sgm
from sgmkit_solvers.exponential_multistep import DEIS

SDES = {name: EVERY[name] for name in ("vp", "ve", "cld", "cld-sloped", "third", "pair")}
SDES |= {"psld": PSLD(), "hold": HOLD()}


def states(sde, t, seed=0):
    """States as they are at times ``t (B,)``, ``(B, k, 2)``."""
    kernel, z = sde.kernel(t), numbers(len(t), sde.phases + 1, 2, seed=seed)
    return kernel.mean[:, :, None] * z[:, :1] + kernel.chol @ z[:, 1:]


@pytest.mark.parametrize("name", SDES)
def test_the_exact_answer_is_the_exact_noise(name):
    """Driven noise and whole one, at a time for each sample and at one for all."""
    sde = SDES[name]
    model, exact = oracle_model(sde, prediction="R"), Exact(sde, MIXTURE)
    t = f64([0.05, 0.3, 0.7, 1.0]) * sde.horizon
    u, noise = states(sde, t), SeededNoise(0, range(4))
    rev, law = model.reverse(noise), exact.reverse(noise)
    kernel, factor = sde.kernel(t), flow_factor(sde, t)
    mean = model.network._mean(u, t)[:, 0]
    want = torch.linalg.solve(factor, u - kernel.mean[:, :, None] * mean[:, None])
    assert rev.predicts_whole
    assert torch.allclose(rev.eps(u, t), law.eps(u, t), rtol=1e-7, atol=1e-7)
    assert torch.allclose(rev.whole(u, t), want, rtol=1e-6, atol=1e-6)
    assert torch.allclose(rev.velocity(u, t), law.velocity(u, t), rtol=1e-6, atol=1e-6)
    for i in range(4):
        one = rev.eps(u, t[i])[i]
        assert torch.allclose(one, law.eps(u, t[i])[i], rtol=1e-7, atol=1e-7)
        assert torch.allclose(rev.whole(u, t[i])[i], want[i], rtol=1e-6, atol=1e-6)
    assert rev.calls.tolist() == [11] * 4


def test_for_one_phase_it_is_the_noise():
    sde, t = EVERY["vp"], f64([0.2, 0.9])
    u = states(sde, t)
    one, other = (oracle_model(sde, prediction=p) for p in ("noise", "R"))
    assert torch.allclose(one.eps(u, t), other.eps(u, t), rtol=1e-12)


class Whole(Network):
    """The exact whole noise of N(0, c) data: ``R^T T^{-1} u`` with T the covariance of u_t."""

    def __init__(self, in_shape, out_shape, sde):
        super().__init__(in_shape, out_shape)
        self.sde = sde
        self.none = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))  # states are float64

    def forward(self, z, c, y=None):
        t = c * self.sde.horizon
        total = total_cov(self.sde, t, self.sde.data_var())
        u = z.unflatten(1, (self.sde.phases, -1))
        u = u * total.diagonal(dim1=-2, dim2=-1).sqrt()[..., None]
        return (flow_factor(self.sde, t).mT @ torch.linalg.solve(total, u)).flatten(1)


def whole_model(sde, **options):
    return Sgm((1,), sde, lambda **shapes: Whole(**shapes, sde=sde), prediction="R", **options)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("name", ["vp", "cld", "psld"])
@torch.no_grad()
def test_normal_data_leave_a_loss_of_one(name, weighting):
    sde = SDES[name]
    model = whole_model(sde, weighting=weighting, t_min=0.02 * sde.horizon)
    rows = per_row(model, normal_data(sde), Even(ROWS))
    assert agrees(rows, 1.0)
    assert float(rows.std()) / math.sqrt(ROWS) < 0.03


@torch.no_grad()
def test_unweighted_is_the_error_of_all_phases():
    """``|e|^2`` over k phases: of mean ``tr(I - R^T T^{-1} R)``, to which the density is alike."""
    for sde in (CLD(), PSLD()):
        model = whole_model(sde, t_min=0.02)
        match = model.match(normal_data(sde), Even(ROWS))
        assert match.error.shape == (ROWS, sde.phases, 1)
        factor, total = flow_factor(sde, match.t), total_cov(sde, match.t, sde.data_var())
        inner = factor.mT @ torch.linalg.solve(total, factor)
        want = sde.phases - inner.diagonal(dim1=-2, dim2=-1).sum(-1)
        square = match.error.square().sum((1, 2))
        for rows in match.t.argsort().chunk(8):  # at every t
            ratio = square[rows] / want[rows]
            assert agrees(ratio, 1.0, 4.5)
        span = sde.horizon - model.t_min
        share = (match.density - 0.1 / span) / want
        assert float(share.max() / share.min()) < 1.01
        half = torch.einsum("bi,bij,bj->b", match.error[..., 0], match.weight, match.error[..., 0])
        assert torch.allclose(half / 2, square)


@torch.no_grad()
def test_other_weightings_are_those_of_the_driven_noise():
    """The same times, data and noise: the same loss, row by row, as a model of driven noise."""
    for sde in (CLD(), EVERY["third"], PSLD()):
        for weighting in ("likelihood", "reweighted", "edm"):
            options = {"weighting": weighting, "t_min": 0.02}
            batch = normal_data(sde, 64)
            batch = type(batch)(batch.x.repeat(1, 2), None, batch.ids)
            one, other = (
                per_row(oracle_model(sde, prediction=p, **options), batch, Even(64))
                for p in ("noise", "R")
            )
            assert torch.allclose(one, other, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"matching": "dsm"}, "noise given the data: take matching=hsm, not dsm"),
        ({"mixed": "normal"}, "it goes with prediction=noise, not 'R'"),
        ({"mixed": "velocity"}, "it goes with prediction=noise, not 'R'"),
    ],
)
def test_contradictions_are_named(options, message):
    with pytest.raises(BadValue) as caught:
        whole_model(CLD(), **options)
    assert str(caught.value).endswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["vp", "cld", "cld-sloped", "third", "psld", "hold"])
@torch.no_grad()
def test_deis_takes_the_whole_answer(name):
    """One call a step, and where both are exact the same path as by way of the data."""
    sde, steps = SDES[name], 8
    model, exact = oracle_model(sde, prediction="R"), Exact(sde, MIXTURE)
    grid = time_grid("quadratic", sde, steps, 0.01 * sde.horizon)
    u = states(sde, grid[:1].expand(5))
    for solver in (DEIS(), DEIS(max_order=2, variable="sigma")):
        rev = model.reverse(SeededNoise(0, range(5)))
        out = solver.solve(rev, u, grid)
        want = solver.solve(exact.reverse(SeededNoise(0, range(5))), u, grid)
        assert rev.calls.tolist() == [steps] * 5
        assert float((out - want).abs().max()) < 1e-8 * (1 + float(want.abs().max()))


class Labelled(Network):
    """Answers its label in every phase, and one less in the first."""

    classes = 3

    def forward(self, z, c, y=None):
        label = torch.zeros(len(z)).to(z) if y is None else y.to(z)
        out = label[:, None].expand(len(z), 4).clone()
        out[:, :2] -= 1
        return out


def test_selected_rows_get_the_same_answers():
    """Selected rows keep the whole answer, and their own labels, however often selected."""
    model = Sgm((2,), CLD(), Labelled, prediction="R")
    u, t, y = numbers(4, 2, 2), f64(0.5), torch.tensor([0, 1, 2, 1])
    for labels in (y, None):
        rev = model.reverse(SeededNoise(0, range(4)), labels)
        whole, eps = rev.whole(u, t), rev.eps(u, t)
        part = rev.select(torch.tensor([3, 2, 0]))
        few = part.select(torch.tensor([False, True, True]))
        for some, rows in ((part, [3, 2, 0]), (few, [2, 0])):
            assert some.predicts_whole
            assert torch.equal(some.whole(u[rows], t), whole[rows])
            assert torch.equal(some.eps(u[rows], t), eps[rows])
        assert rev.calls.tolist() == [6, 2, 6, 4]
        grid = f64([1.0, 0.5, 0.1])
        one = DEIS().solve(rev, u, grid)
        assert torch.allclose(DEIS().solve(part, u[[3, 2, 0]], grid), one[[3, 2, 0]], rtol=1e-12)


def test_training_after_sampling():
    """What was remembered in inference mode serves a step with gradients."""
    sde = CLD(gamma=0.0777)

    class Linear(Network):
        def __init__(self, in_shape, out_shape):
            super().__init__(in_shape, out_shape)
            self.layer = torch.nn.Linear(in_shape[0], out_shape[0], dtype=torch.float64)

        def forward(self, z, c, y=None):
            return self.layer(z)

    model = Sgm((1,), sde, Linear, prediction="R")
    with torch.inference_mode():
        u = states(sde, f64([1.0, 1.0]))[:, :, :1]
        DEIS().solve(model.reverse(SeededNoise(0, range(2))), u, f64([1.0, 0.5, 0.2]))
    model.loss(normal_data(sde, 4), SeededNoise(0, range(4)), 0.0).total.backward()
    assert model.network.layer.weight.grad is not None


def test_a_step_uses_the_answer_itself():
    """``Phi u + (R_s - Phi R_t) answer``, though the answer fits no data at all."""
    sde, ends = CLD(), f64([0.8, 0.5])
    rev = Sgm((2,), sde, Labelled, prediction="R").reverse(SeededNoise(0, range(3)))
    u = numbers(3, 2, 2)
    phi, (start, end) = sde.transition(*ends)[0], flow_factor(sde, ends)
    want = phi @ u + (end - phi @ start) @ rev.whole(u, ends[0])
    assert torch.allclose(DEIS().solve(rev, u, ends), want, rtol=1e-10)


def test_labels_that_cannot_be_selected_are_not_guessed():
    """A whole answer for labelled rows, of which no part can be taken, is left alone."""

    def predict(u, t):
        return u[:, 1:]

    rev = Reverse(CLD(), predict, SeededNoise(0, range(3)), lambda index: predict, lambda u, t: u)
    assert not rev.select(torch.tensor([1])).predicts_whole
