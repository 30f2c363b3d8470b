"""The k x k algebra: transitions in sixty digits, factors, and operators on states."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from support import oracles
from support.processes import f64

from sgmkit.processes import (
    Operator,
    act_on_phases,
    as_matrix,
    operators_by_time,
    ou_transition,
    scaled_cholesky,
    semidefinite_factor,
    stacked_factor,
)
from sgmkit.processes.matrices import triangular_inverse

CLD = ((0.0, 4.0), (-1.0, -4.0)), ((0.0, 0.0), (0.0, 2.0))
HEAVY = ((0.0, 16.0), (-1.0, -8.0)), ((0.0, 0.0), (0.0, 1.0))
PAIR = (
    ((-0.3, 1.5, 0.4), (-0.9, -1.1, 0.7), (-0.2, -0.5, -2.0)),
    ((0.0, 0.0, 0.0), (0.0, 1.2, 0.5), (0.0, 0.5, 0.9)),
)


def third(second, friction):
    drift = ((0.0, 1.0, 0.0), (-1.0, 0.0, second), (0.0, -second, -friction))
    return drift, ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 2 * friction))


TIMES = [10 ** (n / 2) for n in range(-12, 1)]
CASES = {
    "cld": (*CLD, [4 * t for t in TIMES]),
    "cld-heavy": (*HEAVY, [4 * t for t in TIMES]),
    "third": (*third(8**0.5, 3 * 3**0.5), [*(4 * t for t in TIMES), 20.0]),
    "underdamped": (*third(3.0, 2.0), [6 * t for t in TIMES]),
    "pair": (*PAIR, [3 * t for t in TIMES]),
    "friction-50": (*third(3.0, 50.0), [20 * t for t in TIMES]),
    "friction-200": (*third(3.0, 200.0), [50 * t for t in TIMES]),
}


def stiffness(drift, tau):
    return float(f64(drift).abs().sum(-2).max()) * tau


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_transition_in_sixty_digits(case, dtype):
    drift, noise, times = CASES[case]
    times = torch.tensor(times, dtype=dtype)
    like = f64(drift).to(dtype), f64(noise).to(dtype)
    exact_drift, exact_noise = (m.double().tolist() for m in like)  # the float32 values themselves
    phi, cov = ou_transition(*like, times)
    assert phi.dtype == cov.dtype == dtype
    for n, tau in enumerate(times.tolist()):
        exact_phi, exact_cov = oracles.moments(exact_drift, exact_noise, tau)
        size = stiffness(drift, tau)
        grain = torch.finfo(dtype).eps * max(32.0, 4 * size)  # 2^j is at most 4 |A| tau
        if dtype == torch.float64:
            grain = min(grain, 1e-12 if size < 5000 else 2e-12)
        assert oracles.relative(cov[n], exact_cov, oracles.spread(exact_cov)) < grain
        at_most = oracles.mp.matrix([[1.0] * len(drift)] * len(drift))
        assert oracles.relative(phi[n], exact_phi, at_most * phi[n].abs().max().item()) < 64 * grain
        if size <= 1:
            assert oracles.relative(phi[n], exact_phi, at_most) < 4 * grain


def test_a_row_does_not_depend_on_its_neighbours():
    """A stiff row takes 15 doublings; they must not reach the rows beside it."""
    drift, noise, times = CASES["friction-200"]
    times = f64(times)
    rows = ou_transition(f64(drift), f64(noise), times)
    for n in range(len(times)):
        alone = ou_transition(f64(drift), f64(noise), times[n])
        for row, own in zip(rows, alone, strict=True):
            scale = own.diagonal().abs().sqrt()
            ratio = (row[n] - own).abs() / (scale[:, None] * scale).clamp(min=1e-300)
            assert float(ratio.max()) < 1e-15


@pytest.mark.parametrize("rate", [-0.5, 0.0, 0.7])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_one_phase(rate, dtype):
    tau = torch.tensor([1e-12, 1e-6, 0.3, 5.0], dtype=dtype)
    phi, cov = ou_transition(f64([[rate]]).to(dtype), f64([[3.0]]).to(dtype), tau)
    clock = tau.double().numpy()
    own = float(torch.tensor(rate, dtype=dtype))
    spread = clock if rate == 0 else np.expm1(2 * own * clock) / (2 * own)
    eps = torch.finfo(dtype).eps
    assert phi.shape == cov.shape == (4, 1, 1)
    assert np.allclose(phi[:, 0, 0].double(), np.exp(own * clock), rtol=8 * eps, atol=0)
    assert np.allclose(cov[:, 0, 0].double(), 3 * spread, rtol=8 * eps, atol=0)


def test_one_phase_is_the_series():
    """The shortcut of k = 1 against a decoupled k = 2 process, which takes the general way."""
    tau = f64([-2.0, 0.0, 1e-3, 0.4, 6.0])
    for rate in (-0.5, 0.0, 0.7):
        phi, cov = ou_transition(f64([[rate]]), f64([[1.3]]), tau)
        two = f64([[rate, 0.0], [0.0, -1.0]]), f64([[1.3, 0.0], [0.0, 0.0]])
        phi_two, cov_two = ou_transition(*two, tau)
        assert torch.allclose(phi[:, 0, 0], phi_two[:, 0, 0], rtol=1e-13, atol=0)
        assert torch.allclose(cov[:, 0, 0], cov_two[:, 0, 0], rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("case", ["cld", "third", "pair", "friction-50"])
def test_semigroup(case):
    drift, noise = map(f64, CASES[case][:2])
    first, second = f64([0.0, 1e-5, 0.02, 1.0, 3.0]), f64([0.3, 2e-5, 0.7, 1e-4, 1.0])
    phi_1, cov_1 = ou_transition(drift, noise, first)
    phi_2, cov_2 = ou_transition(drift, noise, second)
    phi, cov = ou_transition(drift, noise, first + second)
    scale = cov.diagonal(dim1=-2, dim2=-1).sqrt()
    gap = (phi_2 @ cov_1 @ phi_2.mT + cov_2 - cov).abs() / (scale[..., None] * scale[..., None, :])
    assert float(gap.max()) < 3e-14
    assert torch.allclose(phi_2 @ phi_1, phi, rtol=0, atol=3e-14)


@pytest.mark.parametrize("case", ["cld", "third", "pair"])
def test_negative_time_is_the_way_back(case):
    drift, noise = map(f64, CASES[case][:2])
    tau = f64([0.0, 1e-4, 0.5, 2.0])
    forth, cov = ou_transition(drift, noise, tau)
    back, undone = ou_transition(drift, noise, -tau)
    assert torch.allclose(back @ forth, torch.eye(len(drift)).double(), rtol=0, atol=1e-11)
    assert torch.allclose(back @ cov @ back.mT, -undone, rtol=1e-10, atol=1e-14)


def test_a_matrix_for_each_time_and_any_shape():
    generator = np.random.default_rng(1)
    drift = f64(generator.normal(size=(3, 4, 2, 2)))
    half = f64(generator.normal(size=(3, 4, 2, 2)))
    noise, tau = half @ half.mT, f64(generator.uniform(0, 3, size=(3, 4)))
    phi, cov = ou_transition(drift, noise, tau)
    assert phi.shape == cov.shape == (3, 4, 2, 2)
    for i in range(3):
        for j in range(4):
            block = np.zeros((4, 4))  # Van Loan 1978
            block[:2, :2], block[:2, 2:] = -drift[i, j], noise[i, j]
            block[2:, 2:] = drift[i, j].T
            whole = expm(block * float(tau[i, j]))
            exact = whole[2:, 2:].T
            assert np.allclose(phi[i, j], exact, rtol=1e-11, atol=1e-12)
            assert np.allclose(cov[i, j], exact @ whole[:2, 2:], rtol=1e-10, atol=1e-11)
    one = ou_transition(drift[..., :1, :1], noise[..., :1, :1], tau)
    assert torch.allclose(one[0][..., 0, 0], (drift[..., 0, 0] * tau).exp(), rtol=1e-14)


def test_nothing_happens_in_no_time():
    phi, cov = ou_transition(f64(CLD[0]), f64(CLD[1]), f64([0.0, 0.0]))
    assert torch.equal(phi, torch.eye(2).double().expand(2, 2, 2))
    assert torch.equal(cov, torch.zeros(2, 2, 2).double())
    assert ou_transition(f64(CLD[0]), f64(CLD[1]), f64([]))[0].shape == (0, 2, 2)
    assert ou_transition(f64(CLD[0]), f64(CLD[1]), f64(0.3))[0].shape == (2, 2)


@pytest.mark.parametrize(
    "matrix",
    [
        ((2.0, 0.3), (0.3, 1.0)),
        ((1e-9, 0.0), (0.0, 0.01)),
        ((0.0, 0.0), (0.0, 0.25)),
        ((1.0, 1.0, 0.0), (1.0, 1.0, 0.0), (0.0, 0.0, 2.0)),
        ((0.01, 0.002, 0.0), (0.002, 0.05, -0.01), (0.0, -0.01, 0.03)),
        ((0.09, 0.03, 0.06), (0.03, 0.01, 0.02), (0.06, 0.02, 0.04)),
    ],
)
def test_semidefinite_factor(matrix):
    factor = np.array(semidefinite_factor(matrix))
    assert np.array_equal(factor, np.tril(factor))
    assert (np.diag(factor) >= 0).all()
    assert np.allclose(factor @ factor.T, np.array(matrix), rtol=1e-14, atol=1e-17)


@pytest.mark.parametrize("seed", range(20))
def test_rounding_is_no_pivot(seed):
    """A dependent row leaves about 1e-17 behind: no column of noise must come of it."""
    direction = np.random.default_rng(seed).uniform(0.1, 2.0, size=3)
    rows = np.outer(direction, direction)
    rows[2, 2] += 4.0
    factor = np.array(semidefinite_factor(tuple(map(tuple, rows))))
    assert np.array_equal(factor[:, 1], np.zeros(3))
    assert np.allclose(factor @ factor.T, rows, rtol=1e-14)


@pytest.mark.parametrize(
    "matrix",
    [
        ((1.0, 2.0), (2.0, 1.0)),
        ((-1.0,),),
        ((0.0, 1.0), (1.0, 0.0)),  # its pivots are not negative: only the column betrays it
        ((0.0, 1.0), (1.0, 5.0)),
    ],
)
def test_indefinite_start(matrix):
    with pytest.raises(ValueError, match="is not positive semidefinite") as caught:
        semidefinite_factor(matrix)
    assert str(caught.value) == f"the covariance {matrix} is not positive semidefinite"


def test_asymmetric_start():
    with pytest.raises(ValueError, match="is not symmetric") as caught:
        semidefinite_factor(((1.0, 0.5), (0.4, 1.0)))
    assert str(caught.value) == "the covariance ((1.0, 0.5), (0.4, 1.0)) is not symmetric"


def test_as_matrix():
    like = torch.zeros(1, dtype=torch.float32)
    assert torch.equal(as_matrix((), 3, like), torch.zeros(3, 3))
    got = as_matrix(((1.0, 2.0), (3.0, 4.0)), 2, like)
    assert got.dtype == torch.float32
    assert got.tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize("case", ["cld", "third"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_scaled_cholesky_at_every_scale(case, dtype):
    """Phases live on scales from t^{5/2} to t^{1/2}: float32 has no such range on one scale."""
    drift, noise, times = CASES[case]
    tau = torch.tensor(times, dtype=dtype)
    cov = ou_transition(f64(drift).to(dtype), f64(noise).to(dtype), tau)[1]
    factor = scaled_cholesky(cov)
    assert torch.equal(factor, factor.tril())
    assert bool((factor.diagonal(dim1=-2, dim2=-1) > 0).all())
    scale = cov.diagonal(dim1=-2, dim2=-1).sqrt()
    gap = (factor @ factor.mT - cov) / scale[..., None] / scale[..., None, :]
    assert float(gap.abs().max()) < 8 * torch.finfo(dtype).eps


def test_scaled_cholesky_of_still_phases():
    cov = f64([[[0.0, 0.0], [0.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]])
    want = f64([[[0.0, 0.0], [0.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert torch.equal(scaled_cholesky(cov), want)


@pytest.mark.parametrize("shapes", [[(3, 3), (3, 3)], [(3, 1), (3, 5)], [(3, 4)]])
def test_stacked_factor(shapes):
    generator = np.random.default_rng(2)
    scale = f64([1e-6, 1.0, 1e4])
    factors = [f64(generator.normal(size=(5, *shape))) * scale[:, None] for shape in shapes]
    got = stacked_factor(*factors)
    both = sum(f @ f.mT for f in factors)
    assert torch.equal(got, got.tril())
    assert bool((got.diagonal(dim1=-2, dim2=-1) > 0).all())
    assert torch.allclose(got @ got.mT / (scale[:, None] * scale), both / (scale[:, None] * scale))
    assert torch.allclose(got, torch.linalg.cholesky(both), rtol=1e-10, atol=0)


def test_stacked_factors_broadcast():
    generator = np.random.default_rng(6)
    one, many = f64(generator.normal(size=(3, 2))), f64(generator.normal(size=(4, 3, 3)))
    got = stacked_factor(one, many)
    assert torch.allclose(got, torch.linalg.cholesky(one @ one.mT + many @ many.mT), rtol=1e-9)


def test_stacked_factor_never_forms_the_sum():
    """A correlation of 1 - 5e-17: the sum of squares has lost the second pivot altogether."""
    small = 1e-8
    rows = f64([[1.0, 0.0], [1.0, small]])
    got = stacked_factor(rows, torch.zeros(2, 2).double())
    assert float(got[1, 1]) == pytest.approx(small, rel=1e-14)
    turn = f64([[math.cos(0.7), math.sin(0.7)], [-math.sin(0.7), math.cos(0.7)]])
    assert float(stacked_factor(rows @ turn)[1, 1]) == pytest.approx(small, rel=1e-7)
    assert torch.equal(stacked_factor(torch.zeros(2, 2)), torch.zeros(2, 2))


def test_triangular_inverse():
    factor = f64([[[2.0, 0.0], [3.0, 4.0]], [[1e-6, 0.0], [1.0, 1e3]]])
    want = f64([[[0.5, 0.0], [-0.375, 0.25]], [[1e6, 0.0], [-1e3, 1e-3]]])
    assert torch.allclose(triangular_inverse(factor), want, rtol=1e-14)


def joined(generator, k, lead, event=(1,)):
    """Three matrices, three states, and the sum of their products."""
    states = [f64(generator.normal(size=(5, n, *event))) for n in (k, 2, 1)]
    matrices = [f64(generator.normal(size=(*lead, k, n))) for n in (k, 2, 1)]
    matrices[0][..., 0, :] = 0  # a whole row and a lone entry that say nothing
    matrices[1][..., -1, 0] = 0
    terms = "bkj,bj...->bk..." if lead else "kj,bj...->bk..."
    products = [torch.einsum(terms, m, u) for m, u in zip(matrices, states, strict=True)]
    return matrices, states, sum(products)


@pytest.mark.parametrize("lead", [(), (5,)])
@pytest.mark.parametrize("event", [(), (1,), (2,), (3, 4, 4)])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_act_is_a_sum_of_products_on_the_phase_axis(k, event, lead):
    matrices, states, want = joined(np.random.default_rng(3), k, lead, event)
    before = [u.clone() for u in states]
    got = act_on_phases(torch.cat(matrices, -1), *states)
    assert got.shape == (5, k, *event)
    assert torch.allclose(got, want, rtol=1e-13, atol=1e-14)
    assert all(torch.equal(u, was) for u, was in zip(states, before, strict=True))


@pytest.mark.parametrize("event", [(1,), (3, 4, 4)])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_operators_do_what_their_matrices_do(k, event):
    matrices, states, want = joined(np.random.default_rng(4), k, (), event)
    before = [u.clone() for u in states]
    twice, once = operators_by_time(*(torch.stack([2 * m, m]) for m in matrices))
    assert once.rows == torch.cat(matrices, -1).tolist()
    assert torch.allclose(once(*states), want, rtol=1e-13, atol=1e-14)
    assert torch.allclose(twice(*states), 2 * want, rtol=1e-13, atol=1e-14)
    assert all(torch.equal(u, was) for u, was in zip(states, before, strict=True))


def test_one_phase_is_a_weighted_sum():
    u, v = f64([[[1.0]], [[2.0]]]), f64([[[10.0]], [[30.0]]])
    assert Operator(((2.0, 0.5),))(u, v).flatten().tolist() == [7.0, 19.0]
    assert Operator(((2.0, 0.0),))(u, v / 0).flatten().tolist() == [2.0, 4.0]
    assert Operator(((0.0, 0.0),))(u, v).flatten().tolist() == [0.0, 0.0]


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_states_keep_their_dtype_and_coefficients_their_digits(dtype, k):
    """1 + 2^-9 is one in bfloat16: as a rounded coefficient it would leave no difference."""
    generator = np.random.default_rng(5)
    u = f64(generator.normal(size=(4, k, 3))).to(dtype)
    near, minus = (1 + 2.0**-9) * f64(np.eye(k)), -f64(np.eye(k))
    got = Operator(torch.cat([near, minus], 1).tolist())(u, u)
    assert got.dtype == dtype
    scale = u.abs().double().max() * torch.finfo(dtype).eps if k == 1 else 1e-6  # k = 1 adds twice
    assert torch.allclose(got.double(), u.double() * 2.0**-9, rtol=1e-2, atol=float(scale))


def test_autocast_does_not_lower_the_precision():
    u = f64(np.random.default_rng(6).normal(size=(4, 2, 5))).float()
    step, each = Operator(((0.1, 0.7), (0.3, 0.9))), f64(np.eye(2) / 3).float().expand(4, 2, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = step(u), act_on_phases(each, u)
    assert low[0].dtype == torch.float32
    assert torch.allclose(low[0], step(u), rtol=1e-6, atol=1e-7)
    assert torch.equal(low[1], act_on_phases(each, u))


@pytest.mark.parametrize("k", [1, 2])
def test_a_step_is_the_same_for_a_sample_alone(k):
    matrices, states, _ = joined(np.random.default_rng(7), k, (), (2,))
    for dtype in (torch.float32, torch.float64):
        step, parts = (
            operators_by_time(*(m[None] for m in matrices))[0],
            [u.to(dtype) for u in states],
        )
        whole = step(*parts)
        for i in range(5):
            assert torch.equal(step(*(u[i : i + 1] for u in parts))[0], whole[i])


@pytest.mark.parametrize("k", [1, 2])
def test_operators_let_gradients_through(k):
    matrices, states, _ = joined(np.random.default_rng(8), k, ())
    first = operators_by_time(*(m[None] for m in matrices))[0]
    with torch.inference_mode():
        first(*states)  # what it keeps must not be bound to inference
    for step in (first, lambda *u: act_on_phases(torch.cat(matrices, -1), *u)):
        leaves = [u.clone().requires_grad_() for u in states]
        step(*leaves).sum().backward()
        for leaf, matrix in zip(leaves, matrices, strict=True):
            assert leaf.grad is not None
            want = matrix.sum(0)[None, :, None].expand_as(leaf)
            assert torch.allclose(leaf.grad, want, rtol=1e-13)
