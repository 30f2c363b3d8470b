r"""``inputs=statistic``: the network sees one sum of the phases, a sufficient statistic."""

import math

import pytest
import torch
from support.processes import f64
from torch import Tensor, nn

from sgmkit import BadValue, Network, SeededNoise, create
from sgmkit.processes import input_scale, statistic_scale
from sgmkit_sgm.sgm import Sgm

NAMES = ["vp", "ve", "subvp", "geometric", "cld", "psld", "hold"]
TIMES = [0.01, 0.1, 0.5, 1.0]
PLACE, WIDTH = 0.8, 0.6
"""Data: half of them N(PLACE, WIDTH^2), half N(-PLACE, WIDTH^2); of unit variance."""


@pytest.mark.parametrize("name", NAMES)
def test_it_has_unit_variance_for_normal_data(name):
    sde = create("sde", name)
    kernel, c = sde.kernel(f64(TIMES) * sde.horizon), sde.data_var()
    scale = statistic_scale(kernel, c)
    total = kernel.cov + c * kernel.mean[:, :, None] * kernel.mean[:, None, :]
    spread = torch.einsum("ti,tij,tj->t", scale, total, scale)
    assert torch.allclose(spread, torch.ones(4).double(), rtol=1e-8)
    if sde.phases == 1:  # means are positive
        assert torch.allclose(scale, input_scale(kernel, c), rtol=1e-12)


class Known(Network):
    """The exact residual of the data, from the statistic alone and the time."""

    def __init__(self, in_shape, out_shape, sde):
        super().__init__(in_shape, out_shape)
        self.sde, self.like = sde, nn.Parameter(torch.zeros(1).double())

    def forward(self, z, c, y=None):
        snr = self.sde.kernel(c.double() * self.sde.horizon).snr[:, None]
        var = self.sde.data_var()
        seen = z * torch.sqrt((1 + var * snr) / snr)  # the data and N(0, 1 / snr)
        power = WIDTH**2 * snr
        ways = [(side + power * seen) / (1 + power) for side in (PLACE, -PLACE)]
        share = torch.sigmoid(2 * PLACE * seen / (WIDTH**2 + 1 / snr))
        mean = share * ways[0] + (1 - share) * ways[1]
        normal = var * snr / (1 + var * snr) * seen
        return (mean - normal) * (1 + var * snr) / math.sqrt(var)


def exact(sde, u: Tensor, t: Tensor) -> Tensor:
    """The driven noise by the score of the states' own density, ``(B, r)``."""
    kernel = sde.kernel(t)
    total = kernel.cov + WIDTH**2 * torch.outer(kernel.mean, kernel.mean)
    states = u.clone().requires_grad_()
    logs = [
        torch.distributions.MultivariateNormal(side * kernel.mean, total).log_prob(states)
        for side in (PLACE, -PLACE)
    ]
    (score,) = torch.autograd.grad(torch.logaddexp(*logs).sum(), states)
    r = sde.driven
    return -score[:, -r:] @ kernel.chol[-r:, -r:]


@pytest.mark.parametrize("place", TIMES)
@pytest.mark.parametrize("name", NAMES)
def test_the_exact_score_needs_nothing_else(name, place):
    sde = create("sde", name)
    model = Sgm(
        (1,),
        sde,
        lambda **shapes: Known(**shapes, sde=sde),
        prediction="residual",
        inputs="statistic",
        t_min=0.001 * sde.horizon,
    ).double()
    assert (model.network.in_shape, model.network.out_shape) == ((1,), (1,))
    t = f64(place * sde.horizon)
    kernel = sde.kernel(t)
    eps = SeededNoise(0, range(20))(torch.empty(20, sde.phases, dtype=torch.float64))
    u = kernel.mean + eps @ kernel.chol.T
    want = exact(sde, u, t)
    for time in (t, t.expand(20)):
        got = model.eps(u[:, :, None], time)[:, :, 0]
        assert torch.allclose(got, want, rtol=1e-6, atol=1e-6 * float(want.abs().max()))


@pytest.mark.parametrize(
    ("prediction", "inputs", "seen"),
    [
        *(("residual", "auto", 2), ("x", "auto", 2), ("noise", "auto", 4), ("v", "auto", 4)),
        *(("residual", "phases", 4), ("x", "statistic", 2)),
    ],
)
def test_what_the_network_sees(prediction, inputs, seen):
    options = {"event": (2,), "sde": "cld", "network": "mlp", "prediction": prediction}
    assert create("model", "sgm", **options, inputs=inputs).network.in_shape == (seen,)


@pytest.mark.parametrize("prediction", ["noise", "v", "edm", "R"])
def test_answers_that_need_all_phases_are_refused(prediction):
    message = f"prediction=residual or x, not '{prediction}'"
    with pytest.raises(BadValue, match=message):
        create(
            "model",
            "sgm",
            event=(2,),
            sde="cld",
            network="mlp",
            prediction=prediction,
            inputs="statistic",
        )


@pytest.mark.parametrize("name", NAMES)
def test_a_cut_off_by_its_noise(name):
    """The same noise relative to the data, to the four digits of a time; which goes before it."""
    options = {"event": (2,), "sde": name, "network": "mlp", "noise_min": 0.0447}
    model = create("model", "sgm", **options)
    assert float(f"{model.t_min:.4g}") == model.t_min
    noise = []
    for share in (-1, 1):  # half a unit of the last digit, at most
        kernel = model.sde.kernel(f64(model.t_min * (1 + share * 5.01e-4)))
        inverse = torch.linalg.inv(kernel.cov)
        noise.append(float(kernel.mean @ inverse @ kernel.mean) ** -0.5)
    assert noise[0] < 0.0447 < noise[1]
    assert create("model", "sgm", **options, t_min=0.2).t_min == 0.2


def test_noise_that_a_process_never_has_is_refused():
    options = {"event": (2,), "sde": "geometric", "network": "mlp"}
    message = r"noise_min = 0\.001 is not a noise level of .*between 0\.00548 and 31\.6"
    with pytest.raises(BadValue, match=message):
        create("model", "sgm", **options, noise_min=0.001)
