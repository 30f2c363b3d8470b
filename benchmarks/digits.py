"""Handwritten digits, sampled with the exact score of their empirical law, as a picture.

No network is trained. The score is that of the 1,500 training digits, each blurred by a little
noise, so that a row of the picture shows the effect of a process, a solver and a budget, and of
nothing else. The columns share their start and their noise. The last row is test data. Takes less
than two minutes.

    python benchmarks/digits.py [--out report/digits.png] [--sde vp,cld] [--solvers euler,ssem,ddim]
"""

import argparse
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from sgmkit import Model, SeededNoise, Solver, create, time_grid
from sgmkit._util.files import write_atomic
from sgmkit.errors import UserError
from sgmkit.registry.options import parse_list

Strip = tuple[str, Tensor]
"""A label and images ``(n, 8, 8)`` in [-1, 1]."""


def names(text: str) -> list[str]:
    """The components of a comma-separated list, as one writes them."""
    return [":".join((name, *map("=".join, options.items()))) for name, options in parse_list(text)]


def strips(args: argparse.Namespace) -> Iterator[Strip]:
    """A row for each process, solver and budget, then one of data."""
    data, noise = create("dataset", args.data), SeededNoise(args.seed, range(args.columns))
    for sde in names(args.sde):
        model: Model = create("model", "exact", sde=sde, data=data)
        for text in names(args.solvers):
            solver: Solver = create("solver", text)
            if reason := solver.supports(model.sde):
                print(f"{sde} {text}: {reason}")
                continue
            for budget in map(int, args.nfe.split(",")[: 1 if solver.adaptive else None]):
                yield sample(model, solver, f"{sde} {text}", budget, args)
    yield "test data", data.draw("test", args.columns, noise.stream("data")).x[:, 0]


def sample(
    model: Model, solver: Solver, label: str, budget: int, args: argparse.Namespace
) -> Strip:
    """A row of samples; its label tells the evaluations that were counted."""
    steps = (budget - (args.last == "mean")) // solver.cost
    grid = time_grid(args.grid, model.sde, steps, model.t_min)
    noise = SeededNoise(args.seed, range(args.columns))
    samples = model.sample(args.columns, solver, grid, noise, last=args.last)
    return f"{label}, {float(samples.nfe.double().mean()):.0f} NFE", samples.x[:, 0]


def picture(rows: Sequence[Strip], title: str) -> bytes:
    """A PNG: a labelled row for each strip, one pixel of white between images."""
    from matplotlib.figure import Figure

    images = torch.stack([strip.float() for _, strip in rows]).clamp(-1, 1)
    tiles = torch.nn.functional.pad(images, (0, 1, 0, 1), value=torch.nan)
    down, across, height, width = tiles.shape
    sheet = tiles.permute(0, 2, 1, 3).reshape(down * height, across * width)[:-1, :-1]
    drawn = Figure(figsize=(2.0 + 0.5 * across, 0.5 + 0.5 * down), layout="constrained")
    panel = drawn.subplots()
    panel.imshow(sheet, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    middles = [height * n + (height - 2) / 2 for n in range(down)]
    panel.set_yticks(middles, [label for label, _ in rows], fontsize=9)
    panel.set_xticks([])
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    panel.set_title(title, fontsize=9)
    data = io.BytesIO()
    drawn.savefig(data, format="png", dpi=150)
    return data.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="report/digits.png", metavar="FILE.png")
    parser.add_argument("--data", default="digits", help="a data set of images")
    parser.add_argument("--sde", default="vp,cld", help="processes with options")
    parser.add_argument("--solvers", default="euler,ssem,ddim", help="solvers with options")
    parser.add_argument("--nfe", default="20,50", help="network evaluations, the last step's too")
    parser.add_argument("--grid", default="logsnr", help="time grid")
    parser.add_argument("--last", default="mean", choices=("none", "mean"), help="last-step rule")
    parser.add_argument("--columns", type=int, default=12, help="samples")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="the first budget only")
    args = parser.parse_args()
    if args.quick:
        args.nfe = args.nfe.split(",")[0]
    torch.set_num_threads(1)
    try:
        rows = list(strips(args))
    except UserError as error:
        parser.error(str(error))
    out = Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    title = f"{args.data}: exact score, {args.grid} grid, last step {args.last}, seed {args.seed}"
    write_atomic(out, picture(rows, title))
    print(out)


if __name__ == "__main__":
    main()
