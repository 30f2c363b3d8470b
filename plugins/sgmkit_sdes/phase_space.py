"""Start and stationary law of processes whose phases are the data and a velocity of mass M."""

from sgmkit.processes import Matrix


def start_covariance(m_inv: float, gamma: float, eps: float) -> Matrix:
    """Covariance of ``u_0`` given the data: eps in both phases, and gamma M in the velocity."""
    return (eps, 0.0), (0.0, gamma / m_inv + eps)


def stationary_precision(m_inv: float) -> Matrix:
    """Inverse covariance of the stationary law N(0, 1) x N(0, M)."""
    return (1.0, 0.0), (0.0, m_inv)
