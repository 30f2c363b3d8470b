r"""The k x k algebra behind every forward process: exact moments, factors, and how they act.

A linear SDE ``du = F u dt + G dw`` has Gaussian transitions whose mean and covariance act on the
phase axis only, so all of its calculus is that of small matrices. Two rules keep every digit:
covariances are only ever added (never subtracted), and a Cholesky factor comes from the factors
of the summands, never from their sum.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

Matrix = Sequence[Sequence[float]]
"""A small matrix as nested tuples of floats: a constant carries no dtype and no device."""

Operator = float | tuple[tuple[float, ...], ...] | Tensor
"""What acts on the phase axis: a float for k = 1, rows of floats else; a tensor ``(k, j)``, or
``(B, k, j)`` where each sample has its own."""

TERMS = 16
"""Taylor terms: with |A| tau <= 1/2 the remainder is below 1e-17."""


def as_matrix(matrix: Matrix, size: int, like: Tensor) -> Tensor:
    """``matrix`` as a ``(size, size)`` tensor in the dtype and device of ``like``; () is zero."""
    if len(matrix) == 0:
        return like.new_zeros(size, size)
    return torch.tensor([list(row) for row in matrix], dtype=like.dtype, device=like.device)


def ou_transition(drift: Tensor, noise: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
    r"""Law of ``du = A u dtau + B^{1/2} dw`` after the clock time tau.

    Taylor series of both moments on ``tau / 2^j`` and then j doublings ``Q <- Q + Phi Q Phi^T``,
    ``Phi <- Phi Phi``, with j from the size of ``A tau``, so that stiff matrices stay accurate.

    Args:
        drift: A, ``(k, k)``, or one for each tau, ``(*tau, k, k)``.
        noise: B, symmetric and positive semidefinite, of the same shape as A.
        tau: clock time, any shape; negative values give the (noise-free) way back in ``Phi``.

    Returns:
        ``Phi`` and ``Q``, ``(*tau, k, k)`` each: mean ``Phi u`` and covariance ``Q``.
    """
    if drift.shape[-1] == 1:
        exponent = drift[..., 0, 0] * tau
        # expm1(2 A tau) / (2 A), with its limit tau where A = 0.
        rate = torch.where(drift[..., 0, 0] == 0, 1.0, drift[..., 0, 0])
        spread = torch.where(drift[..., 0, 0] == 0, tau, torch.expm1(2 * exponent) / (2 * rate))
        return exponent.exp()[..., None, None], (noise[..., 0, 0] * spread)[..., None, None]
    norm = drift.abs().sum(-2).amax(-1)
    size = norm * tau.abs()
    # Exactly |A| h < 1/2, from each row's own size: a row does not depend on its neighbours.
    doublings = (torch.frexp(size).exponent + 1).clamp(min=0)
    h = torch.ldexp(tau.expand_as(size), -doublings)[..., None, None]
    # The terms are those of one matrix, whatever tau: powers of A over a power of two near |A|.
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


def _horner(terms: Sequence[Tensor], x: Tensor) -> Tensor:
    """``sum_n terms_n x^n``, elementwise in ``x (*, 1, 1)``."""
    total = terms[-1].expand(torch.broadcast_shapes(terms[-1].shape, x.shape))
    for term in reversed(terms[:-1]):
        total = torch.addcmul(term, total, x)
    return total


def semidefinite_factor(matrix: Matrix) -> tuple[tuple[float, ...], ...]:
    """Lower triangular C with ``C C^T = matrix``; a zero pivot gives a zero column.

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
                factor[i][i] = 0.0  # what rounding leaves of a zero pivot is zero
            elif i > j and factor[j][j] > 0:
                factor[i][j] = rest / factor[j][j]
            elif i == j or abs(rest) > 1e-12 * math.sqrt(abs(matrix[i][i] * matrix[j][j])):
                raise ValueError(f"the covariance {matrix} is not positive semidefinite")
    return tuple(tuple(row) for row in factor)


