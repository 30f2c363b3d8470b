"""Numbered samples in batches, and the paths of single samples from noise to data.

A sample depends on its number and the seed, and not on the batch that it is drawn in.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sgmkit.errors import Incompatible
from sgmkit.models.model import Images, Model, Samples, Start
from sgmkit.noise import SeededNoise
from sgmkit.solvers import Last, Reverse, Solver, finish

BATCH_ENTRIES = {"cpu": 1 << 20, "cuda": 1 << 24}
"""Default size of a batch by device, in entries of one phase. It decides memory and speed only."""
BATCH_SAMPLES = 4096
"""Largest default number of samples in a batch."""


@dataclass(frozen=True)
class SamplingRules:
    """How sampling begins and ends, whichever solver works in between.

    Args:
        last: last-step rule, for the interval between the end of the grid and t = 0.
        start: where u_T comes from: the prior, or the exact law of u_T.
        images: what a decoder that states a law of data gives: its mean, or a sample.
    """

    last: Last = "none"
    start: Start = "prior"
    images: Images = "mean"


DEFAULT = SamplingRules()


def batch_size(model: Model) -> int:
    """The default number of samples in a batch."""
    device = model.state_like().device.type
    entries = math.prod(model.state_event())
    return max(1, min(BATCH_SAMPLES, BATCH_ENTRIES.get(device, BATCH_ENTRIES["cuda"]) // entries))


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
    """Draw the samples 0 to n - 1 of a seed, batch by batch.

    Args:
        model, solver, grid: see `Model.sample`.
        n: number of samples.
        seed: of all noise; a sample depends on the seed and its number alone.
        rules: how sampling begins and ends.
        batch: number of samples in a batch; None for `batch_size`.
    """
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
    """Join batches of samples, with all tensors on the CPU."""
    batches = list(parts)
    names = ("x", "u", "start", "nfe")
    whole = (torch.cat([getattr(batch, name).cpu() for batch in batches]) for name in names)
    return Samples(*whole, decoder_calls=max(batch.decoder_calls for batch in batches))


def path_of(
    model: Model,
    number: int,
    solver: Solver,
    grid: Tensor,
    seed: int,
    rules: SamplingRules = DEFAULT,
) -> tuple[Tensor, Tensor]:
    """The path of one sample from noise to data, which is the same as in any batch.

    Args:
        number: of the sample, among those of `sample_batches`.
        model, solver, grid, seed, rules: see `sample_batches`.

    Returns:
        Decreasing times ``(m,)`` float64 and states ``(m, k, *event)``: the start, the states at
        which the network was evaluated (a solver that goes back in time adds none), and the end.
    """
    noise = SeededNoise(seed, [number])
    with torch.inference_mode():
        problem = model.reverse(noise.stream("step"))
        if reason := solver.supports(problem.sde):
            raise Incompatible(reason)
        first = model.start(noise, rules.start)
        times, states = [float(grid[0])], [first[0].cpu()]

        def recorded(u: Tensor, t: Tensor) -> Tensor:
            now = float(t.flatten()[0])
            if now < times[-1]:
                times.append(now)
                states.append(u[0].cpu())
            return problem.eps(u, t)

        rev = Reverse(problem.sde, recorded, problem.noise)
        u = solver.solve(rev, first, grid)
        u = finish(rev, u, grid[-1], rules.last)
        end = float(grid[-1]) if rules.last == "none" else 0.0
    path = [(t, state) for t, state in zip(times, states, strict=True) if t > end]
    path.append((end, u[0].cpu()))
    path_times = torch.tensor([t for t, _ in path], dtype=torch.float64)
    return path_times, torch.stack([state for _, state in path])


def frames(
    model: Model, paths: Sequence[tuple[Tensor, Tensor]], count: int
) -> tuple[list[float], Tensor]:
    """Pictures of paths at common times.

    Args:
        model: decodes the states.
        paths: times and states of each, see `path_of`.
        count: largest number of times.

    Returns:
        Times, evenly spaced by their number in the first path; and decoded states ``(len(paths),
        count, *event)``, which in the other paths are those at the nearest times.
    """
    first = paths[0][0]
    numbers = torch.linspace(0, len(first) - 1, min(count, len(first))).round().long()
    shown, like = first[numbers], model.state_like()
    rows = [states[(times[:, None] - shown).abs().argmin(0)] for times, states in paths]
    with torch.inference_mode():
        return shown.tolist(), torch.stack([model.decode(row.to(like)).cpu() for row in rows])
