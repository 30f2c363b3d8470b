"""The cost of a recipe on this machine: steps per second, peak memory, and the time of all steps.

Trains a few steps of a latent recipe, once with the autoencoder alone and once with autoencoder
and prior, and multiplies. Takes minutes for the full-size recipe on a CPU.

    python benchmarks/recipe.py [RECIPE] [--steps 5] [--set model.prior.network.channels=64 ...]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import torch

from sgmkit.training.recipe import Settings

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "mnist-lsgm.toml"
HOUR = 3600


def pace(recipe: str, share: float, options: argparse.Namespace) -> tuple[float, float]:
    """Seconds a step, the first apart, and peak memory in GiB: in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        edits = [f"model.vae_share={share}", "train.samples_every=0", "train.log_every=1"]
        sets = [word for edit in [*edits, *options.set] for word in ("--set", edit)]
        words = ["--recipe", recipe, "--steps", str(options.steps), *sets, "--out", f"{place}/run"]
        code = (
            "import sys, resource, torch; from sgmkit.cli.app import main;"
            "done = main(sys.argv[1:]);"
            "own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024;"
            "gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0;"
            "print('peak', gpu or own); sys.exit(done)"
        )
        words = [sys.executable, "-c", code, "train", *words]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        log = [
            json.loads(line) for line in Path(place, "run", "log.jsonl").read_text().splitlines()
        ]
    first, last = log[0], log[-1]
    seconds = (last["seconds"] - first["seconds"]) / (last["step"] - first["step"])
    return seconds, float(done.stdout.split("peak ")[-1]) / 2**30


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", nargs="?", default=str(RECIPE))
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], help="as of sgmkit train")
    options = parser.parse_args()
    recipe = tomllib.loads(Path(options.recipe).read_text())
    steps, share = recipe["train"]["steps"], recipe["model"]["vae_share"]
    # Nearly none, for a model may be told of inactive channels by its first step.
    only = {"autoencoder": 1.0, "both": 1e-9}
    counts = {"autoencoder": round(share * steps), "both": round((1 - share) * steps)}
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    batch = recipe["train"].get("batch", Settings().batch)
    print(f"{Path(options.recipe).name}, batch {batch}, {device}\n")
    print(f"{'stage':12} {'s a step':>9} {'steps/s':>8} {'peak GiB':>9} {'steps':>8} {'hours':>8}")
    total = 0.0
    for stage, count in counts.items():
        seconds, peak = pace(options.recipe, only[stage], options)
        hours = seconds * count / HOUR
        total += hours
        print(f"{stage:12} {seconds:9.3g} {1 / seconds:8.3g} {peak:9.3g} {count:8,} {hours:8.4g}")
    print(f"{'in all':12} {'':9} {'':8} {'':9} {steps:8,} {total:8.4g}")
