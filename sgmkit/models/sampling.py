"""Samples by number, in batches that change nothing; and the way of single samples, looked at."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sgmkit.errors import Incompatible
from sgmkit.models.model import Images, Model, Samples, Start
from sgmkit.noise import SeededNoise
from sgmkit.solvers import Last, Reverse, Solver, finish

NUMBERS = {"cpu": 1 << 20, "cuda": 1 << 24}
"""State entries in a batch, by device: memory and speed only. 4,096 samples at most."""


@dataclass(frozen=True)
class SamplingRules:
    """How a sample begins and ends, whatever solves in between.

    Args:
        last: rule for the way from the end of the grid to t = 0.
        start: whether u_T is drawn from the prior or from its exact law.
        images: the mean of the law that a decoder states, or a draw from it.
    """

    last: Last = "none"
    start: Start = "prior"
    images: Images = "mean"


DEFAULT = SamplingRules()


def batch_size(model: Model) -> int:
    """How many samples to make at a time."""
    device = model.state_like().device.type
    entries = math.prod(model.state_event())
    return max(1, min(4096, NUMBERS.get(device, NUMBERS["cuda"]) // entries))


def sample_batches(
    model: Model,
    n: int,
    solver: Solver,
    grid: Tensor,
    seed: int,
    rules: SamplingRules = DEFAULT,
    *,
    batch: int | None = None,
) -> Iterator[Samples]:
    """Samples 0 to n - 1 of ``seed``, some at a time; each depends on its number alone."""
    size = batch or batch_size(model)
    for low in range(0, n, size):
        ids = range(low, min(low + size, n))
        noise = SeededNoise(seed, ids)
        yield model.sample(
            len(ids),
            solver,
            grid,
            noise,
            last=rules.last,
            start=rules.start,
            images=rules.images,
        )


def gather(parts: Iterator[Samples]) -> Samples:
    """All parts as one, the arrays on the CPU."""
    found = list(parts)
    names = ("x", "u", "start", "nfe")
    whole = (torch.cat([getattr(part, name).cpu() for part in found]) for name in names)
    return Samples(*whole, decoder_calls=max(part.decoder_calls for part in found))


def path_of(
    model: Model,
    number: int,
    solver: Solver,
    grid: Tensor,
    seed: int,
    rules: SamplingRules = DEFAULT,
) -> tuple[Tensor, Tensor]:
    """The way of one sample: times ``(m,)``, decreasing, and states ``(m, k, *event)``.

    The start, the states at which the network was asked, less any at a time already passed, and
    the end; a sample alone goes the way that it goes in any batch.
    """
    noise = SeededNoise(seed, [number])
    with torch.inference_mode():
        problem = model.reverse(noise.stream("step"))
        if reason := solver.supports(problem.sde):
            raise Incompatible(reason)
        first = model.start(noise, rules.start)
        times, states = [float(grid[0])], [first[0].cpu()]

        def watched(u: Tensor, t: Tensor) -> Tensor:
            now = float(t.flatten()[0])
            if now < times[-1]:
                times.append(now)
                states.append(u[0].cpu())
            return problem.eps(u, t)

        rev = Reverse(problem.sde, watched, problem.noise)
        u = solver.solve(rev, first, grid)
        u = finish(rev, u, grid[-1], rules.last)
        end = float(grid[-1]) if rules.last == "none" else 0.0
    way = [(t, state) for t, state in zip(times, states, strict=True) if t > end]
    told = torch.tensor([*(t for t, _ in way), end], dtype=torch.float64)
    return told, torch.stack([*(state for _, state in way), u[0].cpu()])


def frames(
    model: Model, ways: Sequence[tuple[Tensor, Tensor]], count: int
) -> tuple[list[float], Tensor]:
    """Pictures for a strip: times, and data ``(len(ways), count, *event)``.

    The times are those of the first way, evenly by number; other ways show their nearest.
    """
    first = ways[0][0]
    places = torch.linspace(0, len(first) - 1, min(count, len(first))).round().long()
    wanted, like = first[places], model.state_like()
    rows = [states[(times[:, None] - wanted).abs().argmin(0)] for times, states in ways]
    with torch.inference_mode():
        return wanted.tolist(), torch.stack([model.decode(row.to(like)).cpu() for row in rows])
