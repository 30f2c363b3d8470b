"""Checks that the kernel and the transitions of a process follow from its coefficients F and D."""

import math

import torch
from torch import Tensor

from sgmkit.processes import LinearSDE, as_matrix
from sgmkit.testing.compare import (
    CLOSE,
    horizon,
    inner_times,
    largest,
    relative,
    relative_cov,
    show,
)
from sgmkit.testing.result import require


def check_semigroup(sde: LinearSDE) -> str:
    """``Phi_ac = Phi_bc Phi_ab`` and ``Q_ac = Q_bc + Phi_bc Q_ab Phi_bc^T`` for a < b < c."""
    times = inner_times(sde).sort().values
    a, b, c = times[:-4], times[2:-2], times[4:]
    (phi, cov), (early, first), (late, second) = (
        sde.transition(x, y) for x, y in ((a, c), (a, b), (b, c))
    )
    mean_error = relative(late @ early, phi)
    cov_error = relative_cov(second + late @ first @ late.mT, cov)
    require(mean_error < CLOSE, f"Phi over two intervals differs from one by {mean_error:.1e}")
    require(cov_error < CLOSE, f"Q over two intervals differs from one by {cov_error:.1e}")
    return f"Phi to {mean_error:.0e}, Q to {cov_error:.0e}"


def check_generator(sde: LinearSDE) -> str:
    """``(Phi - I)/h -> F`` and ``Q/h -> D`` as h shrinks: transition and coefficients agree."""
    t = inner_times(sde)
    drift, noise = sde.drift(t), sde.diffusion(t)
    speed = drift.abs().amax((1, 2)).clamp_min(1e-300)
    h = 1e-4 * torch.minimum(torch.minimum(t, sde.horizon - t), 1 / speed)
    slopes = []
    for step in (h, h / 2):
        phi, cov = sde.transition(t, t + step)
        gap = ((t + step) - t)[:, None, None]  # the step that was taken: t + h is rounded
        slopes.append(((phi - torch.eye(sde.phases).to(t)) / gap, cov / gap))
    (phi_1, cov_1), (phi_2, cov_2) = slopes
    measured_drift, measured_noise = 2 * phi_2 - phi_1, 2 * cov_2 - cov_1  # Richardson
    rounding = 1e-15 / h  # of Phi - I, which is small
    for name, measured, stated, blur in (
        ("F from Phi is", measured_drift, drift, rounding),
        ("D from Q is", measured_noise, noise, torch.zeros_like(h)),
    ):
        allowed = 1e-3 * stated.abs().amax((1, 2)).clamp_min(1e-6 / sde.horizon) + blur
        excess = ((measured - stated).abs().amax((1, 2)) / allowed).nan_to_num(math.inf)
        n = int(excess.argmax())
        message = f"at t = {float(t[n]):.3g} {name} {show(measured[n])}, not {show(stated[n])}"
        require(float(excess[n]) < 1, message)
    return "F and D recovered"


def check_integration(sde: LinearSDE) -> str:
    """Phi and Q solve ``Phi' = F Phi`` and ``Q' = F Q + Q F^T + D``, integrated by Runge-Kutta."""
    s = torch.cat([torch.zeros(1, dtype=torch.float64), inner_times(sde)])
    speed = sde.drift(s).abs().amax((1, 2)).nan_to_num(0.0).clamp_min(1e-300)
    reach = torch.minimum(torch.maximum(s, s.new_full((), 1e-5 * sde.horizon)), 0.5 / speed)
    t = s + torch.minimum(reach, 0.5 * (sde.horizon - s))
    phi, cov = sde.transition(s, t)
    brute_phi, brute_cov = _moments_by_runge_kutta(sde, s, t)
    mean_error, cov_error = relative(brute_phi, phi), relative_cov(brute_cov, cov)
    require(mean_error < CLOSE, f"Phi differs from the moment ODE by {mean_error:.1e}")
    require(cov_error < 1e-4, f"Q differs from the moment ODE by {cov_error:.1e}")
    return f"Phi to {mean_error:.0e}, Q to {cov_error:.0e}"


