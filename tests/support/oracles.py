"""Moments in many digits: what the k x k algebra is held against."""

from collections.abc import Sequence

import mpmath as mp
import torch
from torch import Tensor

DIGITS = 110
"""Enough to lose thirty digits to ``S - Phi S Phi^T`` at tau = 1e-6 and still have sixty."""

Rows = Sequence[Sequence[float]]


def _expm(matrix: mp.matrix) -> mp.matrix:
    k = matrix.rows
    halvings = max(0, int(mp.ceil(mp.log(mp.mnorm(matrix, 1) + mp.mpf(10) ** -40, 2)))) + 12
    x = matrix / mp.mpf(2) ** halvings
    out = term = mp.eye(k)
    for n in range(1, 32):
        term = term * x / n
        out = out + term
    for _ in range(halvings):
        out = out * out
    return out


def _stationary(drift: mp.matrix, noise: mp.matrix) -> mp.matrix:
    """The solution of ``A S + S A^T + B = 0``."""
    k = drift.rows
    system = mp.zeros(k * k)
    for i in range(k):
        for j in range(k):
            for n in range(k):
                system[i * k + j, n * k + j] += drift[i, n]
                system[i * k + j, i * k + n] += drift[j, n]
    flat = mp.lu_solve(system, mp.matrix([-noise[i, j] for i in range(k) for j in range(k)]))
    return mp.matrix([[flat[i * k + j] for j in range(k)] for i in range(k)])


@mp.workdps(DIGITS)
def moments(drift: Rows, noise: Rows, tau: float | mp.mpf) -> tuple[mp.matrix, mp.matrix]:
    """Phi and Q of ``du = A u dtau + B^{1/2} dw``: exponential, and Lyapunov's equation."""
    a, b = mp.matrix(drift), mp.matrix(noise)
    phi = _expm(a * mp.mpf(tau))
    fixed = _stationary(a, b)
    return phi, fixed - phi * fixed * phi.T


@mp.workdps(DIGITS)
def kernel(
    drift: Rows, noise: Rows, start: Rows, tau: float | mp.mpf
) -> tuple[mp.matrix, mp.matrix, mp.matrix]:
    """``m_t``, ``S_t`` and its Cholesky factor."""
    phi, cov = moments(drift, noise, tau)
    if len(start):
        cov = cov + phi * mp.matrix(start) * phi.T
    return phi[:, 0], cov, mp.cholesky(cov)


@mp.workdps(DIGITS)
def relative(got: Tensor, exact: mp.matrix, scale: mp.matrix | None = None) -> float:
    """Largest ``|got - exact|`` over ``|exact|``, or entrywise over ``scale``."""
    scale = exact if scale is None else scale
    entries = torch.atleast_2d(got.double())
    if entries.shape != (exact.rows, exact.cols):
        entries = entries.T
    assert entries.shape == (exact.rows, exact.cols)
    errors = [0.0]
    for i in range(exact.rows):
        for j in range(exact.cols):
            gap = abs(mp.mpf(float(entries[i, j])) - exact[i, j])
            if gap:
                errors.append(float(gap / abs(scale[i, j])))
    return max(errors)


@mp.workdps(DIGITS)
def spread(cov: mp.matrix) -> mp.matrix:
    """``sqrt(Q_ii Q_jj)``: what the entries of a covariance are measured by."""
    k = cov.rows
    return mp.matrix([[mp.sqrt(cov[i, i] * cov[j, j]) for j in range(k)] for i in range(k)])


@mp.workdps(DIGITS)
def whitened(cholesky: mp.matrix, mean: mp.matrix) -> mp.matrix:
    """``rho = L^{-1} m``."""
    return mp.lu_solve(cholesky, mean)


@mp.workdps(DIGITS)
def size(matrix: mp.matrix) -> mp.matrix:
    """A column that measures every entry by the largest."""
    return mp.matrix([mp.mnorm(matrix, "inf")] * matrix.rows)
