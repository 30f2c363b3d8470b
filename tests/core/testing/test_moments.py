"""Checks of a process's moments: what they measure on a process that is right, and wrong."""

import pytest
import torch

from sgmkit.testing.moments import check_generator, check_integration, check_semigroup
from sgmkit.testing.result import CheckFailed
from sgmkit_sdes.cld import CLD


class LateNoise(CLD):
    """The noise of a transition is a hundredth too large."""

    def transition(self, s, t):
        phi, cov = super().transition(s, t)
        return phi, 1.01 * cov


class Slow(CLD):
    """F and D are half of what the transitions say."""

    def drift(self, t):
        return super().drift(t) / 2

    def diffusion(self, t):
        return super().diffusion(t) / 2


def test_a_process_that_is_right_passes():
    for check in (check_semigroup, check_generator, check_integration):
        assert check(CLD())


def test_noise_that_does_not_follow_from_the_coefficients():
    with pytest.raises(CheckFailed, match=r"Q differs from the moment ODE by 9\.9e-03"):
        check_integration(LateNoise())
    with pytest.raises(CheckFailed, match="D from Q is"):
        check_generator(LateNoise())


def test_coefficients_that_do_not_follow_from_the_transitions():
    assert check_semigroup(Slow())  # it looks at transitions only
    with pytest.raises(CheckFailed, match="F from Phi is"):
        check_generator(Slow())
    with pytest.raises(CheckFailed, match="Phi differs from the moment ODE"):
        check_integration(Slow())
    assert torch.equal(Slow().kernel(torch.tensor(0.5)).cov, CLD().kernel(torch.tensor(0.5)).cov)
