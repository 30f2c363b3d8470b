"""Latent models against the same autoencoder under N(0, I): test likelihoods after the same steps.

Trains a run for each prior (or goes on with it) by a recipe, and compares them on the same test
items, binarised alike, with the same noise: gains are paired, and so are their intervals.

    python benchmarks/latent.py [--priors normal,vp,cld] [--steps 5000] [--items 1000] [--out DIR]
"""

import argparse
import json
import math
from pathlib import Path

import torch

from sgmkit import SeededNoise
from sgmkit.cli import main
from sgmkit.dataset import binarise
from sgmkit.run import Run

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "mnist-lsgm-small.toml"
CHUNK = 250


def train(prior: str, options: argparse.Namespace) -> Run:
    """A finished run."""
    out = Path(options.out) / "runs" / prior
    own = ["--model", "lsgm:prior=normal"] if prior == "normal" else ["--sde", prior]
    sets = [word for edit in options.set for word in ("--set", edit)]
    words = ["--recipe", str(RECIPE), *own, "--steps", str(options.steps), *sets]
    if code := main(["train", *words, "--out", str(out), *(["--resume"] if out.exists() else [])]):
        raise SystemExit(code)
    return Run(out)


def items(run: Run, count: int) -> torch.Tensor:
    """Binarised test items: the same for every run."""
    noise = SeededNoise(0, range(count))
    x = run.experiment.dataset.draw("test", count, noise.stream("items")).x
    return binarise(x, noise.stream("binarise"))


def measure(run: Run, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Nats of each item, by the bound; and the share of it that is reconstruction."""
    model, found = run.load(), {"nelbo-ode": [], "nelbo-diffusion": []}
    for rows in torch.arange(len(x)).split(CHUNK):
        noise = SeededNoise(1, rows)
        flow = {"probes": 1, "rtol": 1e-4, "atol": 1e-4}
        found["nelbo-ode"].append(model.nll(x[rows], noise.stream("ode"), **flow).nats)
        told = model.bound(x[rows], noise.stream("path"), "nelbo-diffusion", draws=8)
        found["nelbo-diffusion"].append(told.nats)
    return {name: torch.cat(parts).double() for name, parts in found.items()}


def show(values: torch.Tensor) -> str:
    """Mean and 95 % interval over items."""
    return f"{values.mean():7.2f} ± {1.96 * values.std() / math.sqrt(len(values)):4.2f}"


def report(runs: dict[str, Run], count: int) -> None:
    x = items(next(iter(runs.values())), count)
    found = {prior: measure(run, x) for prior, run in runs.items()}
    print(f"{count} binarised test items, nats ± 95 % over items; gains are paired\n")
    head = f"{'prior':10} {'weights':>9} {'steps':>6} {'minutes':>8}  {'nelbo-ode':>14}  "
    print(head + f"{'gain':>14}  {'nelbo-diffusion':>15}")
    for prior, run in runs.items():
        lines = (run.path / "log.jsonl").read_text().splitlines()
        minutes = json.loads(lines[-1])["seconds"] / 60
        weights = sum(p.numel() for p in run.load().parameters())
        own = found[prior]["nelbo-ode"]
        gain = show(found["normal"]["nelbo-ode"] - own) if prior != "normal" else ""
        text = f"{prior:10} {weights:9,} {run.step:6} {minutes:8.1f}  {show(own):>14}  {gain:>14}  "
        print(text + f"{show(found[prior]['nelbo-diffusion']):>15}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--priors", default="normal,vp,cld")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--set", action="append", default=[], help="as of sgmkit train")
    parser.add_argument("--out", default="latent")
    options = parser.parse_args()
    names = ["normal", *(p for p in options.priors.split(",") if p != "normal")]
    report({prior: train(prior, options) for prior in names}, options.items)
