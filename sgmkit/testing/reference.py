"""Stand-ins: a small data set, its exact model and a plain solver, for checks that need company."""

import torch
from torch import Tensor

from sgmkit.dataset import Batch, Dataset, Mixture, Split
from sgmkit.model import Model
from sgmkit.noise import Noise
from sgmkit.reverse import Reverse
from sgmkit.sde import LinearSDE
from sgmkit.solver import Grid, StepSolver
from sgmkit.testing.problems import Problem, mixture
from sgmkit.testing.processes import Decay


class ReferenceData(Dataset):
    """The mixture of the exact problems: three blobs in the plane, fresh at every draw."""

    event = (2,)

    def size(self, split: Split) -> None:
        return None

    def draw(self, split: Split, n: int, noise: Noise) -> Batch:
        law, source = self.mixture(), noise.stream(split)
        like = law.means.new_empty(n, 2)
        uniform = source.uniform(like[:, :1])[:, 0]
        place = torch.searchsorted(law.weights.cumsum(0)[:-1], uniform)
        x = law.means[place] + law.variances.sqrt()[place] * source(like)
        return Batch(x.float(), None, source.ids)

    def mixture(self) -> Mixture:
        return mixture()


class ReferenceModel(Model):
    """The exact model of `ReferenceData`."""

    event = (2,)
    t_min = 0.01

    def __init__(self) -> None:
        super().__init__()
        self.problem = Problem(Decay(), mixture())
        self.register_buffer("means", self.problem.law.means)

    def reverse(self, noise: Noise, y: Tensor | None = None) -> Reverse:
        return self.problem.reverse(noise)

    def decode(self, u: Tensor, noise: Noise | None = None) -> Tensor:
        return u[:, 0]

    def start_exactly(self, noise: Noise) -> Tensor:
        end = torch.tensor(self.problem.sde.horizon, dtype=torch.float64)
        return self.problem.draw(end, noise)


class ReferenceSolver(StepSolver):
    """Euler on the probability flow."""

    def step(self, rev: Reverse, u: Tensor, t: Tensor, s: Tensor) -> Tensor:
        return u + (s - t) * rev.velocity(u, t)


class ReferenceGrid(Grid):
    """Equal steps in t."""

    def times(self, sde: LinearSDE, steps: int, t_min: float) -> Tensor:
        return torch.linspace(sde.horizon, t_min, steps + 1, dtype=torch.float64)


STAND_INS: dict[str, type] = {
    "sde": Decay,
    "dataset": ReferenceData,
    "model": ReferenceModel,
    "solver": ReferenceSolver,
    "grid": ReferenceGrid,
}
"""What a component under test is given where it asks for another of this kind."""
