"""The problem without a network: times, states, targets and weights."""

import pytest
import torch
from support.processes import EVERY, f64

from sgmkit import BadValue, SeededNoise
from sgmkit.processes import flow_factor, weight_matrix, weighted_square
from sgmkit_sgm.parameterisation import Parameterisation
from sgmkit_sgm.score_matching import ScoreMatching, time_of_noise

ROWS = 5


def problem(
    name, prediction="noise", matching="hsm", weighting="likelihood", sampling="importance"
):
    sde = EVERY[name]
    parameterisation = Parameterisation(sde, prediction, "none", matching, 0.5)
    return ScoreMatching((3,), parameterisation, weighting, sampling, 0.01 * sde.horizon)


def perturbed(problem, **options):
    noise = SeededNoise(0, range(ROWS))
    x = noise.stream("data")(torch.empty(ROWS, 3, dtype=torch.float64))
    return x, problem.perturb(x, noise, problem.weighting, **options)


@pytest.mark.parametrize("name", ["vp", "cld", "third", "pair"])
def test_states_are_the_kernel_of_the_data_and_the_noise(name):
    x, batch = perturbed(problem(name))
    kernel = EVERY[name].kernel(batch.t)
    u = kernel.mean[:, :, None] * x[:, None] + kernel.chol @ batch.eps
    torch.testing.assert_close(batch.u, u, rtol=1e-12, atol=1e-12)
    target = problem(name).target(batch)
    assert torch.equal(target, batch.eps[:, -EVERY[name].driven :])


@pytest.mark.parametrize("name", ["cld", "cld-sloped"])
def test_denoising_matching_draws_u_0_and_adds_the_noise_of_what_follows(name):
    sde, (_, batch) = EVERY[name], perturbed(problem(name, matching="dsm"))
    phi, factor = sde.kernel_from(batch.t)
    torch.testing.assert_close(batch.conditional.cov, factor @ factor.mT)
    start = torch.linalg.solve(phi, batch.u - factor @ batch.eps)
    again = perturbed(problem(name, matching="dsm"))[1]
    assert torch.equal(again.u, batch.u)
    assert float(start[:, 1:].abs().max()) > 0.01  # the velocities were drawn


def test_an_error_of_the_whole_noise_costs_what_it_does_to_the_driven_noise():
    own = problem("cld", "R")
    _, batch = perturbed(own)
    sde = own.sde
    factor = flow_factor(sde, batch.t)
    torch.testing.assert_close(factor @ own.target(batch), batch.kernel.chol @ batch.eps)
    error = SeededNoise(2, range(ROWS))(torch.empty(ROWS, 2, 3, dtype=torch.float64))
    # The score is -L_dd^{-T} eps_d, and -(R^{-T} answer)_d.
    score = torch.linalg.solve(factor.mT, error)[:, -1:]
    driven = batch.kernel.chol[:, -1:, -1:].mT @ score
    weight = weight_matrix(sde, batch.t, batch.kernel, "likelihood")
    torch.testing.assert_close(
        weighted_square(own.weight(batch, "likelihood"), error), weighted_square(weight, driven)
    )
    assert torch.equal(
        own.weight(batch, "unweighted"), 2 * torch.eye(2).double().expand(ROWS, 2, 2)
    )


def test_a_law_of_times_is_computed_once_for_each_weighting():
    own = problem("vp", sampling="uniform")
    assert own.times("edm") is own.times("edm")
    assert set(own.samplers) == {"edm"}
    assert own.times("edm").uniform == 1.0
    assert problem("vp").times("edm").uniform == 0.1


def test_labels_go_to_the_device_of_the_data():
    labels = torch.arange(ROWS)
    assert perturbed(problem("vp"))[1].y is None
    assert torch.equal(perturbed(problem("vp"), y=labels)[1].y, labels)


def test_a_cut_off_lies_below_the_horizon():
    parameterisation = problem("vp").parameterisation
    with pytest.raises(BadValue, match=r"^t_min = 1 is not below the horizon 1$"):
        ScoreMatching((3,), parameterisation, "likelihood", "uniform", 1.0)


@pytest.mark.parametrize("name", ["vp", "cld", "ve"])
def test_noise_levels_and_times(name):
    sde = EVERY[name]
    t = time_of_noise(sde, 0.3)
    assert float(sde.kernel(f64(t)).snr.rsqrt()) == pytest.approx(0.3, rel=2e-3)
    with pytest.raises(BadValue, match=r"^noise_min = 1e\+09 is not a noise level of "):
        time_of_noise(sde, 1e9)
