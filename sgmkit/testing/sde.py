"""Checks of a forward process: shapes, coefficients, clock, stationary law and prior."""

import math
from collections.abc import Iterator

import torch

from sgmkit.processes import ClockedSDE, LinearSDE, ScheduleSDE, as_matrix
from sgmkit.testing.compare import (
    CLOSE,
    horizon,
    inner_times,
    largest,
    relative,
    relative_cov,
    show,
)
from sgmkit.testing.moments import (
    check_generator,
    check_integration,
    check_kernel,
    check_kernel_float32,
    check_semigroup,
    check_snr,
)
from sgmkit.testing.result import Check, Concern, NotApplicable, global_rng_untouched, require

FORGOTTEN = 1e-3
"""Largest mutual information of u_T and data of unit variance, in nats per dimension."""


def applicable(sde: LinearSDE) -> Iterator[Check]:
    """The checks that apply to a process, by its declared facts."""
    yield from (check_shapes, check_ends, check_broadcasting, check_dtype, check_driven)
    yield check_start_cov
    if isinstance(sde, ClockedSDE):
        yield check_clock
        if sde.precision:
            yield check_precision
    if isinstance(sde, ScheduleSDE):
        yield check_schedule
    yield from (check_semigroup, check_generator, check_integration, check_kernel)
    yield from (check_kernel_float32, check_snr, check_prior, check_forgetting)
    yield check_global_rng


def check_shapes(sde: LinearSDE) -> str:
    """F, D, Phi, Q are ``(*t, k, k)`` and finite, m_t ``(*t, k)``, for t ``()`` and ``(B,)``."""
    k, r = sde.phases, sde.driven
    require(1 <= r <= k, f"driven is {r} and phases is {k}, but 1 <= driven <= phases is required")
    require(sde.horizon > 0, f"the horizon is {sde.horizon}, not positive")
    batch = inner_times(sde)[::8]
    for t in (batch[1], batch):
        kernel = sde.kernel(t)
        matrices = {
            "drift": sde.drift(t),
            "diffusion": sde.diffusion(t),
            "Phi of transition": sde.transition(t / 2, t)[0],
            "Q of transition": sde.transition(t / 2, t)[1],
            "kernel.cov": kernel.cov,
            "kernel.chol": kernel.chol,
        }
        for name, value in [*matrices.items(), ("kernel.mean", kernel.mean)]:
            measured = tuple(value.shape)
            shape = (*t.shape, k) if name == "kernel.mean" else (*t.shape, k, k)
            require(measured == shape, f"{name} at t {tuple(t.shape)} is {measured}, not {shape}")
            require(bool(value.isfinite().all()), f"{name} is not finite inside (0, T)")
    return f"k={k}, r={r}, T={sde.horizon:g}"


def check_ends(sde: LinearSDE) -> str:
    """F and D are finite at t_min and T, and the signal-to-noise ratio is positive at T."""
    ends = torch.tensor([sde.t_min, sde.horizon], dtype=torch.float64)
    for name, values in (("drift", sde.drift(ends)), ("diffusion", sde.diffusion(ends))):
        for t, value in zip(ends.tolist(), values, strict=True):
            require(bool(value.isfinite().all()), f"{name}(t={t:g}) is not finite")
    snr = float(sde.kernel(ends[1]).snr)
    require(snr > 0, f"rho is {snr:g} at T = {sde.horizon:g}: end earlier, say horizon = 0.999")
    return f"signal-to-noise ratio {snr:.1e} at T"


def check_broadcasting(sde: LinearSDE) -> str:
    """A batch of times gives the same as each time alone, also one s with many t."""
    times = inner_times(sde)
    start = times[0] / 2
    phi, cov = sde.transition(start, times)
    together = (sde.drift(times), sde.diffusion(times), sde.kernel(times).chol, phi, cov)
    worst = 0.0
    for n, t in enumerate(times):
        alone = (sde.drift(t), sde.diffusion(t), sde.kernel(t).chol, *sde.transition(start, t))
        for one, many in zip(alone, together, strict=True):
            worst = max(worst, relative(many[n], one))
    require(worst < CLOSE, f"a batch of times differs from single times by {worst:.1e}")
    return f"to {worst:.0e}"


def check_dtype(sde: LinearSDE) -> str:
    """All coefficients and moments have the dtype of t."""
    for dtype in (torch.float32, torch.float64):
        for t in (inner_times(sde, dtype), inner_times(sde, dtype)[5]):
            kernel = sde.kernel(t)
            for name, value in {
                "drift": sde.drift(t),
                "diffusion": sde.diffusion(t),
                "transition": sde.transition(t / 2, t)[1],
                "kernel.mean": kernel.mean,
                "kernel.chol": kernel.chol,
            }.items():
                require(
                    value.dtype == dtype,
                    f"{name} is {value.dtype} for t of {dtype}: make tensors from t",
                )
    return "float32, float64"


def check_driven(sde: LinearSDE) -> str:
    """D is symmetric, zero outside the last r phases, and positive definite on them."""
    k, r = sde.phases, sde.driven
    noise = sde.diffusion(inner_times(sde))
    outside = noise.clone()
    outside[:, k - r :, k - r :] = 0
    require(
        largest(outside) == 0,
        f"noise enters a phase before the last {r} (driven = {r}): order the phases accordingly",
    )
    require(largest(noise - noise.mT) <= 1e-12 * largest(noise), "D = G G^T is not symmetric")
    values = torch.linalg.eigvalsh(noise[:, k - r :, k - r :])
    rank = int((values > 1e-12 * values[:, -1:].clamp_min(0)).sum(1).min())
    require(rank == r, f"D has rank {rank} on the last {r} phases, but driven = {r}")
    return f"rank {rank}"


