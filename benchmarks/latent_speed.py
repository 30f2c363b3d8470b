"""Time and network calls to the same feature distance: a latent model against a data-space one.

Benches two runs on the same images, one thread, and tells for each how many calls and seconds per
sample the cheapest cell takes whose distance is at most the target; the ratio is data space over
latent space. The target is the worse of the two models' best distances, within its interval.

    python benchmarks/latent_speed.py DATA_RUN LATENT_RUN [--data mnist] [--nfe 5,10,20,50,100]
"""

import argparse

import pandas as pd
import torch

from sgmkit import load_results
from sgmkit.cli import main

SOLVERS = "ddim,ssem,heun,dpmpp,unipc"


def cells(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean distance, calls and seconds of every solver and budget, over seeds."""
    good = frame[(frame.status == "ok") & frame.metric.str.startswith("fid")]
    good = good[good.scope == "cell"]
    told = {"value": "mean", "ci_high": "mean", "nfe": "mean", "seconds_per_sample": "mean"}
    return good.groupby(["run", "solver", "budget"], as_index=False).agg(told)


def cheapest(found: pd.DataFrame, target: float, cost: str) -> pd.Series:
    return found[found.value <= target].sort_values(cost).iloc[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_run")
    parser.add_argument("latent_run")
    parser.add_argument("--solvers", default=SOLVERS)
    parser.add_argument("--nfe", default="5,10,20,50,100")
    parser.add_argument("--samples", default="500")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--data", default="digits", help="that the feature extractor knows")
    parser.add_argument("--out", default="latent-speed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    runs = [options.data_run, options.latent_run]
    words = ["--solvers", options.solvers, "--nfe", options.nfe, "--samples", options.samples]
    judge = f"fid:extractor=(classifier:data={options.data})"
    words += ["--seeds", options.seeds, "--evaluators", judge, "--out", options.out]
    if code := main(["bench", *runs, *words]):
        raise SystemExit(code)
    table = cells(load_results(options.out))
    if table.empty:
        raise SystemExit(f"no distances: {options.out} has the reasons (sgmkit report)")
    both = [table[table.run.str.startswith(name.rstrip("/").split("/")[-1] + "@")] for name in runs]
    best = [found.sort_values("value").iloc[0] for found in both]
    worse = max(best, key=lambda row: row.value)
    target = float(worse.ci_high)
    print(f"\ntarget: {target:.3g}, the upper end of the best of {worse.run} ({worse.value:.3g})\n")
    print(f"{'cost':>8}  {'run':24} {'solver':8} {'distance':>9} {'calls':>6} {'ms a sample':>12}")
    for cost, name in (("nfe", "calls"), ("seconds_per_sample", "time")):
        found = [cheapest(each, target, cost) for each in both]
        for row in found:
            text = f"{name:>8}  {row.run:24} {row.solver:8} {row.value:9.3g} {row.nfe:6.0f} "
            print(text + f"{1e3 * row.seconds_per_sample:12.3g}")
        print(f"{name:>8}  ratio, data over latent: {found[0][cost] / found[1][cost]:.2g}\n")
