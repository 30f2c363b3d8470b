"""VP's flow written out by hand: weights of answers in a step, and of answers in a whole solve."""

import numpy as np
import torch

from sgmkit import Reverse, SeededNoise
from sgmkit_sdes.vp import VP

NODES, MASS = np.polynomial.legendre.leggauss(60)


def vp(t):
    """alpha, sigma and the half log-SNR of VP, written out."""
    bar = np.exp(-(0.1 * t + 19.9 * t**2 / 2))
    return np.sqrt(bar), np.sqrt(1 - bar), 0.5 * np.log(bar / (1 - bar))


def lagrange(x, nodes, j):
    return np.prod([(x - n) / (nodes[j] - n) for i, n in enumerate(nodes) if i != j], axis=0)


def combination(form, variable, t, s, nodes, halved=False):
    """Weights of the state and of answers at times ``nodes`` in a step of VP's flow."""
    (alpha_t, sigma_t, a), (alpha_s, sigma_s, b) = vp(t), vp(s)
    level = a + (b - a) * (1 + NODES) / 2
    # The time of a level: log(1 + e^{-2 level}) is the clock, a parabola in t.
    clock = np.log1p(np.exp(-2 * level))
    now = (-0.1 + np.sqrt(0.01 + 2 * 19.9 * clock)) / 19.9
    if form == "data":
        keep, rate = sigma_s / sigma_t, sigma_s * np.exp(level)
    else:
        keep, rate = alpha_s / alpha_t, -alpha_s * np.exp(-level)
    value = {"t": lambda x: x, "logsnr": lambda x: vp(x)[2], "sigma": lambda x: vp(x)[1] / vp(x)[0]}
    at, places = value[variable](now), [value[variable](n) for n in nodes]
    rate = rate * MASS * (b - a) / 2
    plain = [rate @ (lagrange(at, places, j) * np.ones(60)) for j in range(len(nodes))]
    if not halved or len(nodes) == 1:
        return keep, plain
    ends = value[variable](t), value[variable](s)
    theta = (at - ends[0]) / (ends[1] - ends[0])
    change = rate.sum() / 2 - rate @ theta if len(nodes) == 2 else -(rate @ theta**2) / 2
    power = 1 if len(nodes) == 2 else 2
    places = [(p - ends[0]) / (ends[1] - ends[0]) for p in places]
    for j in range(len(nodes)):  # the coefficient of theta^power in each basis polynomial
        others = np.polynomial.polynomial.polyfromroots([p for i, p in enumerate(places) if i != j])
        scale = np.prod([places[j] - p for i, p in enumerate(places) if i != j])
        plain[j] += change * others[power] / scale
    return keep, plain


class Hot:
    """The n-th call answers with the n-th unit vector, whatever it is shown."""

    def __init__(self, form, size):
        self.form, self.size, self.times = form, size, []

    def __call__(self, u, t):
        alpha, sigma, _ = vp(float(t))
        answer = torch.zeros_like(u)
        answer[:, :, len(self.times)] = 1.0
        self.times.append(float(t))
        return answer if self.form == "noise" else (u - alpha * answer) / sigma


def impulse_response(solver, form, grid, start=None):
    """The weight of each answer in the end state, ``(calls,)``, and the times of the calls."""
    size = 2 * len(grid)
    u = torch.zeros(2, 1, size, dtype=torch.float64) if start is None else start
    predict = Hot(form, size)
    out = solver.solve(Reverse(VP(), predict, SeededNoise(0, range(2))), u, grid)
    assert torch.equal(out[0], out[1])
    return out[0, 0].numpy(), predict.times
