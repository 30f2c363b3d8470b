r"""Exact problems: a Gaussian mixture under any linear SDE, with its score in closed form.

The whitened channels ``w = L^{-1} u = rho x + eps`` say about the data of one coordinate what the
scalar ``y = rho . w / |rho|^2 = x + N(0, 1/|rho|^2)`` says, so a mixture under any process is one
seen through a scalar channel: ``eps_d = w_d - rho_d E[x | y]``. This is independent of any plugin.
"""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sgmkit.convergence.outcomes import require
from sgmkit.convergence.reference_processes import processes
from sgmkit.data import Mixture
from sgmkit.noise import Noise
from sgmkit.processes import Kernel, LinearSDE, act_on_phases, time_at_snr
from sgmkit.solvers import Predict, Reverse, Solver

LOG_SNR = (-3.0, 4.0)
"""The interval over which orders are measured: from noise to nearly data, for every process."""
FINEST = 256
"""Steps of the finest grid over it; every grid of 2^n steps is part of it."""

_Local = tuple[Tensor, Tensor, Tensor, Tensor]


def tensor(values: object) -> Tensor:
    """Nested numbers as float64."""
    return torch.tensor(values, dtype=torch.float64)


def mixture() -> Mixture:
    """Three blobs in the plane, near unit variance: smooth enough for orders to show early."""
    means = tensor([[-1.0, 0.5], [0.9, 0.8], [0.3, -1.0]])
    variances = tensor([[0.10, 0.25], [0.20, 0.10], [0.15, 0.15]])
    return Mixture(tensor([0.5, 0.3, 0.2]), means, variances)


def gaussian(mean: float = 0.7, variance: float = 0.25) -> Mixture:
    """One Gaussian in one coordinate: its reverse process is affine."""
    return Mixture(tensor([1.0]), tensor([[mean]]), tensor([[variance]]))


