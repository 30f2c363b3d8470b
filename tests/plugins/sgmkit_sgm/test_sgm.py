"""The model: what its network sees, what its answers mean, and what it refuses."""

import numpy as np
import pytest
import torch
from support.golden_solvers_data import MIXTURE, SDES
from support.processes import EVERY, f64
from support.sgm_oracles import EDM_STD, oracle_model, total_cov
from torch import Tensor, nn

from sgmkit import Batch, Network, SeededNoise
from sgmkit.errors import BadValue, Incompatible
from sgmkit.processes import Memo
from sgmkit.testing import parametrize_checks
from sgmkit_exact.exact import Exact
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.ve import EDM, VE
from sgmkit_sdes.vp import VP
from sgmkit_sgm.sgm import MIXING_LOGIT, Sgm

PROCESSES = {name: EVERY[name] for name in ("vp", "subvp", "ve", "geometric", "edm", "cld")}
PROCESSES |= {"vp-start": EVERY["vp-start"], "cld-sloped": EVERY["cld-sloped"]}
PREDICTIONS = ["noise", "v", "x", "edm"]
SHARES = [1e-3, 0.03, 0.4, 1.0]


def draws(*shape, seed=0):
    return f64(np.random.default_rng(seed).normal(size=shape))


def states(sde, t, seed=0, rows=5):
    """Rows of u_t for the mixture's data at one time."""
    law = MIXTURE.mixture()
    x = law.means[torch.arange(rows) % 3] + 0.3 * draws(rows, 2, seed=seed)
    kernel = sde.kernel(t)
    noise = torch.einsum("ij,bjn->bin", kernel.chol, draws(rows, sde.phases, 2, seed=seed + 1))
    return kernel.mean[:, None] * x[:, None] + noise


class Linear(Network):
    """One linear map of the input and the time; labels shift its output."""

    def __init__(self, in_shape, out_shape, classes=0):
        super().__init__(in_shape, out_shape)
        self.classes, self.seen = classes, []
        sizes = (torch.Size(shape).numel() for shape in (in_shape, out_shape))
        inputs, outputs = sizes
        self.map = nn.Linear(inputs + 1, outputs)

    def forward(self, z: Tensor, c: Tensor, y: Tensor | None = None) -> Tensor:
        self.seen.append((z, c, y))
        out = self.map(torch.cat([z.flatten(1), c[:, None]], 1)).unflatten(1, self.out_shape)
        return out if y is None else out + y.reshape(-1, *(1 for _ in self.out_shape))


def linear(sde, event=(2,), seed=0, classes=0, **options):
    with torch.random.fork_rng():
        torch.random.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        return Sgm(event, sde, lambda **shapes: Linear(**shapes, classes=classes), **options)


def batch(rows, event=(2,), dtype=torch.float32, y=None):
    ids = torch.arange(rows)
    return Batch(SeededNoise(3, ids)(torch.empty(rows, *event, dtype=dtype)), y, ids)


# -- answers --------------------------------------------------------------------------------------


def assert_exact(model, tolerance=1e-8):
    sde, exact = model.sde, Exact(model.sde, MIXTURE)
    rev = model.reverse(SeededNoise(0, range(5)))
    for share in SHARES:
        t = f64(share * sde.horizon)
        u = states(sde, t)
        want = exact.eps(u, t)
        a = float(sde.kernel(t).rho[-1].abs())  # eps = w - a x takes digits
        grain = tolerance * (1 + a)
        for when in (t, t.expand(5)):
            with torch.no_grad():
                assert float((rev.eps(u, when) - want).abs().max()) < grain
    times = f64([0.5, 1.0, 0.01, 0.2, 0.9]) * sde.horizon
    u = torch.stack([states(sde, t, rows=1)[0] for t in times])
    with torch.no_grad():
        got = rev.eps(u, times)
    assert float((got - exact.eps(u, times)).abs().max()) < 1e3 * tolerance


@pytest.mark.parametrize("matching", ["hsm", "dsm"])
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("name", PROCESSES)
def test_a_perfect_network_gives_the_exact_noise(name, prediction, matching):
    assert_exact(oracle_model(PROCESSES[name], prediction=prediction, matching=matching))


@pytest.mark.parametrize("matching", ["hsm", "dsm"])
@pytest.mark.parametrize("name", ["third", "pair", "psld"])
def test_a_perfect_network_of_more_phases(name, matching):
    assert_exact(oracle_model(EVERY[name], matching=matching), 1e-7)