def scaled_cholesky(cov: Tensor) -> Tensor:
    """Cholesky factor of ``cov (*, k, k)``, taken after scaling to unit diagonal.

    The phases of a higher-order process live on scales ``t^{3/2}``, ``t^{1/2}``, ...: only the
    correlation matrix is well conditioned at small t. An all-zero row gives a zero row.
    """
    scale = torch.diagonal(cov, dim1=-2, dim2=-1).clamp_min(0).sqrt()
    safe = torch.where(scale > 0, scale, 1.0)
    corr = cov / (safe[..., :, None] * safe[..., None, :])
    unit = torch.diag_embed(torch.where(scale > 0, 0.0, 1.0).to(cov.dtype))
    factor, _ = torch.linalg.cholesky_ex(corr + unit)
    return factor * scale[..., :, None]


def stacked_factor(*factors: Tensor) -> Tensor:
    r"""Lower triangular L, positive diagonal, with ``L L^T = sum_i factors_i factors_i^T``.

    Orthogonalises the rows of the factors side by side (modified Gram-Schmidt, an LQ
    decomposition): the sum itself, whose rounding would cost half of the digits, is never formed.

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


def operators(matrices: Tensor) -> list[Operator]:
    """One operator for each of ``matrices (n, k, j)``, in plain floats: float64 until they act.

    Plain floats carry no dtype and no device, so a whole grid is read out once and a step then
    never waits for a device.
    """
    if matrices.shape[-2:] == (1, 1):
        return matrices.flatten().tolist()
    return [tuple(map(tuple, matrix)) for matrix in matrices.tolist()]


def act(operator: Operator, u: Tensor) -> Tensor:
    """``operator`` on the phase axis of ``u (B, j, *event)``: ``(B, k, *event)``."""
    return combine((operator, u))


def combine(*terms: tuple[Operator, Tensor]) -> Tensor:
    """``sum_i operator_i u_i`` on the phase axis, a pass for each coefficient but zero.

    Args:
        terms: operators ``(k, j_i)``, all tensors or none, with states ``(B, j_i, *event)``.
    """
    if all(isinstance(m, Tensor) for m, _ in terms):
        parts = [_act_by_sample(m, u) for m, u in terms if isinstance(m, Tensor)]
        return parts[0] if len(parts) == 1 else sum(parts[1:], start=parts[0])
    if all(isinstance(m, float) for m, _ in terms):
        return _weighted([(m, u) for m, u in terms if isinstance(m, float)])
    phases = [(_rows(m), u.unbind(1)) for m, u in terms]
    rows = [
        _weighted([pair for m, parts in phases for pair in zip(m[i], parts, strict=True)])
        for i in range(len(phases[0][0]))
    ]
    return torch.stack(rows, dim=1)


def _rows(operator: Operator) -> tuple[tuple[float, ...], ...]:
    if isinstance(operator, Tensor):
        raise TypeError("operators of one sum are all tensors or none")
    return operator if isinstance(operator, tuple) else ((operator,),)


def scaled(operator: Operator, factor: float | Tensor, unit: float = 0.0) -> Operator:
    """``factor`` times an operator, and ``unit`` times the identity added.

    The factor is ``(B, 1, 1)`` where each sample has its own.
    """
    if isinstance(operator, Tensor):
        return operator * factor + unit * torch.eye(*operator.shape[-2:]).to(operator)
    if isinstance(factor, Tensor):
        raise TypeError("a factor for each sample needs an operator for each sample")
    if not isinstance(operator, tuple):
        return operator * factor + unit
    rows = enumerate(operator)
    return tuple(tuple(factor * x + unit * (i == j) for j, x in enumerate(r)) for i, r in rows)


def _weighted(pairs: Sequence[tuple[float, Tensor]]) -> Tensor:
    """``sum_i c_i x_i``; a zero coefficient costs nothing."""
    out: Tensor | None = None
    for c, x in pairs:
        if c == 0:
            continue
        out = x * c if out is None else out.add_(x, alpha=c)
    return torch.zeros_like(pairs[0][1]) if out is None else out


def _act_by_sample(matrix: Tensor, u: Tensor) -> Tensor:
    if matrix.shape[-2:] == (1, 1):
        return u * matrix.reshape(matrix.shape[:-2] + (1,) * (u.ndim - matrix.ndim + 2))
    with torch.autocast(u.device.type, enabled=False):  # meant for networks, not for this
        moved = torch.matmul(matrix, u.reshape(*u.shape[:2], -1))
    return moved.reshape(*moved.shape[:2], *u.shape[2:])
