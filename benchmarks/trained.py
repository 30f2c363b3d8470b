"""Processes against each other when the score is learned: same network, steps and seed.

Trains a run for each process, or resumes it, benches all of them, and writes the table and a
picture of samples of each. Takes about half an hour for digits and hours for MNIST on a CPU.

    python benchmarks/trained.py [--data digits] [--steps 2400] [--out DIR] [--train OPTION ...]
"""

import argparse
from pathlib import Path

from sgmkit.cli.app import main

SOLVERS = "euler,ssem,heun,ddim,rk45"


def sgmkit(*words: str) -> None:
    """One command, as on the command line."""
    print("$ sgmkit", *words, flush=True)
    if code := main(words):
        raise SystemExit(code)


def run_of(sde: str, options: argparse.Namespace) -> Path:
    name = "-".join([options.data.split(":")[0], sde.replace(":", "-"), *options.name])
    return Path(options.out) / "runs" / name


def train(sde: str, options: argparse.Namespace) -> Path:
    """A finished run."""
    out = run_of(sde, options)
    sets = [word for edit in options.set for word in ("--set", edit)]
    words = ["--sde", sde, "--data", options.data, "--steps", str(options.steps), *sets]
    sgmkit("train", *words, *(["--resume"] if out.exists() else []), "--out", str(out))
    return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--sdes", default="vp,cld,ve,subvp,geometric")
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--set", action="append", default=[], help="as of sgmkit train")
    parser.add_argument("--name", action="append", default=[], help="told in the run's name")
    parser.add_argument("--samples", type=int, default=297)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--nfe", default="10,20,50,100")
    parser.add_argument("--evaluators", default="fid:extractor=classifier,nll")
    parser.add_argument("--out", default=".")
    options = parser.parse_args()
    runs = [train(sde, options) for sde in options.sdes.split(",")]
    results = str(Path(options.out) / "results" / options.data.split(":")[0])
    budget = ["--nfe", options.nfe, "--samples", str(options.samples)]
    counts = ["--seeds", str(options.seeds), "--out", results]
    judges = ["--evaluators", options.evaluators]
    sgmkit("bench", *map(str, runs), "--solvers", SOLVERS, *budget, *counts, *judges)
    sgmkit("report", results)
    for run in runs:
        sgmkit("sample", str(run), "--num", "64", "--out", str(run / "grid.png"), "--trajectory")
