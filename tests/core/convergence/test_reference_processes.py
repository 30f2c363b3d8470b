"""The reference processes: what their kernels are, and that they differ in every fact."""

import torch

from sgmkit.convergence.reference_processes import Both, Decay, Spread, describe, processes


def test_they_differ_in_phases_driven_phases_and_horizon():
    facts = {(sde.phases, sde.driven) for sde in processes()}
    assert facts == {(1, 1), (2, 1), (2, 2), (3, 1)}
    assert len({sde.horizon for sde in processes()}) == 3
    names = [describe(sde) for sde in processes()]
    assert len(set(names)) == len(names)
    assert describe(Both()) == "k=2, r=2 (Both)"


def test_kernels_are_those_of_the_textbook():
    t = torch.tensor([0.1, 0.7], dtype=torch.float64)
    decay = Decay().kernel(t)
    clock = t * (0.4 + 4 * t)
    torch.testing.assert_close(decay.mean[:, 0], torch.exp(-clock / 2))
    torch.testing.assert_close(decay.cov[:, 0, 0], 1 - torch.exp(-clock))
    spread = Spread().kernel(t)
    torch.testing.assert_close(spread.mean[:, 0], torch.ones_like(t))
    torch.testing.assert_close(spread.cov[:, 0, 0], t.square() + 1e-4)


def test_stationary_laws_are_stationary():
    """``A P^{-1} + P^{-1} A^T + B = 0`` where there is a precision P that can be inverted."""
    for sde in processes():
        precision = torch.tensor(getattr(sde, "precision", ()), dtype=torch.float64)
        if not precision.numel() or float(precision.det()) == 0:
            continue
        drift = torch.tensor(sde.drift_matrix, dtype=torch.float64)
        noise = torch.tensor(sde.noise_matrix, dtype=torch.float64)
        cov = torch.linalg.inv(precision)
        balance = drift @ cov + cov @ drift.mT + noise
        assert float(balance.abs().max()) < 1e-12, describe(sde)
