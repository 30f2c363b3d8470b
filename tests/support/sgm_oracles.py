"""Networks that know the answer: what the exact score implies, for each prediction."""

import torch
from support.golden_solvers_data import MIXTURE
from torch import Tensor
from torch.distributions import MultivariateNormal

from sgmkit import Dataset, LinearSDE, Network
from sgmkit.processes import flow_factor, time_at_snr
from sgmkit_exact.exact import Exact
from sgmkit_sgm.sgm import Sgm

EDM_STD = 0.6


def total_cov(sde: LinearSDE, t: Tensor, data_var: float) -> Tensor:
    """Covariance of u_t for N(0, data_var) data, ``(*t, k, k)``, from the transition alone."""
    phi, noise = sde.transition(0 * t, t)
    start = torch.zeros(sde.phases, sde.phases, dtype=torch.float64)
    if len(sde.start_cov):
        start = torch.tensor(sde.start_cov, dtype=torch.float64)
    start[0, 0] += data_var
    return noise + phi @ start @ phi.mT


class Oracle(Network):
    """The output of a perfect network, from the input and the time that `Sgm` passes to it.

    Args:
        sde, law: of the exact score.
        prediction, mixed, matching: as the model's options.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        sde: LinearSDE,
        law: Dataset = MIXTURE,
        prediction: str = "noise",
        mixed: str = "none",
        matching: str = "hsm",
    ) -> None:
        super().__init__(in_shape, out_shape)
        self.sde, self.exact, self.law = sde, Exact(sde, law), law.mixture()
        self.prediction, self.mixed, self.matching = prediction, mixed, matching
        self.share = torch.nn.Parameter(torch.ones((), dtype=torch.float64))
        self.seen: list[tuple[Tensor, Tensor, Tensor | None]] = []

    def forward(self, z: Tensor, c: Tensor, y: Tensor | None = None) -> Tensor:
        self.seen.append((z, c, y))
        edm = self.prediction == "edm"
        var = EDM_STD**2 if edm else self.sde.data_var()
        t = self._time(c.double(), edm)
        scale = total_cov(self.sde, t, var).diagonal(dim1=-2, dim2=-1).sqrt()
        event = self.exact.event
        u = z.double().unflatten(1, (self.sde.phases, event[0]))
        u = u * scale.reshape(*scale.shape, *(1 for _ in event))
        return (self.share * self._answer(u, t).flatten(1, 2)).to(z)

    def _time(self, c: Tensor, edm: bool) -> Tensor:
        if not edm:
            return c * self.sde.horizon
        return time_at_snr(self.sde, -8 * c, 1e-7 * self.sde.horizon)

    def _score(self, u: Tensor, t: Tensor) -> Tensor:
        return self._slope(u, t)[:, -self.sde.driven :]

    def _slope(self, u: Tensor, t: Tensor) -> Tensor:
        """Score of all phases."""
        with torch.enable_grad():
            state = u.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.exact.log_prob(state, t).sum(), state)
        return slope

    def _answer(self, u: Tensor, t: Tensor) -> Tensor:
        sde, r = self.sde, self.sde.driven
        if self.prediction == "R":
            return -_on(flow_factor(sde, t).mT, self._slope(u, t))
        score, kernel = self._score(u, t), sde.kernel(t)
        factor = sde.kernel_from(t)[1] if self.matching == "dsm" else kernel.chol
        own = factor[:, -r:, -r:]
        if self.prediction == "noise":
            return -_on(own.mT, score - self._fixed(u, t))
        eps = -_on(kernel.chol[:, -r:, -r:].mT, score)
        x, a = self._mean(u, t), kernel.rho[:, -1].reshape(-1, *(1 for _ in eps.shape[1:]))
        if self.prediction == "x":
            return x
        if self.prediction == "v":
            return (a * eps - x) / (1 + a.square()).sqrt()
        skip = EDM_STD**2 * a.square() / (1 + EDM_STD**2 * a.square())
        out = EDM_STD / (1 + EDM_STD**2 * a.square()).sqrt()
        return (x - skip * (x + eps / a)) / out

    def _fixed(self, u: Tensor, t: Tensor) -> Tensor:
        """Score of the fixed part of a mixed score."""
        sde, r = self.sde, self.sde.driven
        if self.mixed == "velocity":
            cov = sde.kernel(t).cov[:, -r:, -r:]
            return -_on(torch.linalg.inv(cov), u[:, -r:])
        return torch.zeros_like(u[:, -r:])

    def _mean(self, u: Tensor, t: Tensor) -> Tensor:
        """E[x | u_t], ``(B, 1, *event)``: each component is Gaussian in (x, u)."""
        kernel, law = self.sde.kernel(t), self.law
        mean, rows = kernel.mean, u.flatten(2)
        logits, means = [], []
        for j in range(len(law.weights)):
            logit, coordinates = law.weights[j].log(), []
            for d in range(rows.shape[2]):
                var, mu = law.variances.expand(law.means.shape)[j, d], law.means[j, d]
                cov = kernel.cov + var * mean[:, :, None] * mean[:, None, :]
                apart = rows[:, :, d] - mean * mu
                zero = torch.zeros_like(mean)
                logit = logit + MultivariateNormal(zero, cov).log_prob(apart)
                gain = torch.linalg.solve(cov, mean)
                coordinates.append(mu + var * (gain * apart).sum(1))
            logits.append(logit)
            means.append(torch.stack(coordinates, 1))
        share = torch.softmax(torch.stack(logits, 1), 1)
        return (share[..., None] * torch.stack(means, 1)).sum(1)[:, None]


def _on(matrix: Tensor, u: Tensor) -> Tensor:
    return torch.einsum("bij,bj...->bi...", matrix, u)


def oracle_model(sde: LinearSDE, law: Dataset = MIXTURE, **options) -> Sgm:
    """`Sgm` in float64 around the `Oracle` of its own options, which sees all phases."""
    shared = {k: v for k, v in options.items() if k in ("prediction", "mixed", "matching")}

    def network(in_shape, out_shape):
        return Oracle(in_shape, out_shape, sde, law, **shared)

    event = tuple(law.mixture().means.shape[1:])
    return Sgm(event, sde, network, sigma_data=EDM_STD, **({"inputs": "phases"} | options))
