"""Network evaluations and CPU time to the same feature distance: latent against data space.

Benches two runs on the same images, and measures the time of one evaluation of each network and of
decoding, in turn, on one thread. For each latent cell that no cheaper one beats, the table has the
cheapest data-space cell whose mean distance is at most as large; the last row is the best that data
space reaches. Takes minutes.

    python benchmarks/latent_speed.py DATA_RUN LATENT_RUN [--data mnist] [--nfe 5,7,10,20,50]
"""

import argparse
import time
from dataclasses import dataclass
from statistics import median

import pandas as pd
import torch

from sgmkit import Model, SeededNoise, load_results
from sgmkit.cli.app import main
from sgmkit.training.run import Run

BATCH = 100
TURNS = 15


@dataclass(frozen=True)
class Costs:
    """CPU time of a sample, ms."""

    call: float
    decode: float


def ms(work) -> float:
    """CPU time of ``work()`` by sample, ms."""
    begin = time.process_time()
    work()
    return (time.process_time() - begin) / BATCH * 1e3


@torch.inference_mode()
def costs(models: list[Model]) -> list[Costs]:
    """Medians over turns in which each model has its own, so that a busy machine slows both."""
    noise, t = SeededNoise(0, range(BATCH)), torch.tensor(0.5, dtype=torch.float64)
    states = [(model, model.reverse(noise), model.start(noise)) for model in models]
    rounds = [
        [
            (ms(lambda r=r, u=u: r.eps(u, t)), ms(lambda m=m, u=u: m.decode(u, noise)))
            for m, r, u in states
        ]
        for _ in range(TURNS)
    ]
    return [Costs(*(median(turn[k][i] for turn in rounds) for i in (0, 1))) for k in (0, 1)]


def cells(frame: pd.DataFrame, run: str, cost: Costs) -> pd.DataFrame:
    """Mean distance, half of its interval, calls and cost of every cell of a run, by its cost."""
    good = frame[(frame.status == "ok") & frame.metric.str.startswith("fid")]
    good = good[(good.scope == "cell") & good.run.str.startswith(f"{run}@")]
    means = good.groupby(["solver", "budget"], as_index=False).agg(
        value=("value", "mean"), high=("ci_high", "mean"), nfe=("nfe", "mean")
    )
    means["ms"] = means.nfe * cost.call + cost.decode
    return means.sort_values("ms")


def line(space: str, row, cost: Costs, ratio: str = "") -> str:
    shown = f"{row.value:.1f} ± {row.high - row.value:.1f}"
    text = f"{space + ', ' + row.solver:22} {row.nfe:6.0f} {shown:>11} {row.nfe * cost.call:12.1f}"
    return f"{text} {cost.decode:12.1f} {row.ms:12.1f} {ratio:>17}".rstrip()


def compare(frame: pd.DataFrame, names: list[str], paid: list[Costs]) -> None:
    """Print the table."""
    data, latent = (
        list(cells(frame, name, cost).itertuples()) for name, cost in zip(names, paid, strict=True)
    )
    head = f"{'':22} {'calls':>6} {'distance':>11} {'network, ms':>12} {'decoder, ms':>12}"
    print(f"{head} {'ms a sample':>12} {'data over latent':>17}")
    best = float("inf")
    for row in latent:
        if row.value >= best:
            continue
        best = row.value
        near = [other for other in data if other.value <= best]
        if near:
            print(line("data space", near[0], paid[0]))
        ratio = f"{near[0].ms / row.ms:.1f}" if near else "none is as near"
        print(line("latent space", row, paid[1], ratio))
    print(line("best, data space", min(data, key=lambda row: row.value), paid[0]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_run")
    parser.add_argument("latent_run")
    parser.add_argument("--solvers", default="ddim,ssem,unipc")
    parser.add_argument("--nfe", default="5,7,10,20,50")
    parser.add_argument("--samples", default="500")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--data", default="digits", help="that the feature extractor knows")
    parser.add_argument("--out", default="latent-speed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    runs = [Run(path) for path in (options.data_run, options.latent_run)]
    words = ["--solvers", options.solvers, "--nfe", options.nfe, "--samples", options.samples]
    judge = f"fid:extractor=(classifier:data={options.data})"
    words += ["--seeds", options.seeds, "--evaluators", judge, "--out", options.out]
    if code := main(["bench", *(str(run.path) for run in runs), *words]):
        raise SystemExit(code)
    print()
    paid = costs([run.load().eval() for run in runs])
    compare(load_results(options.out), [run.name for run in runs], paid)
