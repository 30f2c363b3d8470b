"""The cost of sampling beyond the network, on one thread, all figures from one run.

The first table is the time of `Model.sample` over that of its network evaluations, for networks
that take at least 5 ms: an MLP on 2-D data and two small convolutional networks on images. The
second is microseconds per step beyond a trivial network, for small states. Noise has a column of
its own, beside the time of `torch.randn` for as many numbers. Takes less than two minutes.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from sgmkit import Model, Reverse, SeededNoise, create, time_grid

SOLVERS = ("euler", "ssem", "heun", "ddim")
SDES = ("vp", "cld")


class Timed(Model):
    """A model whose network is timed, so that the rest of sampling is what is left."""

    def __init__(self, sde: str, event: tuple[int, ...], network: Callable[[Tensor], Tensor]):
        super().__init__()
        self.sde, self.event, self.network = create("sde", sde), event, network
        self.spent = [0.0]  # a list: setting an attribute of a module costs as much as a step

    def state_like(self):
        return torch.empty(0)

    def reverse(self, noise, y=None):
        return Reverse(self.sde, self.predict, noise)

    def predict(self, u, t):
        begin = time.perf_counter()
        out = self.network(u[:, -1:])
        self.spent[0] += time.perf_counter() - begin
        return out

    def decode(self, u, noise=None):
        return u[:, 0]


class TimedNoise(SeededNoise):
    """Noise that adds up the time it takes."""

    spent = 0.0

    def __call__(self, like):
        begin = time.perf_counter()
        out = super().__call__(like)
        TimedNoise.spent += time.perf_counter() - begin
        return out


@dataclass(frozen=True)
class Cost:
    """Seconds of one call of `Model.sample`: in all, in the network, in the noise."""

    total: float
    network: float
    noise: float


def sample(model: Timed, solver: str, batch: int, steps: int) -> Cost:
    grid = time_grid("logsnr", model.sde, steps, model.t_min)
    noise, chosen = TimedNoise(0, range(batch)), create("solver", solver)
    model.spent[0] = TimedNoise.spent = 0.0
    begin = time.perf_counter()
    model.sample(batch, chosen, grid, noise)
    return Cost(time.perf_counter() - begin, model.spent[0], TimedNoise.spent)


def mlp() -> Callable[[Tensor], Tensor]:
    wide = nn.Sequential(nn.Linear(2, 512), nn.SiLU(), nn.Linear(512, 512), nn.SiLU())
    net = nn.Sequential(wide, nn.Linear(512, 512), nn.SiLU(), nn.Linear(512, 2))
    return lambda u: net(u.flatten(1)).unflatten(1, (1, 2))


def convolutions(width: int) -> Callable[[Tensor], Tensor]:
    widths = (3, width, width, width, width, 3)
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.SiLU()]
    net = nn.Sequential(*layers[:-1])
    return lambda u: net(u[:, 0])[:, None]


def ratios(repeats: int, steps: int) -> None:
    rows = []
    image = (3, 32, 32)
    cases = [(512, (2,), mlp()), *((8, image, convolutions(width)) for width in (48, 96))]
    for batch, event, network in cases:
        for solver in SOLVERS:
            for sde in SDES:
                model = Timed(sde, event, network)
                sample(model, solver, batch, 3)
                costs = [sample(model, solver, batch, steps) for _ in range(repeats)]
                calls = steps * create("solver", solver).cost
                call = statistics.median(1e3 * cost.network / calls for cost in costs)
                whole = [cost.total / cost.network for cost in costs]
                quiet = [(cost.total - cost.noise) / cost.network for cost in costs]
                shape = str((batch, model.sde.phases, *event))
                three = (f"{v:.3f}" for v in (min(whole), statistics.median(whole), max(whole)))
                rows.append((solver, sde, shape, f"{call:.1f}", *three, f"{min(quiet):.3f}"))
    header = ("solver", "sde", "state", "ms/call", "least", "median", "most", "least, no noise")
    table(f"sample / network calls, {steps} steps", header, rows)


def microseconds(repeats: int) -> None:
    rows = []
    for batch, event in ((256, (2,)), (16, (3, 32, 32))):
        for solver in SOLVERS:
            for sde in SDES:
                model = Timed(sde, event, lambda u: u * 0.5)
                short, long = (
                    [sample(model, solver, batch, steps) for _ in range(repeats)]
                    for steps in (20, 220)
                )
                rest = per_step(short, long, lambda c: c.total - c.network - c.noise)
                noise = per_step(short, long, lambda c: c.noise)
                plain = randn(batch, model.sde.phases, solver, event)
                shape = str((batch, *event))
                rows.append((solver, sde, shape, f"{rest:.0f}", f"{noise:.0f}", f"{plain:.0f}"))
    header = ("solver", "sde", "data", "us/step", "noise us/step", "torch.randn us/step")
    table("beyond a trivial network and the noise", header, rows)


def per_step(short: list[Cost], long: list[Cost], part: Callable[[Cost], float]) -> float:
    """Microseconds that 200 more steps take, each: set-up cancels. The least of all repeats."""
    return max(0.0, (min(map(part, long)) - min(map(part, short))) / 200 * 1e6)


def randn(batch: int, phases: int, solver: str, event: tuple[int, ...]) -> float:
    """Microseconds that torch.randn takes for the numbers one step draws."""
    drawn = {"euler": [1], "ssem": [phases]}.get(solver, [])
    least = float("inf")
    for _ in range(30):
        begin = time.perf_counter()
        for _ in range(20):
            for width in drawn:
                torch.randn(batch, width, *event)  # noqa: TID251 - what the comparison is with
        least = min(least, time.perf_counter() - begin)
    return least / 20 * 1e6


def table(title: str, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    print(f"\n{title}")
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        words = (
            c.ljust(w) if i < 3 else c.rjust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(words).rstrip())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    ratios(options.repeats, options.steps)
    microseconds(options.repeats)
