"""The prior N(0, I): its score leaves samples what they are, and one time is computed once."""

import pytest
import torch
from support.processes import f64

from sgmkit import BadValue, Batch, Incompatible, SeededNoise, create, time_grid
from sgmkit_lsgm.normal import Normal
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.vp import VP


def test_samples_under_vp_are_the_start():
    """The marginals of VP around N(0, I) are all N(0, I): the probability flow stands still."""
    prior, noise = Normal((3,), VP()).double(), SeededNoise(0, range(4))
    grid = time_grid("uniform", prior.sde, 5, prior.t_min)
    samples = prior.sample(4, create("solver", "heun"), grid, noise)
    torch.testing.assert_close(samples.x, samples.start[:, 0], rtol=0, atol=1e-9)


def test_the_noise_is_the_same_for_one_time_and_for_a_batch_of_times():
    prior, noise = Normal((2,), CLD()).double(), SeededNoise(1, range(3))
    u = noise(torch.empty(3, 2, 2, dtype=torch.float64))
    problem = prior.reverse(noise)
    single = problem.eps(u, f64(0.3))
    torch.testing.assert_close(problem.eps(u, f64([0.3] * 3)), single, rtol=0, atol=1e-12)
    assert torch.equal(problem.eps(u, f64(0.3)), single)


def test_it_has_nothing_to_train_and_no_classes():
    prior, noise = Normal((2,), VP()), SeededNoise(0, range(2))
    assert not prior.trainable
    with pytest.raises(Incompatible, match="nothing to learn: train the model lsgm:prior=normal"):
        prior.loss(Batch(torch.zeros(2, 2), None, noise.ids), noise, 0.0)
    with pytest.raises(BadValue, match="no classes"):
        prior.reverse(noise, torch.zeros(2, dtype=torch.int64))
