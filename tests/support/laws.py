"""Moments of samples, held against those of the exact law of the golden solvers' mixture."""

from support.golden_solvers_data import MIXTURE


def moments(law):
    """Mean and covariance of each coordinate's data: ``(2,)`` each."""
    mean = law.weights @ law.means
    return mean, law.weights @ (law.variances + law.means.square()) - mean.square()


def assert_law(sde, u, t, slack=0.0):
    """First and second moments of every coordinate within four standard errors of the exact."""
    kernel, n = sde.kernel(t), len(u)
    for d, (mean, var) in enumerate(zip(*moments(MIXTURE.mixture()), strict=True)):
        expected = kernel.mean * mean
        cov = kernel.cov + var * kernel.mean[:, None] * kernel.mean
        scale = cov.diagonal().sqrt()
        centred = (u[:, :, d] - expected) / scale
        assert float(centred.mean(0).abs().max()) < 4 / n**0.5 + slack
        products = (centred[:, :, None] * centred[:, None]).flatten(1)
        expected_products = (cov / scale / scale[:, None]).flatten()
        error = (products.mean(0) - expected_products).abs() - 4 * products.std(0) / n**0.5
        assert float(error.max()) < slack