@pytest.mark.parametrize("matching", ["hsm", "dsm"])
@pytest.mark.parametrize("name", ["cld", "cld-sloped", "third", "pair"])
def test_a_perfect_network_beside_the_velocity(name, matching):
    assert_exact(oracle_model(EVERY[name], mixed="velocity", matching=matching), 1e-7)


@pytest.mark.parametrize("matching", ["hsm", "dsm"])
@pytest.mark.parametrize("name", ["vp", "ve", "cld", "pair"])
def test_the_normal_part_and_its_share(name, matching):
    """``(1 - a) eps_n + a eps_net``, a for each channel; eps_n is the noise of N(0, c) data."""
    sde = EVERY[name]
    r = sde.driven
    model = oracle_model(sde, mixed="normal", matching=matching)
    plain = oracle_model(sde, matching=matching)
    assert tuple(model.mixing_logit.shape) == (r, 2)
    assert bool((model.mixing_logit == MIXING_LOGIT).all())
    logit = draws(r, 2)
    model.mixing_logit.data = logit
    share = 1 / (1 + (-logit).exp())
    noise = SeededNoise(0, range(5))
    for place in SHARES:
        t = f64(place * sde.horizon)
        u, factor = states(sde, t), sde.kernel(t).chol[-r:, -r:]
        score = -torch.linalg.solve(total_cov(sde, t, sde.data_var()), u)[:, -r:]
        fixed = -torch.einsum("ji,bjn->bin", factor, score)
        with torch.no_grad():
            want = (1 - share) * fixed + share * plain.reverse(noise).eps(u, t)
            for when in (t, t.expand(5)):
                assert torch.allclose(model.reverse(noise).eps(u, when), want, atol=1e-7)


def test_the_share_is_learned():
    model = linear(VP(), (3, 4, 4), mixed="normal")
    assert tuple(model.mixing_logit.shape) == (1, 3, 1, 1)
    assert "mixing_logit" in model.state_dict()
    data = batch(8, (3, 4, 4))
    model.loss(data, SeededNoise(0, data.ids), 0.0).total.backward()
    assert float(model.mixing_logit.grad.abs().min()) > 0
    assert "mixing_logit" not in linear(VP()).state_dict()


@pytest.mark.parametrize(
    ("name", "a"), [("vp", 95.0), ("cld", 1366.6), ("ve", 99.2), ("edm", 500.0)]
)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_single_precision(name, a, prediction):
    """At the cut-off an answer x loses as many digits as a has; the others, one."""
    sde = PROCESSES[name]
    model = oracle_model(sde, prediction=prediction)
    t = f64(sde.t_min)
    u = states(sde, t)
    want = Exact(sde, MIXTURE).eps(u.float().double(), t)
    assert float(sde.kernel(t).rho[-1].abs()) == pytest.approx(a, rel=1e-2)
    with torch.no_grad():
        for when in (t, t.expand(5)):
            got = model.eps(u.float(), when)
            assert got.dtype == torch.float32
            error = float((got - want).abs().max())
            assert error < 1e-6 * (a if prediction == "x" else 10)


# -- what the network is shown --------------------------------------------------------------------


@pytest.mark.parametrize("prediction", ["noise", "edm"])
@pytest.mark.parametrize("name", [*PROCESSES, "third"])
def test_inputs_have_unit_variance(name, prediction):
    """At every time, from sigma 50 down to the cut-off; data as the scaling assumes them."""
    sde = EVERY[name]
    std = EDM_STD if prediction == "edm" else sde.data_var() ** 0.5
    model = linear(sde, (1,), prediction=prediction, sigma_data=EDM_STD)
    for share in SHARES:
        t = f64(share * sde.horizon)
        root = torch.linalg.cholesky(total_cov(sde, t, std**2))
        n = 4000
        u = torch.einsum("ij,bjn->bin", root, draws(n, sde.phases, 1, seed=4)).float()
        with torch.no_grad():
            model.eps(u, t)
        z = model.network.seen[-1][0]
        assert z.shape == (n, sde.phases)
        assert torch.allclose(z.std(0), torch.ones(sde.phases), atol=0.05)
        assert float(z.mean(0).abs().max()) < 0.1


def test_phases_come_as_channels():
    sde = CLD()
    model = linear(sde, (3, 4, 4))
    assert model.network.in_shape == (6, 4, 4)
    assert model.network.out_shape == (3, 4, 4)
    u, t = draws(2, 2, 3, 4, 4).float(), f64(0.3)
    with torch.no_grad():
        out = model.eps(u, t)
    z, c, y = model.network.seen[-1]
    scale = total_cov(sde, t, 1 - 1e-9).diagonal().rsqrt().float()
    assert torch.allclose(z[:, :3], u[:, 0] * scale[0], rtol=1e-6)
    assert torch.allclose(z[:, 3:], u[:, 1] * scale[1], rtol=1e-6)
    assert out.shape == (2, 1, 3, 4, 4)
    assert (c.dtype, c.tolist(), y) == (torch.float32, pytest.approx([0.3] * 2), None)


