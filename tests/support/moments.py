"""Moments of processes by independent means: their ODEs, closed forms, and many digits."""

import mpmath as mp
import numpy as np
from scipy.integrate import solve_ivp
from support import oracles
from support.processes import (
    EVERY,
    SEVERAL,
    Flow,
    Pair,
    Still,
    Third,
    Twisting,
    f64,
)

from sgmkit import ClockedSDE
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.ve import EDM, VE
from sgmkit_sdes.vp import Geometric, SubVP

STIFF = {
    "friction-50": Third(second=3.0, friction=50.0, speed=20.0),
    "friction-200": Third(second=3.0, friction=200.0, speed=50.0),
}


ANY = EVERY | {"twisting": Twisting(), "flow": Flow(), "still": Still()}


def moment_odes(sde, begin, end, start):
    """Phi and S at ``end`` by scipy's ODE solver, from F and D of the process."""
    k = sde.phases

    def slope(t, y):
        phi, cov = y.reshape(2, k, k)
        drift, noise = sde.drift(f64(t)).numpy(), sde.diffusion(f64(t)).numpy()
        return np.stack([drift @ phi, drift @ cov + cov @ drift.T + noise]).ravel()

    at = np.stack([np.eye(k), start])
    path = solve_ivp(slope, (begin, end), at.ravel(), method="DOP853", rtol=1e-12, atol=1e-15)
    return path.y[:, -1].reshape(2, k, k)


def start_of(sde):
    return np.array(sde.start_cov) if len(sde.start_cov) else np.zeros((sde.phases,) * 2)


TIMES = np.array([1e-4, 0.03, 0.4, 0.99])


def scalar(sde, t):
    drift, noise, kernel = sde.drift(f64(t)), sde.diffusion(f64(t)), sde.kernel(f64(t))
    return [x.reshape(len(t)).numpy() for x in (drift, noise, kernel.mean, kernel.cov, kernel.chol)]


def check(sde, t, drift, noise, mean, var, rtol=1e-12):
    got = scalar(sde, t)
    for value, want in zip(got, (drift, noise, mean, var, np.sqrt(var)), strict=True):
        assert np.allclose(value, want * np.ones_like(t), rtol=rtol, atol=0)


STATIONARY = [n for n, sde in EVERY.items() if isinstance(sde, ClockedSDE) and len(sde.precision)]


def exact_kernel(sde, t):
    with mp.workdps(oracles.DIGITS):
        now = mp.mpf(t)
        if isinstance(sde, CLD):
            tau = now * (mp.mpf(sde.beta_0) + now * mp.mpf(sde.beta_1) / 2)
        elif isinstance(sde, Pair):
            tau = now * (mp.mpf(0.5) + now)
        else:
            tau = mp.mpf(float(sde.clock(f64(1.0)))) * now
    return tau, *oracles.kernel(sde.drift_matrix, sde.noise_matrix, sde.start_cov, tau)


DIGITS = (
    SEVERAL
    | STIFF
    | {
        "cld-clean": CLD(numerical_eps=0.0),
        "cld-sharp": CLD(beta_0=1.0, beta_1=2.0, m_inv=9.0, gamma=0.0, numerical_eps=0.0),
    }
)


def exact_noise(sde, t):
    """Variance of u_t given u_0 for the processes of one phase, from the papers' formulas."""
    t = mp.mpf(t)
    if isinstance(sde, VE):
        ratio = mp.mpf(sde.sigma_max) / mp.mpf(sde.sigma_min)
        return mp.mpf(sde.sigma_min) ** 2 * mp.expm1(2 * t * mp.log(ratio))
    if isinstance(sde, EDM):
        return t**2
    if isinstance(sde, Geometric):
        low = mp.mpf(sde.sigma2_min)
        kept = 1 - mp.mpf(sde.start_cov[0][0])
        return low * mp.expm1(t * mp.log(mp.mpf(sde.sigma2_max) / low)) / kept
    b = t * (mp.mpf(sde.beta_min) + t * (mp.mpf(sde.beta_max) - mp.mpf(sde.beta_min)) / 2)
    return mp.expm1(-b) ** 2 if isinstance(sde, SubVP) else -mp.expm1(-b)


def point_odes(sde, t, s):
    """``Psi' = (A + 1/2 B S^{-1}) Psi`` and ``S' = A S + S A^T + B`` on the clock."""
    k = sde.phases
    drift, noise = np.array(sde.drift_matrix), np.array(sde.noise_matrix)

    def slope(_, y):
        psi, cov = y.reshape(2, k, k)
        pull = drift + noise @ np.linalg.inv(cov) / 2
        return np.stack([pull @ psi, drift @ cov + cov @ drift.T + noise]).ravel()

    at = np.stack([np.eye(k), sde.kernel(f64(t)).cov.numpy()]).ravel()
    ends = float(sde.clock(f64(t))), float(sde.clock(f64(s)))
    path = solve_ivp(slope, ends, at, method="DOP853", rtol=1e-12, atol=1e-18)
    return path.y[:, -1].reshape(2, k, k)[0]
