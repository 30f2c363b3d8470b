"""Latent models against the same autoencoder under N(0, I), after the same number of steps.

Trains a run for each prior by a recipe, or resumes it, and compares likelihoods. All runs see the
same test items, binarised in the same way, with the same noise, so that gains and their intervals
are paired. With --fid it compares samples instead, drawn from each prior with one solver. Takes an
hour and more.

    python benchmarks/latent.py [--priors normal,vp,cld] [--steps 5000] [--items 1000] [--out DIR]
    python benchmarks/latent.py --recipe recipes/digits-lsgm.toml --steps 1500 --fid
"""

import argparse
import json
import math
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from sgmkit import Model, SeededNoise
from sgmkit.cli.app import main
from sgmkit.data import binarise
from sgmkit.training.run import Run

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "mnist-lsgm-small.toml"
CHUNK = 250
SMOOTH = 10
"""Lines of the log in a point of the curve."""


def train(prior: str, options: argparse.Namespace) -> Run:
    """A finished run."""
    out = Path(options.out) / "runs" / prior
    own = ["--model", "lsgm:prior=normal"] if prior == "normal" else ["--sde", prior]
    sets = [word for edit in options.set for word in ("--set", edit)]
    words = ["--recipe", options.recipe, *own, "--steps", str(options.steps), *sets]
    if code := main(["train", *words, "--out", str(out), *(["--resume"] if out.exists() else [])]):
        raise SystemExit(code)
    return Run(out)


def lines(run: Run) -> list[dict]:
    """What the training wrote, a line for some steps each."""
    return [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]


def items(run: Run, count: int) -> torch.Tensor:
    """Binarised test items: the same for every run."""
    noise = SeededNoise(0, range(count))
    x = run.experiment.dataset.draw("test", count, noise.stream("items")).x
    return binarise(x, noise.stream("binarise"))


def measure(model: Model, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Nats of each item, by two bounds."""
    nats = {"nelbo-ode": [], "nelbo-diffusion": []}
    for rows in torch.arange(len(x)).split(CHUNK):
        noise = SeededNoise(1, rows)
        flow = {"probes": 1, "rtol": 1e-4, "atol": 1e-4}
        nats["nelbo-ode"].append(model.nll(x[rows], noise.stream("ode"), **flow).nats)
        bound = model.bound(x[rows], noise.stream("path"), "nelbo-diffusion", draws=8)
        nats["nelbo-diffusion"].append(bound.nats)
    return {name: torch.cat(parts).double() for name, parts in nats.items()}


def show(values: torch.Tensor) -> str:
    """Mean and 95 % interval over items."""
    return f"{values.mean():7.2f} ± {1.96 * values.std() / math.sqrt(len(values)):4.2f}"


def report(runs: dict[str, Run], count: int) -> None:
    x = items(next(iter(runs.values())), count)
    nats = {prior: measure(run.load(), x) for prior, run in runs.items()}
    print(f"{count} binarised test items, nats ± 95 % over items; gains are paired\n")
    head = f"{'prior':10} {'weights':>9} {'steps':>6} {'minutes':>8}  {'nelbo-ode':>14}  "
    print(head + f"{'gain':>14}  {'nelbo-diffusion':>15}")
    for prior, run in runs.items():
        minutes = lines(run)[-1]["seconds"] / 60
        weights = sum(p.numel() for p in run.load().parameters())
        own = nats[prior]["nelbo-ode"]
        gain = show(nats["normal"]["nelbo-ode"] - own) if prior != "normal" else ""
        text = f"{prior:10} {weights:9,} {run.step:6} {minutes:8.1f}  {show(own):>14}  {gain:>14}  "
        print(text + f"{show(nats[prior]['nelbo-diffusion']):>15}")


def curve(runs: dict[str, Run], path: Path) -> None:
    """Training NELBO by step: one latent and one time for each item, averaged over batches."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for prior, run in runs.items():
        nelbo = [(line["step"], line["parts"]["nelbo"]) for line in lines(run)]
        points = torch.tensor(nelbo).split(SMOOTH)
        steps, nats = torch.stack([part.mean(0) for part in points]).T.tolist()
        axes.plot(steps, nats, marker=".", label="N(0, I)" if prior == "normal" else prior)
    low = min(line["parts"]["nelbo"] for run in runs.values() for line in lines(run))
    axes.set(xlabel="step", ylabel="training NELBO (nats)", ylim=(low - 2, low + 40))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    print(f"\n{path}")


def distances(runs: dict[str, Run], options: argparse.Namespace) -> None:
    """FID of each prior's samples, and of the data themselves: the floor."""
    out = str(Path(options.out) / "results")
    words = ["--solvers", "ssem,ddim", "--nfe", "20,50", "--samples", str(options.items)]
    judge = ["--evaluators", "fid:extractor=classifier", "--out", out]
    for verb in (
        ["bench", *(str(run.path) for run in runs.values()), *words, *judge],
        ["report", out],
    ):
        if code := main(verb):
            raise SystemExit(code)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--priors", default="normal,vp,cld")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--set", action="append", default=[], help="as of sgmkit train")
    parser.add_argument("--recipe", default=str(RECIPE))
    parser.add_argument("--fid", action="store_true", help="of --items samples")
    parser.add_argument("--out", default="latent")
    options = parser.parse_args()
    names = ["normal", *(p for p in options.priors.split(",") if p != "normal")]
    runs = {prior: train(prior, options) for prior in names}
    if options.fid:
        distances(runs, options)
    else:
        report(runs, options.items)
        curve(runs, Path(options.out) / "nelbo.png")