def check_start_cov(sde: LinearSDE) -> str:
    """start_cov and precision are ``()`` or symmetric positive semidefinite, k x k tuples."""
    for name, matrix in (("start_cov", sde.start_cov), ("precision", sde.precision)):
        rows = [len(row) for row in matrix]
        good = not rows or rows == [sde.phases] * sde.phases
        require(good, f"{name} has rows of {rows} numbers, not {sde.phases} x {sde.phases}")
        if not rows:
            continue
        full = as_matrix(matrix, sde.phases, torch.zeros((), dtype=torch.float64))
        require(largest(full - full.mT) == 0, f"{name} {matrix} is not symmetric")
        values = torch.linalg.eigvalsh(full)
        good = float(values.min()) >= -1e-12 * largest(values)
        require(good, f"{name} {matrix} is not positive semidefinite")
    return f"S0 {sde.start_cov or 'zero'}, P {sde.precision or 'none'}"


def check_clock(sde: ClockedSDE) -> str:
    """The clock starts at zero and increases; F and D are A and B times its rate dtau/dt."""
    times = inner_times(sde)
    zero = float(sde.clock(times.new_zeros(())))
    require(zero == 0, f"the clock is {zero:g} at t = 0, not 0")
    ticks = sde.clock(times.sort().values).diff()
    require(bool((ticks > 0).all()), "the clock does not increase")
    h = 1e-4 * torch.minimum(times, sde.horizon - times)
    rate = (sde.clock(times + h) - sde.clock(times - h)) / (2 * h)
    for name, matrix, value in (
        ("drift", sde.drift_matrix, sde.drift(times)),
        ("diffusion", sde.noise_matrix, sde.diffusion(times)),
    ):
        expected = as_matrix(matrix, sde.phases, times) * rate[:, None, None]
        error = relative(value, expected)
        require(error < 1e-4, f"{name} differs from its matrix times d clock/dt by {error:.1e}")
    return f"tau(T) = {float(sde.clock(times.new_full((), sde.horizon))):g}"


def check_schedule(sde: ScheduleSDE) -> str:
    """alpha is 1 at t = 0 and positive below T; sigma(0)^2 is start_cov."""
    zero = torch.zeros((), dtype=torch.float64)
    alpha, variance = float(sde.alpha(zero)), float(sde.sigma(zero)) ** 2
    require(abs(alpha - 1) < 1e-9, f"alpha is {alpha:g} at t = 0, not 1")
    require(bool((sde.alpha(inner_times(sde)) > 0).all()), "alpha is not positive below T")
    start = sde.start_cov[0][0] if sde.start_cov else 0.0
    good = abs(variance - start) <= 1e-9 * max(start, 1e-6)
    require(good, f"sigma(0)^2 is {variance:g}, but start_cov says {start:g}")
    return f"alpha(T) = {float(sde.alpha(zero + sde.horizon)):.2g}"


def check_precision(sde: ClockedSDE) -> str:
    """``A P^{-1} + P^{-1} A^T + B = 0``: the covariance P^{-1} is stationary (P invertible)."""
    like = torch.zeros((), dtype=torch.float64)
    drift, noise, precision = (
        as_matrix(m, sde.phases, like) for m in (sde.drift_matrix, sde.noise_matrix, sde.precision)
    )
    if torch.linalg.matrix_rank(precision) < sde.phases:
        raise NotApplicable("P is singular, so there is no stationary law to compare with")
    cov = torch.linalg.inv(precision)
    residual = drift @ cov + cov @ drift.mT + noise
    error = largest(residual) / largest(noise)
    message = f"P^-1 is not stationary: A P^-1 + P^-1 A^T + B is {show(residual)}, not zero"
    require(error < CLOSE, message)
    return f"residual {error:.0e}"


def check_prior(sde: LinearSDE) -> str:
    """prior_cov is ``(k, k)`` float64, positive definite, and close to the covariance of u_T."""
    prior = sde.prior_cov()
    shape = (sde.phases, sde.phases)
    require(tuple(prior.shape) == shape, f"prior_cov is {tuple(prior.shape)}, not {shape}")
    require(prior.dtype == torch.float64, f"prior_cov is {prior.dtype}, not float64")
    require(largest(prior - prior.mT) <= 1e-12 * largest(prior), "prior_cov is not symmetric")
    require(float(torch.linalg.eigvalsh(prior).min()) > 0, "prior_cov is not positive definite")
    final = sde.kernel(horizon(sde)).cov
    apart = relative_cov(final, prior)
    if apart > 0.05:
        raise Concern(
            f"the covariance of u_T differs from that of the prior by {apart:.0%}: is T too small?"
        )
    return f"{apart:.1e} from the law of u_T given x = 0"


def check_forgetting(sde: LinearSDE) -> str:
    """u_T hardly depends on data of unit variance: ``1/2 log(1 + |rho_T|^2) < 1e-3`` nats."""
    snr = float(sde.kernel(horizon(sde)).snr)
    nats = 0.5 * math.log1p(snr)
    if nats >= FORGOTTEN:
        raise Concern(
            f"u_T shares {nats:.1e} nats per dimension with the data; below {FORGOTTEN:g} is usual"
        )
    return f"{nats:.1e} nats per dimension"


def check_global_rng(sde: LinearSDE) -> str:
    """No global random generator is used or seeded."""
    with global_rng_untouched():
        times = inner_times(sde)
        sde.kernel(times)
        sde.transition(times / 2, times)
        sde.drift(times)
        sde.diffusion(times)
        sde.prior_cov()
    return "untouched"
