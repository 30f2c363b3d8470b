"""Where a learned score is wrong: its error against the exact score of the data, by noise level.

The network's noise prediction is compared with the exact noise of the training items (each a point
mass), at states made from training items and from test items, over a range of log-SNR that all
processes share. A network that generalises must differ from the score of the training items where
the noise is low; there the error on test items says whether the difference is good. The last column
is the share of the error in the bound on KL, ``1/2 e^T W_lik e`` per coordinate, integrated over
the interval. Takes less than two minutes for a run on digits.

    python benchmarks/score_error.py [RUN ...] [--items 512] [--out FILE.png]
"""

import argparse
import io
import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from sgmkit import BadValue, Dataset, LinearSDE, Model, SeededNoise, create
from sgmkit._util.files import write_atomic
from sgmkit.processes import time_at_snr, weight_matrix, weighted_error
from sgmkit.training.run import Run, find_runs

EDGES = torch.linspace(10.0, -8.0, 13, dtype=torch.float64)
"""Of the intervals of log-SNR, high to low."""


@dataclass(frozen=True)
class Line:
    """Errors of one run on one split, one for each interval: per coordinate."""

    run: str
    sde: str
    split: str
    square: list[float]
    nats: list[float]


def compare(run: Run, split: str, items: int) -> Line:
    """Mean squared noise error and its share of the KL bound, by interval of log-SNR."""
    data: Dataset = run.experiment.dataset
    model: Model = run.load()
    sde: LinearSDE = model.sde
    exact = create("model", "exact", sde=sde, data=data, bandwidth=0.0, dtype="float32")
    n = min(items, data.size(split) or items)
    noise = SeededNoise(0, range(n))
    x = data.draw(split, n, noise.stream("items")).x
    least = float(sde.kernel(torch.tensor(sde.horizon, dtype=torch.float64)).snr.log())
    square, nats = [], []
    for place, (high, low) in enumerate(pairwise(EDGES)):
        if float(low) < least:
            square.append(math.nan)
            nats.append(math.nan)
            continue
        ends = time_at_snr(sde, torch.stack([high, low]), 1e-7 * sde.horizon)
        middle = time_at_snr(sde, (high + low)[None] / 2, 1e-7 * sde.horizon)[0]
        error, kernel = gap(model, exact, x, middle, noise.stream(f"{place}"))
        square.append(float(error.square().mean()))
        weight = weight_matrix(sde, middle, kernel, "likelihood")
        size = math.prod(data.event)
        nats.append(float(weighted_error(weight, error).mean() / size * (ends[1] - ends[0])))
    part = run.experiment.model.innermost("sde")
    return Line(run.name, part.label if part else "", split, square, nats)


def gap(
    model: Model, exact: Model, x: Tensor, t: Tensor, noise: SeededNoise
) -> tuple[Tensor, object]:
    """Learned less exact noise ``(n, r, *event)`` at ``t ()``, and the kernel there."""
    rev, true = model.reverse(noise), exact.reverse(noise)
    kernel = rev.sde.kernel(t)
    u = kernel.perturb(x, noise(torch.empty(len(x), rev.sde.phases, *x.shape[1:])))
    with torch.inference_mode():
        return rev.eps(u, t) - true.eps(u, t), kernel


def table(lines: list[Line]) -> None:
    middles = [f"{float(a + b) / 2:.1f}" for a, b in pairwise(EDGES)]
    for title, name in (
        ("mean squared noise error per coordinate", "square"),
        ("share of the KL bound, nats per coordinate", "nats"),
    ):
        print(f"\n{title}, by log-SNR (data without noise is left)")
        print("  ".join(["sde".ljust(10), "items", *(m.rjust(7) for m in middles), "    sum"]))
        for line in lines:
            values = getattr(line, name)
            total = sum(v for v in values if not math.isnan(v))
            cells = ("      -" if math.isnan(v) else f"{v:7.4f}" for v in values)
            print("  ".join([line.sde.ljust(10), line.split.ljust(5), *cells, f"{total:7.4f}"]))


def picture(lines: list[Line], out: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, split in zip(figure.subplots(1, 2, sharey=True), ("train", "test"), strict=True):
        for line in lines:
            if line.split == split:
                middles = ((EDGES[:-1] + EDGES[1:]) / 2).tolist()
                axes.plot(middles, line.square, marker="o", markersize=3, label=line.sde)
        axes.set(title=f"states from {split} items", xlabel="log-SNR", yscale="log")
        axes.invert_xaxis()
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("mean squared noise error per coordinate")
    figure.axes[0].legend()
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=120)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(out, data.getvalue())
    print(out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*")
    parser.add_argument("--items", type=int, default=512)
    parser.add_argument("--out", default="")
    options = parser.parse_args()
    chosen = [Run(path) for path in options.runs] or find_runs()
    if not chosen:
        raise BadValue("no run under runs/; sgmkit train makes one")
    errors = [compare(run, split, options.items) for run in chosen for split in ("train", "test")]
    table(errors)
    if options.out:
        picture(errors, Path(options.out))
