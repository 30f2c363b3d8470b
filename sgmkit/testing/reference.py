"""Stand-ins: a small data set, its exact model and a plain solver, for checks that need company."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from sgmkit.convergence.problems import Problem, mixture
from sgmkit.convergence.reference_processes import Decay
from sgmkit.data import Batch, Dataset, Mixture, Split
from sgmkit.evaluation import Extractor
from sgmkit.models import Autoencoder, Latents, Model, Network, bounded
from sgmkit.noise import Noise
from sgmkit.processes import LinearSDE
from sgmkit.solvers import Grid, Reverse, StepSolver


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
    trainable = False

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


class ReferenceNetwork(Network):
    """One hidden layer on the flattened input and the time, for any shapes."""

    def __init__(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> None:
        super().__init__(in_shape, out_shape)
        self.hidden = nn.Linear(math.prod(in_shape) + 1, 16)
        self.leave = nn.Linear(16, math.prod(out_shape))

    def forward(self, z: Tensor, c: Tensor, y: Tensor | None = None) -> Tensor:
        inputs = torch.cat([z.flatten(1), c[:, None].to(z)], 1)
        return self.leave(torch.tanh(self.hidden(inputs))).unflatten(1, self.out_shape)


class ReferenceAutoencoder(Autoencoder):
    """Two scales of latents, the first of two groups, each a linear map of the data and of those
    before it; and one hidden layer back. For any shapes."""

    def __init__(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> None:
        super().__init__(in_shape, out_shape)
        axes = len(in_shape) - 1
        self.scales = ((2, *[2] * axes), (1, *[4] * axes))
        shapes = ((1, *[2] * axes), (1, *[2] * axes), (1, *[4] * axes))
        self.groups = nn.ModuleList()
        inputs = math.prod(in_shape)
        for shape in shapes:
            size = math.prod(shape)
            moments = nn.Linear(inputs, 2 * size)
            self.groups.append(nn.Sequential(moments, nn.Unflatten(1, (2, *shape))))
            inputs += size
        self.hidden = nn.Linear(inputs - math.prod(in_shape), 16)
        self.leave = nn.Linear(16, math.prod(out_shape))

    def encode(self, x: Tensor, noise: Noise) -> tuple[Latents, ...]:
        inputs, drawn = x.flatten(1), list[tuple[Tensor, Tensor, Tensor]]()
        for group in self.groups:
            mean, std = bounded(*group(inputs).unbind(1))
            z = mean + std * noise(mean)
            drawn.append((z, mean, std))
            inputs = torch.cat([inputs, z.flatten(1)], 1)
        coarse = (torch.cat(pair, 1) for pair in zip(*drawn[:2], strict=True))
        return Latents(*coarse, groups=(1, 1)), Latents(*drawn[2], groups=(1,))

    def decode(self, z: Sequence[Tensor]) -> Tensor:
        latents = torch.cat([each.flatten(1) for each in z], 1)
        return self.leave(torch.tanh(self.hidden(latents))).unflatten(1, self.out_shape)


class ReferenceExtractor(Extractor):
    """Points of the plane as they are; their classes are the blobs of `ReferenceData`."""

    event = (2,)
    width = 2
    classes = 3

    @property
    def fingerprint(self) -> str:
        return "the identity"

    def features(self, x: Tensor) -> Tensor:
        return x.float()

    def head(self, features: Tensor) -> Tensor:
        apart = features[:, None] - mixture().means.float()
        return -apart.square().sum(-1) / 0.3


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
    "network": ReferenceNetwork,
    "autoencoder": ReferenceAutoencoder,
    "model": ReferenceModel,
    "solver": ReferenceSolver,
    "grid": ReferenceGrid,
    "extractor": ReferenceExtractor,
}
"""What a component under test is given where it asks for another of this kind."""

_VECTOR = {"in_shape": (4,), "out_shape": (2,)}
_IMAGE = {"in_shape": (4, 8, 8), "out_shape": (2, 8, 8)}
_POINT = {"in_shape": (2,), "out_shape": (4,)}
_PICTURE = {"in_shape": (2, 8, 8), "out_shape": (3, 8, 8)}
_POINTS = {"event": (2,), "likelihood": "continuous", "levels": None}
_DIGITS = {"event": (1, 8, 8), "likelihood": "discretised", "levels": 17}
SUPPLIED: dict[str, tuple[Mapping[str, object], ...]] = {
    "network": (_IMAGE, _VECTOR),
    "autoencoder": (_PICTURE, _POINT),
    "model": (_POINTS, _DIGITS),
}
"""What a component under test is given for parameters that the core supplies, in order of trial.

The shapes of a network are those for two phases and two channels, of which one phase is driven.
An autoencoder says of each pixel or coordinate something of another size than the data. A model is
told what `Dataset` states of points in the plane, or of small pictures of levels.
"""
