"""UniPC as released, on the exact model (tests/golden)."""

import pytest
import torch
from support.golden_data import load
from support.golden_solvers_data import close, problem

from sgmkit_sdes.vp import VP
from sgmkit_solvers.unipc import UniPC

SDE = VP(beta_min=0.1, beta_max=20.0)
CASES = [(n, skip) for n in (10, 20) for skip in ("time_uniform", "logSNR")]


@pytest.mark.parametrize(("n", "skip"), CASES)
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("form", ["data", "noise"])
@pytest.mark.parametrize("variant", ["bh1", "bh2"])
def test_unipc(variant, form, order, n, skip):
    golden, (rev, _) = load("dpm_solver"), problem(SDE)
    solver = UniPC(order, variant, form)
    out = solver.solve(rev, golden["x_T"][:, None], golden[f"t_{skip}_N{n}"])
    assert close(out[:, 0], golden[f"unipc_{variant}_{form}_o{order}_{skip}_{n}"], 1e-10)
    assert rev.calls.tolist() == [n] * len(out)


def phi_functions(z, count):
    """``z phi_k(z)`` for k = 1 to ``count``, by their recursion."""
    out, factorial = [torch.expm1(z)], 1
    for k in range(1, count):
        out.append(out[-1] / z - 1 / factorial)
        factorial *= k + 1
    return torch.stack(out)


def coefficients(places, z, corrector):
    """Weights of the differences ``(q_j - q_0)/r_j``, for the answers at ``places``, ``(K,)``.

    Through ``q(r) = sum_m c_m r^m / m!`` they give ``c_1`` to ``c_K`` by the inverse of
    ``r_j^m/(m + 1)!``, and ``c_m`` is weighed with ``phi_{m+1}`` (Zhao et al. 2023, UniPC_v).

    Args:
        corrector: "none", "right", or "released": there the last difference, that of the new
            answer, takes part in one row only, with the entry of the row before, which the loop
            over the others has left behind; they in turn take no part in the last row.
    """
    count = len(places)
    factors = torch.arange(1, count + 1).cumprod(0)
    inverse = torch.linalg.inv(places[:, None] ** torch.arange(count) / factors)
    phi = phi_functions(z, count + 1)[1:]
    if corrector != "released":
        return phi @ inverse
    stale = max(count - 2, 0)
    return torch.cat([phi[:-1] @ inverse[:-1, :-1], phi[-1:] * inverse[stale, -1:]])


def vary(form, order, corrector, rev, u, grid):
    """UniPC with varying coefficients, one step after the other."""
    kernel, steps = SDE.kernel(grid), len(grid) - 1
    alpha, sigma, value = kernel.mean[:, 0], kernel.chol[:, 0, 0], 0.5 * kernel.snr.log()
    keep, top, sign = (sigma, alpha, -1) if form == "data" else (alpha, sigma, 1)

    def ask(u, t):
        return rev.denoise(u, t)[:, None] if form == "data" else rev.eps(u, t)

    past = [ask(u, grid[0])]
    for i in range(steps):
        count, h = min(order, i + 1, steps - i), value[i + 1] - value[i]
        others = [(value[i - k] - value[i]) / h for k in range(1, count)]
        places = torch.stack([*others, torch.ones_like(h)])
        base = keep[i + 1] / keep[i] * u - top[i + 1] * torch.expm1(sign * h) * past[0]
        rises = [(q - past[0]) / r for q, r in zip(past[1:count], places, strict=False)]

        def moved(rises, weights, base=base, top=top[i + 1]):
            return base - top * sum(w * rise for w, rise in zip(weights, rises, strict=True))

        u = moved(rises, coefficients(places[:-1], sign * h, "none"))
        if i < steps - 1:
            answer = ask(u, grid[i + 1])
            u = moved([*rises, answer - past[0]], coefficients(places, sign * h, corrector))
            past = [answer, *past]
    return u


class ExactUniPC(UniPC):
    """With the moments of every polynomial exact, not of those beyond two answers alone."""

    def rule(self, count):
        return "exact"


@pytest.mark.parametrize(("n", "skip"), CASES)
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("form", ["data", "noise"])
def test_varying_coefficients(form, order, n, skip):
    """The released corrector is the paper's for one difference; corrected, it is ours for any.

    bh1 and bh2 differ from exact moments where there is a single difference to weigh only.
    """
    golden, (rev, _) = load("dpm_solver"), problem(SDE)
    start, grid = golden["x_T"][:, None], golden[f"t_{skip}_N{n}"]
    released = vary(form, order, "released", rev, start, grid)
    reference = golden[f"unipc_vary_coeff_{form}_o{order}_{skip}_{n}"]
    assert close(released[:, 0], reference, 1e-10)
    right = vary(form, order, "right", rev, start, grid)
    assert close(ExactUniPC(order, form=form).solve(rev, start, grid), right, 1e-10)
    assert close(right[:, 0], reference, 1e-2) == (order == 1)
