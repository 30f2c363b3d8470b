r"""Exact problems: a Gaussian mixture under any linear SDE, with its score in closed form.

The whitened state ``w = L^{-1} u = rho x + eps`` says about one coordinate x of the data what the
scalar ``y = rho . w / |rho|^2 = x + N(0, 1/|rho|^2)`` says. A mixture under any process is
therefore a mixture seen through a scalar channel, and ``E[eps_d | u] = w_d - rho_d E[x | y]``. No
plugin takes part in this.
"""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sgmkit._util.memo import Memo
from sgmkit.convergence.outcomes import require
from sgmkit.convergence.probes import SilentNoise
from sgmkit.convergence.reference_processes import processes
from sgmkit.data import Mixture
from sgmkit.noise import Noise, SeededNoise
from sgmkit.processes import Kernel, LinearSDE, act_on_phases, time_at_snr
from sgmkit.solvers import Predict, Reverse, Solver, integrate

Interval = tuple[float, float]
"""Log signal-to-noise ratios between which errors arise."""
INTERVAL: Interval = (-3.0, 4.0)
"""From noise to data, as far as any process lets orders show within 512 steps.

Beyond the upper end the auxiliary phases of a process of three phases are so stiff that explicit
methods need more steps than that. The conformance suite measures here.
"""
WIDE_INTERVAL: Interval = (-6.0, 6.0)
"""From noise to nearly data, within the range of every built-in process: where tables of
convergence (``sgmkit bench --convergence``) are measured."""
LOWEST = 1e-6
"""The earliest time that is used, in units of the horizon."""
TIGHT = 1e-9
"""Tolerances of the reference solution of the probability flow."""

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


def flattened(law: Mixture) -> Mixture:
    """The same law in float64, with data of any shape flattened to vectors: ``means (J, N)``."""
    means = law.means.double()
    variances = law.variances.double().expand(means.shape)
    return Mixture(law.weights.double(), means.flatten(1), variances.flatten(1))


def first_coordinate(law: Mixture) -> Mixture:
    """The law of the first coordinate; components that become equal are joined."""
    parts = torch.cat([law.means[:, :1], law.variances[:, :1]], 1)
    parts, component = torch.unique(parts.round(decimals=9), dim=0, return_inverse=True)
    weights = law.weights.new_zeros(len(parts)).index_add_(0, component, law.weights)
    return Mixture(weights, parts[:, :1], parts[:, 1:])


