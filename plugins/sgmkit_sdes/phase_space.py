"""What processes of a position and a momentum of mass M share: where they start, and end up."""

from sgmkit.processes import Matrix


def start(m_inv: float, gamma: float, eps: float) -> Matrix:
    """Covariance of ``u_0`` given the data: momenta of variance gamma M, and eps in both phases."""
    return (eps, 0.0), (0.0, gamma / m_inv + eps)


def stationary_precision(m_inv: float) -> Matrix:
    """Inverse covariance of N(0, 1) x N(0, M)."""
    return (1.0, 0.0), (0.0, m_inv)