class Problem:
    """The reverse process of a mixture, with calls counted where they arrive.

    Args:
        sde: the process.
        law: of the data, flattened: ``means (J, N)``.
        event: shape of the data; N numbers. By default ``(N,)``.

    Attributes:
        seen: calls that the predictor of the last `reverse` received for each row, int64 ``(B,)``.
        flow: starts and ends of the reference solution, once it has been computed.
    """

    def __init__(self, sde: LinearSDE, law: Mixture, event: tuple[int, ...] = ()) -> None:
        self.sde, self.law = sde, law
        self.event = event or tuple(law.means.shape[1:])
        self.seen = torch.zeros(0, dtype=torch.int64)
        self.flow: tuple[Tensor, Tensor] | None = None
        self._locals: dict[float, _Local] = {}

    @functools.cached_property
    def finest(self) -> Tensor:
        """``(FINEST + 1,)`` times, equal steps in log-SNR over `LOG_SNR`."""
        goals = torch.linspace(*LOG_SNR, FINEST + 1, dtype=torch.float64)
        times = time_at_snr(self.sde, goals, 1e-6 * self.sde.horizon)
        self.prepare(times)
        return times

    def of(self, law: Mixture, event: tuple[int, ...] = ()) -> "Problem":
        """The same process and grids with other data; coefficients are shared."""
        other = Problem(self.sde, law, event)
        other.finest, other._locals = self.finest, self._locals
        return other

    def grid(self, steps: int) -> Tensor:
        """``(steps + 1,)`` times, for a power of two up to `FINEST`."""
        return self.finest[:: FINEST // steps].clone()

    def uneven(self, steps: int) -> Tensor:
        """``(steps + 1,)`` times that alternate short and three times longer steps in log-SNR."""
        pairs = self.finest[:: 2 * FINEST // steps]
        inner = self.finest[FINEST // (2 * steps) :: 2 * FINEST // steps]
        return torch.cat([torch.stack([pairs[:-1], inner], 1).flatten(), pairs[-1:]])

    def reverse(self, noise: Noise) -> Reverse:
        """The problem as a solver sees it; `seen` starts from zero."""
        seen = self.seen = torch.zeros(len(noise.ids), dtype=torch.int64)

        def counted(index: Tensor | slice) -> Predict:
            def predict(u: Tensor, t: Tensor) -> Tensor:
                seen[index] += 1
                return self.eps(u, t)

            return predict

        narrow: Callable[[Tensor], Predict] = counted
        return Reverse(self.sde, counted(slice(None)), noise, narrow)

    def eps(self, u: Tensor, t: Tensor) -> Tensor:
        """``E[eps_d | u_t]``, ``(B, r, *event)``, computed in float64."""
        tail, rho, gain, variance = self._at(t)
        state = u.to(torch.float64)
        y = act_on_phases(gain, state).flatten(1)
        x = self._posterior_mean(y, variance).unflatten(1, self.event)
        return (act_on_phases(tail, state) - act_on_phases(rho, x[:, None])).to(u.dtype)

    def draw(self, t: Tensor, noise: Noise) -> Tensor:
        """Exact draws of ``u_t``, ``(B, k, *event)``, for t ``()``; stream "start"."""
        source, law = noise.stream("start"), self.law
        like = law.means.new_empty(len(noise.ids), law.means.shape[1])
        edges = law.weights.cumsum(0)[:-1]
        place = torch.searchsorted(edges, source.uniform(like[:, :1])[:, 0])
        x = law.means[place] + law.variances.sqrt()[place] * source(like)
        eps = source(like.new_empty(len(like), self.sde.phases, *self.event))
        return self.sde.kernel(t).perturb(x.unflatten(1, self.event), eps)

    def moments(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Mean ``(N, k)`` and covariance ``(N, k, k)`` of ``u_t``, coordinate by coordinate."""
        weights, kernel = self.law.weights[:, None], self.sde.kernel(t)
        mean = (weights * self.law.means).sum(0)
        spread = (weights * (self.law.variances + (self.law.means - mean).square())).sum(0)
        outer = kernel.mean[:, None] * kernel.mean
        return mean[:, None] * kernel.mean, kernel.cov + spread[:, None, None] * outer

    def prepare(self, times: Tensor) -> None:
        """Compute what `eps` needs at ``times (n,)``, in one batch."""
        parts = zip(*(part.unbind(0) for part in self._local(self.sde.kernel(times))), strict=True)
        self._locals.update(zip(times.tolist(), parts, strict=True))

    def _at(self, t: Tensor) -> _Local:
        if t.ndim:
            return self._local(self.sde.kernel(t))
        key = float(t)
        if key not in self._locals:
            with torch.inference_mode(False):
                self.prepare(tensor([key]))
        return self._locals[key]

    def _local(self, kernel: Kernel) -> _Local:
        """Operators ``u -> w_d``, ``x -> rho_d x``, ``u -> y``, and the variance of y's noise."""
        r = self.sde.driven
        gain = kernel.rho[..., None, :] @ kernel.whiten / kernel.snr[..., None, None]
        return kernel.whiten[..., -r:, :], kernel.rho[..., -r:, None], gain, 1 / kernel.snr

    def _posterior_mean(self, y: Tensor, variance: Tensor) -> Tensor:
        """E[x | y], ``(B, N)``, of ``y = x + sqrt(variance) noise``."""
        law = self.law
        noise = variance[:, None, None] if variance.ndim else variance
        apart = y[:, None] - law.means
        total = law.variances + noise
        logits = law.weights.log() - 0.5 * (apart.square() / total + total.log()).sum(-1)
        means = law.means + law.variances / total * apart
        return (torch.softmax(logits, 1)[..., None] * means).sum(1)


@functools.cache
def mixture_problems() -> tuple[Problem, ...]:
    """The mixture under each reference process; made once, for their coefficients are dear."""
    return tuple(Problem(sde, mixture()) for sde in processes())


@functools.cache
def gaussian_problems() -> tuple[Problem, ...]:
    """The Gaussian under each reference process."""
    return tuple(Problem(sde, gaussian()) for sde in processes())


def supported(solver: Solver, problems: Sequence[Problem]) -> list[Problem]:
    """The problems whose process the solver says it can integrate."""
    found = [problem for problem in problems if solver.supports(problem.sde) is None]
    require(bool(found), "supports() refuses every reference process")
    return found


def few(solver: Solver, problems: Sequence[Problem] = ()) -> list[Problem]:
    """One problem, of mixtures unless given, for each number of phases that the solver supports.

    Two at most for an adaptive solver, which needs coefficients for each sample's own time.
    """
    every = supported(solver, problems or mixture_problems())
    one_each = list({problem.sde.phases: problem for problem in reversed(every)}.values())[::-1]
    return one_each[: 2 if solver.adaptive else None]