def test_several_driven_phases_are_channels_of_the_answer():
    model = linear(EVERY["pair"], (2, 4, 4))
    assert model.network.out_shape == (4, 4, 4)
    u = draws(3, 3, 2, 4, 4).float()
    with torch.no_grad():
        out = model.eps(u, f64(0.5))
        z, c, _ = model.network.seen[-1]
        assert torch.equal(out, model.network(z, c).reshape(3, 2, 2, 4, 4))


@pytest.mark.parametrize("name", ["vp", "edm", "cld"])
def test_labels_of_time_are_shares_or_log_sigma(name):
    sde = PROCESSES[name]
    t = f64([0.01, 0.4, 1.0]) * sde.horizon
    u = draws(3, sde.phases, 2).float()
    level = -0.5 * sde.kernel(t).snr.log()
    for prediction, want in (("noise", t / sde.horizon), ("edm", level / 4)):
        model = linear(sde, prediction=prediction)
        with torch.no_grad():
            model.eps(u, t)
            assert torch.allclose(model.network.seen[-1][1], want.float(), rtol=1e-6)
            model.eps(u, t[1])
            assert torch.allclose(model.network.seen[-1][1], want[1].float().expand(3), rtol=1e-6)


def test_coefficients_of_a_time_are_computed_once():
    calls = []

    class Counted(CLD):
        def kernel(self, t):
            calls.append(t)
            return super().kernel(t)

    model = linear(Counted(), prediction="v")
    u, t = draws(4, 2, 2).float(), f64(0.3)
    with torch.inference_mode():
        first = model.eps(u, t)
        assert len(calls) == 1
        assert torch.equal(model.eps(u, f64(0.3)), first)
        assert len(calls) == 1
        model.eps(u, f64(0.4))
        assert len(calls) == 2
    with torch.enable_grad():  # what was made in inference mode serves training
        u.requires_grad_()
        model.eps(u, t).sum().backward()
    assert u.grad is not None


def test_coefficients_do_not_pile_up():
    model = linear(VP())
    model._coefficients = Memo(3)
    u = draws(1, 1, 2).float()
    with torch.no_grad():
        for t in torch.linspace(0.1, 1, 10, dtype=torch.float64):
            model.eps(u, t)
    assert len(model._coefficients) == 3


# -- precision ------------------------------------------------------------------------------------


@pytest.mark.parametrize("prediction", ["noise", "v"])
@pytest.mark.parametrize("name", ["vp", "cld"])
def test_autocast_is_for_the_network_alone(name, prediction):
    """A network without products says the same there; so must all the rest, to rounding."""

    class Plain(Linear):
        def forward(self, z, c, y=None):
            return torch.tanh(z[:, : self.out_shape[0]] + c[:, None]) + 0 * self.map.bias

    model = Sgm((2,), PROCESSES[name], Plain, prediction=prediction)
    data = batch(16)

    def run():
        u = draws(4, model.sde.phases, 2).float()
        match = model.match(data, SeededNoise(0, data.ids))
        with torch.no_grad():
            outs = [model.eps(u, t) for t in (f64(0.01), f64([0.01, 0.1, 0.2, 0.9]))]
        return [match.error, model.loss(data, SeededNoise(0, data.ids), 0.0).total, *outs]

    plain = run()
    with torch.autocast("cpu", torch.bfloat16):
        cast = run()
    for alone, inside in zip(plain, cast, strict=True):
        assert alone.dtype == inside.dtype
        assert torch.allclose(alone, inside, rtol=1e-6, atol=1e-6)
    network = linear(PROCESSES[name], prediction=prediction)
    with torch.autocast("cpu", torch.bfloat16):
        loss = network.loss(data, SeededNoise(0, data.ids), 0.0)
    assert loss.total.dtype == torch.float32
    full = network.loss(data, SeededNoise(0, data.ids), 0.0).total
    assert not torch.equal(loss.total, full)
    assert torch.allclose(loss.total, full, rtol=0.05)


def test_data_take_the_dtype_of_the_weights():
    model = linear(VP())
    loss = model.loss(batch(4, dtype=torch.float64), SeededNoise(0, range(4)), 0.0)
    assert loss.total.dtype == torch.float32
    model = model.double()
    assert model.state_like().dtype == torch.float64
    with torch.no_grad():
        assert model.eps(draws(4, 1, 2), f64(0.3)).dtype == torch.float64
        assert model.eps(draws(4, 1, 2).float(), f64(0.3)).dtype == torch.float32