class Problem:
    """The reverse process of a mixture, with calls counted where they arrive.

    Args:
        sde: the process.
        law: of the data, flattened: ``means (J, N)``.
        event: shape of the data; N numbers. By default ``(N,)``.
        interval: of log-SNR, in which errors arise.
        seed: of the exact draws that `flow` starts from.

    Attributes:
        seen: calls that the predictor of the last `reverse` received for each row, int64 ``(B,)``.
    """

    def __init__(
        self,
        sde: LinearSDE,
        law: Mixture,
        event: tuple[int, ...] = (),
        interval: Interval = INTERVAL,
        seed: int = 0,
    ) -> None:
        self.sde, self.law, self.interval, self.seed = sde, law, interval, seed
        self.event = event or tuple(law.means.shape[1:])
        self.seen = torch.zeros(0, dtype=torch.int64)
        self._locals: Memo[float, _Local] = Memo()
        self._grids: dict[int, Tensor] = {}
        self._flows: dict[tuple[float, ...], tuple[Tensor, Tensor]] = {}

    def of(self, law: Mixture, event: tuple[int, ...] = ()) -> "Problem":
        """The same process and grids with other data; coefficients are shared."""
        other = Problem(self.sde, law, event, self.interval, self.seed)
        other._grids, other._locals = self._grids, self._locals
        return other

    @functools.cached_property
    def log_snr(self) -> tuple[float, float]:
        """The interval in which errors arise, less what the process does not reach."""
        ends = tensor([1.0, LOWEST]) * self.sde.horizon
        least, most = self.sde.kernel(ends).snr.log().tolist()
        return max(self.interval[0], least), min(self.interval[1], most)

    @torch.inference_mode(False)
    def grid(self, steps: int) -> Tensor:
        """``(steps + 1,)`` times at equal steps in log-SNR over the interval."""
        if steps not in self._grids:
            goals = torch.linspace(*self.log_snr, steps + 1, dtype=torch.float64)
            times = time_at_snr(self.sde, goals, LOWEST * self.sde.horizon)
            if steps > 1:  # the same ends to the last bit: all grids share a reference solution
                times[[0, -1]] = self.grid(1)
            self.prepare(times)
            self._grids[steps] = times
        return self._grids[steps].clone()

    def uneven(self, steps: int) -> Tensor:
        """``(steps + 1,)`` times that alternate short and three times longer steps in log-SNR."""
        quarters = self.grid(2 * steps)
        return torch.cat(
            [torch.stack([quarters[:-1:4], quarters[1::4]], 1).flatten(), quarters[-1:]]
        )

    def flow(self, grid: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Exact draws at the first time of ``grid``, and their probability flow at its last.

        Each is ``(count, k, *event)``. The flow is solved to `TIGHT` tolerances, once for a pair
        of times.
        """
        ends = float(grid[0]), float(grid[-1])
        if (count, *ends) not in self._flows:
            start = self.draw(grid[0], SeededNoise(self.seed, range(count)))
            rev = self.reverse(SilentNoise(count))
            end = integrate(lambda rows: rev.select(rows).velocity, start, *ends, TIGHT, TIGHT)
            self._flows[count, *ends] = start, end
        return self._flows[count, *ends]

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
        tail, rho, gain, variance = self._at(t)  # w_d = tail u, y = gain u
        state = u.to(torch.float64)
        y = act_on_phases(gain, state).flatten(1)
        x = self._posterior_mean(y, variance).unflatten(1, self.event)
        return (act_on_phases(tail, state) - act_on_phases(rho, x[:, None])).to(u.dtype)

    def draw(self, t: Tensor, noise: Noise) -> Tensor:
        """Exact draws of ``u_t``, ``(B, k, *event)``, for t ``()``; stream "start"."""
        source, law = noise.stream("start"), self.law
        like = law.means.new_empty(len(noise.ids), law.means.shape[1])
        edges = law.weights.cumsum(0)[:-1]
        component = torch.searchsorted(edges, source.uniform(like[:, :1])[:, 0])
        x = law.means[component] + law.variances.sqrt()[component] * source(like)
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
        with torch.inference_mode(False):
            columns = [part.unbind(0) for part in self._local(self.sde.kernel(times))]
        self._locals.pin(dict(zip(times.tolist(), zip(*columns, strict=True), strict=True)))

    def _at(self, t: Tensor) -> _Local:
        if t.ndim:
            return self._local(self.sde.kernel(t))
        return self._locals.get(float(t), lambda: self._local(self.sde.kernel(tensor(float(t)))))

    def _local(self, kernel: Kernel) -> _Local:
        """Operators ``u -> w_d``, ``x -> rho_d x``, ``u -> y``, and the variance of y's noise."""
        r = self.sde.driven
        # y = rho . (L^{-1} u) / |rho|^2, with noise of variance 1 / |rho|^2
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
    """The mixture under each reference process; built once, because coefficients take time."""
    return tuple(Problem(sde, mixture()) for sde in processes())


@functools.cache
def gaussian_problems() -> tuple[Problem, ...]:
    """The Gaussian under each reference process."""
    return tuple(Problem(sde, gaussian()) for sde in processes())


def supported(solver: Solver, problems: Sequence[Problem]) -> list[Problem]:
    """The problems whose process the solver says it can integrate."""
    matches = [problem for problem in problems if solver.supports(problem.sde) is None]
    require(bool(matches), "supports() refuses every reference process")
    return matches


def few(solver: Solver, problems: Sequence[Problem] = ()) -> list[Problem]:
    """One of ``problems`` for each number of phases that the solver supports.

    Two at most for an adaptive solver, which needs coefficients at each sample's own time.

    Args:
        problems: to choose from; by default the mixture under each reference process.
    """
    every = supported(solver, problems or mixture_problems())
    one_each = list({problem.sde.phases: problem for problem in reversed(every)}.values())[::-1]
    return one_each[: 2 if solver.adaptive else None]
