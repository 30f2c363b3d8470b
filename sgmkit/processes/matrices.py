r"""Small matrices on the phase axis: transitions, Cholesky factors, and how they act on states.

A linear SDE ``du = F u dt + G dw`` has Gaussian transitions whose mean and covariance act on the
phase axis only, so that everything about it is computed with k x k matrices. Two rules keep them
accurate to rounding: covariances are added and never subtracted, and the Cholesky factor of a sum
is computed from the factors of its summands, never from the sum.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Matrix = Sequence[Sequence[float]]
"""A small matrix as nested tuples of floats: a constant carries no dtype and no device."""

PhaseMap = Callable[..., Tensor]
"""A matrix as a function of states: an `Operator`, or `act_on_phases` with the matrix filled in."""

_EXACT = (torch.float32, torch.float64)
"""Dtypes in which coefficients are applied; half precision would round them."""

TERMS = 16
"""Number of Taylor terms: for ``|A| tau <= 1/2`` the remainder is below 1e-17."""


def as_matrix(matrix: Matrix, size: int, like: Tensor) -> Tensor:
    """``matrix`` as a ``(size, size)`` tensor in the dtype and device of ``like``; () is zero."""
    if len(matrix) == 0:
        return like.new_zeros(size, size)
    return torch.tensor([list(row) for row in matrix], dtype=like.dtype, device=like.device)


def ou_transition(drift: Tensor, noise: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
    r"""Transition of ``du = A u dtau + B^{1/2} dw`` over a clock time tau (Ornstein-Uhlenbeck).

    ``Phi = exp(A tau)`` and ``Q = int_0^tau exp(A s) B exp(A s)^T ds`` by Taylor series over
    ``tau / 2^j``, and then j doublings ``Q <- Q + Phi Q Phi^T``, ``Phi <- Phi Phi``. j follows from
    the size of ``A tau``, so that stiff matrices stay accurate.

    Args:
        drift: A, ``(k, k)``, or one for each tau, ``(*tau, k, k)``.
        noise: B, symmetric and positive semidefinite, of the same shape as A.
        tau: clock time, of any shape. For a negative tau ``Phi`` is the inverse of the forward one,
            and ``Q`` means nothing.

    Returns:
        ``Phi`` and ``Q``, ``(*tau, k, k)`` each: the new state is ``N(Phi u, Q)``.
    """
    if drift.shape[-1] == 1:
        exponent = drift[..., 0, 0] * tau
        # Q = B (exp(2 A tau) - 1) / (2 A), with the limit B tau where A = 0.
        rate = torch.where(drift[..., 0, 0] == 0, 1.0, drift[..., 0, 0])
        spread = torch.where(drift[..., 0, 0] == 0, tau, torch.expm1(2 * exponent) / (2 * rate))
        return exponent.exp()[..., None, None], (noise[..., 0, 0] * spread)[..., None, None]
    norm = drift.abs().sum(-2).amax(-1)
    size = norm * tau.abs()
    # h = tau / 2^j with |A| h < 1/2; j for each row alone, so that no row depends on the others.
    doublings = (torch.frexp(size).exponent + 1).clamp(min=0)
    h = torch.ldexp(tau.expand_as(size), -doublings)[..., None, None]
    # The series in h is written as one in h 2^e, with matrices (A / 2^e)^n / n! and 2^e near |A|:
    # these do not depend on tau, and a power of two rounds nothing.
    exponent = torch.frexp(norm.amax()).exponent if norm.numel() else torch.tensor(0)
    unit, step = torch.ldexp(drift, -exponent), torch.ldexp(h, exponent)
    terms = [torch.eye(drift.shape[-1], dtype=tau.dtype, device=tau.device)]
    cov_terms = [noise]
    for n in range(1, TERMS):
        terms.append(terms[-1] @ unit / n)
        moved = unit @ cov_terms[-1]
        cov_terms.append((moved + moved.mT) / (n + 1))
    phi, cov = _horner(terms, step), h * _horner(cov_terms, step)
    for n in range(int(doublings.max()) if doublings.numel() else 0):
        on = (n < doublings)[..., None, None]
        cov = torch.where(on, cov + phi @ cov @ phi.mT, cov)
        phi = torch.where(on, phi @ phi, phi)
    return phi, cov


def ordered_transition(
    coefficients: Callable[[Tensor], tuple[Tensor, Tensor]],
    start: Tensor,
    end: Tensor,
    intervals: Tensor | int,
) -> tuple[Tensor, Tensor]:
    r"""Transition of ``du = A(x) u dx + B(x)^{1/2} dw`` from x = start to x = end.

    By the commutator-free Magnus scheme of fourth order (Blanes & Moan 2006): each interval is two
    exact transitions with constant coefficients, which are weighted means of those at the two Gauss
    points.

    Args:
        coefficients: function ``x -> (A, B)``, ``(*x, k, k)`` each.
        start, end: ``(*t)``.
        intervals: number of intervals, one for all rows or ``(*t)``; no row depends on the others.

    Returns:
        ``Phi`` and ``Q``, ``(*t, k, k)`` each: the new state is ``N(Phi u, Q)``.
    """
    total = int(torch.as_tensor(intervals).max()) if start.numel() else 0
    count = torch.as_tensor(intervals).to(start).expand_as(start)
    h = (end - start) / count
    middle = torch.arange(total, dtype=start.dtype, device=start.device) + 0.5
    middle = middle.reshape(total, *([1] * start.ndim))
    shift = math.sqrt(3) / 6  # the Gauss points of an interval are its middle -/+ shift
    (drift_1, noise_1), (drift_2, noise_2) = (
        coefficients(start + torch.minimum(node, count) * h)
        for node in (middle - shift, middle + shift)
    )
    near, far = 0.25 + shift, 0.25 - shift
    halves = [
        ou_transition(near * drift_1 + far * drift_2, near * noise_1 + far * noise_2, h),
        ou_transition(far * drift_1 + near * drift_2, far * noise_1 + near * noise_2, h),
    ]
    phi = torch.eye(drift_1.shape[-1]).to(start).expand(*start.shape, -1, -1)
    cov = torch.zeros_like(phi)
    for n in range(total):
        on = (n < count)[..., None, None]
        for steps, spreads in halves:
            cov = torch.where(on, steps[n] @ cov @ steps[n].mT + spreads[n], cov)
            phi = torch.where(on, steps[n] @ phi, phi)
    return phi, cov


def _horner(terms: Sequence[Tensor], x: Tensor) -> Tensor:
    """``sum_n terms_n x^n``, elementwise in ``x (*, 1, 1)``."""
    total = terms[-1].expand(torch.broadcast_shapes(terms[-1].shape, x.shape))
    for term in reversed(terms[:-1]):
        total = torch.addcmul(term, total, x)
    return total


def semidefinite_factor(matrix: Matrix) -> tuple[tuple[float, ...], ...]:
    """Lower triangular C with ``C C^T = matrix``, which may be singular.

    A phase without variance gives a zero column.

    Raises:
        ValueError: if the matrix is not symmetric positive semidefinite.
    """
    k = len(matrix)
    factor = [[0.0] * k for _ in range(k)]
    for i in range(k):
        for j in range(i + 1):
            rest = matrix[i][j] - sum(factor[i][n] * factor[j][n] for n in range(j))
            if abs(matrix[i][j] - matrix[j][i]) > 1e-12 * (abs(matrix[i][j]) + 1e-300):
                raise ValueError(f"the covariance {matrix} is not symmetric")
            if i == j and rest > 1e-14 * matrix[i][i]:
                factor[i][i] = math.sqrt(rest)
            elif i == j and rest >= -1e-12 * matrix[i][i]:
                factor[i][i] = 0.0  # a zero pivot, but for rounding
            elif i > j and factor[j][j] > 0:
                factor[i][j] = rest / factor[j][j]
            elif i == j or abs(rest) > 1e-12 * math.sqrt(abs(matrix[i][i] * matrix[j][j])):
                raise ValueError(f"the covariance {matrix} is not positive semidefinite")
    return tuple(tuple(row) for row in factor)


def scaled_cholesky(cov: Tensor) -> Tensor:
    """Cholesky factor of ``cov (*, k, k)``, computed from the correlation matrix.

    The phases of a higher-order process have standard deviations ``t^{3/2}``, ``t^{1/2}``, ...:
    at small t only the correlation matrix is well conditioned. A zero row gives a zero row.
    """
    scale = torch.diagonal(cov, dim1=-2, dim2=-1).clamp_min(0).sqrt()
    safe = torch.where(scale > 0, scale, 1.0)
    corr = cov / (safe[..., :, None] * safe[..., None, :])
    unit = torch.diag_embed(torch.where(scale > 0, 0.0, 1.0).to(cov.dtype))
    factor, _ = torch.linalg.cholesky_ex(corr + unit)
    return factor * scale[..., :, None]


def stacked_factor(*factors: Tensor) -> Tensor:
    r"""Lower triangular L, positive diagonal, with ``L L^T = sum_i factors_i factors_i^T``.

    By modified Gram-Schmidt on the rows of the factors side by side (an LQ decomposition). The sum
    itself is never formed: its rounding would cost half of the digits.

    Args:
        factors: ``(*, k, j_i)`` each.
    """
    batch = torch.broadcast_shapes(*(factor.shape[:-2] for factor in factors))
    rows = torch.cat([factor.expand(*batch, -1, -1) for factor in factors], dim=-1)
    k = rows.shape[-2]
    basis: list[Tensor] = []
    lines: list[Tensor] = []
    for i in range(k):
        rest = rows[..., i, :]
        line: list[Tensor] = []
        for direction in basis:
            overlap = (direction * rest).sum(-1)
            rest = rest - overlap[..., None] * direction
            line.append(overlap)
        length = torch.linalg.vector_norm(rest, dim=-1)
        line.append(length)
        line += [torch.zeros_like(length)] * (k - i - 1)
        basis.append(rest / torch.where(length > 0, length, 1.0)[..., None])
        lines.append(torch.stack(line, dim=-1))
    return torch.stack(lines, dim=-2)


def triangular_inverse(factor: Tensor) -> Tensor:
    """Inverse of a lower triangular ``(*, k, k)``."""
    identity = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    return torch.linalg.solve_triangular(factor, identity.expand_as(factor), upper=False)


class Operator:
    """A small matrix as a function of states, on whose phase axis it acts.

    The matrix is held in Python floats (float64), which carry no dtype and no device: the operators
    of a whole grid are read out once, and a step then never waits for a device. A call does as
    little as possible: after a network has emptied the processor's caches, one more kind of
    operation costs as much as ten thousand numbers.

    Args:
        rows: the matrix ``(k, j)``.
    """

    __slots__ = ("_cached", "rows")

    def __init__(self, rows: Sequence[Sequence[float]]) -> None:
        self.rows = rows
        self._cached: dict[tuple[torch.dtype, torch.device | str], Tensor] = {}

    def __call__(self, *states: Tensor) -> Tensor:
        """The matrix times the phases of all states side by side.

        Args:
            states: ``(B, j_i, *event)`` each; j is the sum of all j_i.

        Returns:
            ``(B, k, *event)``.
        """
        if len(self.rows) == 1 and len(self.rows[0]) == len(states):
            return _weighted(self.rows[0], states)
        first = states[0]
        dtype = first.dtype if first.dtype in _EXACT else torch.float32
        if first.is_cpu and dtype == first.dtype and not torch.is_autocast_enabled("cpu"):
            joined = torch.cat(states, dim=1)
            product = self._matrix(dtype, "cpu") @ joined.flatten(2)
            return product.view(len(first), len(self.rows), *first.shape[2:])
        return act_on_phases(self._matrix(dtype, first.device), *states).to(first.dtype)

    def _matrix(self, dtype: torch.dtype, device: torch.device | str) -> Tensor:
        """The matrix as a tensor ``(k, j)``, one for each dtype and device."""
        if (dtype, device) not in self._cached:
            with torch.inference_mode(False):  # a later training step may use it too
                self._cached[dtype, device] = torch.tensor(self.rows, dtype=dtype, device=device)
        return self._cached[dtype, device]


def operators_by_time(*matrices: Tensor) -> list[Operator]:
    """One `Operator` for each of n times.

    Args:
        matrices: one for each state that the operators will be called with, in that order;
            ``(n, k, j_i)`` each.
    """
    return [Operator(matrix) for matrix in torch.cat(matrices, dim=-1).tolist()]


def act_on_phases(matrix: Tensor, *states: Tensor) -> Tensor:
    """``matrix`` times the phases of all states side by side; differentiable.

    Phase by phase, and not as a matrix product, whose precision a user's settings may lower (TF32).

    Args:
        matrix: ``(k, j)`` with j the sum of all j_i, or ``(B, k, j)``.
        states: ``(B, j_i, *event)`` each.

    Returns:
        ``(B, k, *event)``.
    """
    shape = (-1, matrix.shape[-2], *([1] * (states[0].ndim - 2)))
    columns = [column.reshape(shape) for column in matrix.unbind(-1)]
    phases = [phase for state in states for phase in state.split(1, dim=1)]
    out, *rest = zip(columns, phases, strict=True)
    total = out[0] * out[1]
    for column, phase in rest:
        total = torch.addcmul(total, column, phase)
    return total


def _weighted(weights: Sequence[float], states: Sequence[Tensor]) -> Tensor:
    """``sum_i c_i x_i``; terms with a zero weight are skipped."""
    out: Tensor | None = None
    for c, x in zip(weights, states, strict=True):
        if c:
            out = x * c if out is None else out.add_(x, alpha=c)
    return torch.zeros_like(states[0]) if out is None else out