# -- labels ---------------------------------------------------------------------------------------


def test_labels_reach_the_network():
    labels = torch.tensor([3, 0, 2, 1])
    model = linear(CLD(), classes=4)
    model.loss(batch(4, y=labels), SeededNoise(0, range(4)), 0.0)
    assert torch.equal(model.network.seen[-1][2], labels)
    rev = model.reverse(SeededNoise(0, range(4)), labels)
    u, t = draws(4, 2, 2).float(), f64(0.3)
    with torch.no_grad():
        want = model.eps(u, t) + labels.reshape(4, 1, 1)
        assert torch.allclose(rev.eps(u, t), want)
        part = rev.select(torch.tensor([2, 0, 3]))
        assert torch.allclose(part.eps(u[[2, 0, 3]], t), want[[2, 0, 3]])
        inner = part.select(torch.tensor([False, True, True]))
        assert torch.allclose(inner.eps(u[[0, 3]], t), want[[0, 3]])


def test_a_network_without_classes_receives_no_labels():
    model = linear(VP())
    model.loss(batch(4, y=torch.arange(4)), SeededNoise(0, range(4)), 0.0)
    assert model.network.seen[-1][2] is None
    with pytest.raises(Incompatible) as caught:
        model.reverse(SeededNoise(0, range(4)), torch.arange(4))
    assert str(caught.value) == "the network has no classes; leave the labels out"


# -- likelihood -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [("vp", {}), ("vp", {"prediction": "edm"}), ("cld", {}), ("cld", {"matching": "dsm"})],
)
def test_a_perfect_network_has_the_exact_likelihood(name, options):
    sde, rows = SDES[name], range(2)
    x = MIXTURE.mixture().means[:2]
    tolerance = {"rtol": 1e-5, "atol": 1e-5, "t_min": 0.05}
    want = Exact(sde, MIXTURE).nll(x, SeededNoise(1, rows), **tolerance)
    model = oracle_model(sde, **options)
    # The oracle differentiates a density; the trace asks for the derivative of that.
    model.network._score = lambda u, t: _score(model, u, t)
    got = model.nll(x, SeededNoise(1, rows), **tolerance)
    assert torch.allclose(got.nats, want.nats, atol=1e-4)
    assert torch.allclose(got.parts["u_T"], want.parts["u_T"], atol=1e-5)
    assert got.kind == "ode"


def _score(model, u, t):
    """The exact score in a form that can be differentiated again."""
    kernel, r = model.sde.kernel(t), model.sde.driven
    eps = Exact(model.sde, MIXTURE).eps(u, t)
    return -torch.einsum("bji,bjn->bin", torch.linalg.inv(kernel.chol[:, -r:, -r:]), eps)


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"sde": EVERY["pair"], "prediction": "v"},
            Incompatible,
            "prediction 'v' needs one driven phase, and Pair has 2; "
            "use prediction=noise, residual or R",
        ),
        (
            {"sde": CLD(), "prediction": "x", "mixed": "velocity"},
            BadValue,
            "mixed = 'velocity' is a part of the noise: it goes with prediction=noise, not 'x'",
        ),
        (
            {"sde": VE(), "mixed": "velocity"},
            Incompatible,
            "mixed = 'velocity' needs a phase that no noise enters, and VE drives all 1; "
            "use mixed=normal",
        ),
        ({"sde": EDM(), "t_min": 80.0}, BadValue, "t_min = 80 is not below the horizon 80"),
    ],
)
def test_refusals(options, error, message):
    with pytest.raises(error) as caught:
        Sgm((2,), network=Linear, **options)
    assert str(caught.value) == message


def test_cut_offs():
    assert linear(VP()).t_min == 1e-3
    assert linear(EDM()).t_min == 0.002
    assert linear(VP(), t_min=1e-5).t_min == 1e-5


# -- the suite ------------------------------------------------------------------------------------


@parametrize_checks("model", "sgm", sde="cld", event=(1, 8, 8), network="unet:channels=16:heads=2")
def test_images_with_two_phases(check):
    check()


@parametrize_checks("model", "sgm", sde="cld", matching="dsm", mixed="velocity", network="mlp")
def test_denoising_beside_the_velocity(check):
    check()


@parametrize_checks("model", "sgm", sde="ve", mixed="normal", weighting="likelihood")
def test_a_mixed_score(check):
    check()


@parametrize_checks(
    "model", "sgm", sde="edm", prediction="edm", weighting="edm", sampling="uniform"
)
def test_edm(check):
    check()