def check_kernel(sde: LinearSDE) -> str:
    """``m = Phi(0, t)[:, 0]``, ``S = Phi S0 Phi^T + Q``, and L is the Cholesky factor of S."""
    t = torch.cat([inner_times(sde), horizon(sde)[None]])
    phi, cov = sde.transition(torch.zeros_like(t), t)
    start = as_matrix(sde.start_cov, sde.phases, t)
    kernel = sde.kernel(t)
    for name, error in {
        "mean differs from Phi(0, t)[:, 0]": relative(kernel.mean, phi[..., 0], axes=1),
        "cov differs from Phi S0 Phi^T + Q": relative_cov(kernel.cov, phi @ start @ phi.mT + cov),
        "chol times its transpose differs from cov": relative_cov(
            kernel.chol @ kernel.chol.mT, kernel.cov
        ),
    }.items():
        require(error < CLOSE, f"kernel.{name} by {error:.1e}")
    require(largest(kernel.chol.triu(1)) == 0, "kernel.chol is not lower triangular")
    lowest = float(kernel.chol.diagonal(dim1=-2, dim2=-1).min())
    require(lowest > 0, f"kernel.chol has {lowest:g} on its diagonal")
    return f"smallest diagonal of L {lowest:.1e}"


def check_kernel_float32(sde: LinearSDE) -> str:
    """In float32 too the diagonal of L is positive from t = 1e-5 T on, and close to float64."""
    t = torch.cat([inner_times(sde), horizon(sde)[None]])
    single, double = sde.kernel(t.float()).chol, sde.kernel(t.float().double()).chol
    diagonal = single.diagonal(dim1=-2, dim2=-1)
    n = int(diagonal.amin(1).nan_to_num(-math.inf).argmin())
    good = bool((diagonal > 0).all())
    require(
        good,
        f"at t = {float(t[n]):.2g} L is not positive in float32: {show(single[n])}",
    )
    # Each entry counts: the last is the scale of the noise that a network predicts.
    exact = double.diagonal(dim1=-2, dim2=-1)
    error = largest((diagonal - exact) / exact)
    require(error < 3e-3, f"L's diagonal in float32 differs from float64 by {error:.1e}")
    return f"to {error:.0e}"


def check_snr(sde: LinearSDE) -> str:
    """The signal-to-noise ratio ``|rho|^2`` decreases with t."""
    times = torch.cat([inner_times(sde), horizon(sde)[None]])
    snr = sde.kernel(times.sort().values).snr
    require(
        bool((snr.diff() < 0).all()), "the signal-to-noise ratio |rho|^2 does not decrease in t"
    )
    return f"{float(snr[0]):.1e} to {float(snr[-1]):.1e}"


def _moments_by_runge_kutta(
    sde: LinearSDE, s: Tensor, t: Tensor, steps: int = 32
) -> tuple[Tensor, Tensor]:
    """Phi and Q over ``[s, t]``, ``(n, k, k)`` each, by the classical fourth-order rule."""
    h = ((t - s) / steps)[:, None, None]
    phi = torch.eye(sde.phases, dtype=s.dtype).expand(len(s), -1, -1)
    state = torch.cat([phi, torch.zeros_like(phi)], -1)  # Phi and Q side by side
    places = torch.arange(2 * steps + 1, dtype=s.dtype) / (2 * steps)
    nodes = s + places[:, None] * (t - s)
    drifts, noises = (
        f(nodes.flatten()).unflatten(0, nodes.shape) for f in (sde.drift, sde.diffusion)
    )
    k = sde.phases

    def slope(now: Tensor, node: int) -> Tensor:
        drift, cov = drifts[node], now[..., k:]
        turned = drift @ now
        return turned + torch.cat([torch.zeros_like(cov), cov @ drift.mT + noises[node]], -1)

    for n in range(0, 2 * steps, 2):
        first = slope(state, n)
        second = slope(state + h / 2 * first, n + 1)
        third = slope(state + h / 2 * second, n + 1)
        last = slope(state + h * third, n + 2)
        state = state + h / 6 * (first + 2 * second + 2 * third + last)
    return state[..., :k], state[..., k:]
