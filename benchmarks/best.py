"""The best solvers of each process at each budget, with intervals.

For each process and budget the table has the best three solvers by each metric, on exact models or
on runs. A star marks a value whose interval separates from that of the next solver; "=" marks one
whose interval meets that of the floor (data against fresh data). `trajectory` is a deterministic
solver's own error; the other metrics compare samples with data. Takes minutes for all solvers.

    python benchmarks/best.py [--data eight-gaussians] [--sde vp,cld] [--solvers a,b] [RUN ...]
"""

import argparse
from collections.abc import Sequence

import torch

import sgmkit
from sgmkit.benching.plan import Plan
from sgmkit.benching.runner import measured
from sgmkit.benching.subject import Subject
from sgmkit.models import SamplingRules
from sgmkit.registry import Resolved
from sgmkit.registry.options import parse_list
from sgmkit.report import Entry, aggregate
from sgmkit.training.run import Run

SDES = "vp,subvp,ve,geometric,edm,cosine,linear-flow,cld,psld,hold"
SOLVERS = (
    "euler,ancestral,ssem,oba,bao,seeds,dpmpp-sde,dpmpp:eta=1,heun,midpoint,ddim,deis,"
    "dpm,dpm:order=3,dpmpp,dpmpp:max_order=3,dpmpp-single,unipc,ipndm,exponential"
)


def resolved(kind: str, text: str) -> list[Resolved]:
    return [sgmkit.resolve(kind, {"name": name, **options}) for name, options in parse_list(text)]


def entries_of(args: argparse.Namespace) -> list[Entry]:
    """Every cell, computed here and now."""
    subjects = [Subject.trained(Run(path)) for path in args.runs]
    if not subjects:
        data = sgmkit.resolve("dataset", args.data)
        subjects = [Subject.of("exact", sde, data) for sde in resolved("sde", args.sde)]
    plan = Plan(
        subjects,
        resolved("solver", args.solvers),
        resolved("grid", args.grid),
        resolved("evaluator", args.evaluators),
        nfe=[int(n) for n in args.nfe.split(",")],
        rules=SamplingRules(start="prior" if args.runs else "exact"),
        samples=args.samples,
        seeds=args.seeds,
    )
    return aggregate(measured(plan))


def text_of(entry: Entry, others: Sequence[Entry], floor: Entry | None) -> str:
    """Name, mean and interval; how it stands to the next one and to the floor."""
    sign = "*" if others and entry.ci_high < others[0].ci_low else ""
    if floor and entry.ci_low <= floor.ci_high:
        sign = "="
    name = entry.solver + (f":{entry.options}" if entry.options else "")
    half = (entry.ci_high - entry.ci_low) / 2
    return f"{name} {entry.value:.2g} ± {half:.1g}{sign}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("runs", nargs="*", help="trained runs in place of exact models")
    parser.add_argument("--data", default="eight-gaussians")
    parser.add_argument("--sde", default=SDES)
    parser.add_argument("--solvers", default=SOLVERS)
    parser.add_argument("--grid", default="logsnr")
    parser.add_argument("--nfe", default="5,10,20,50,100")
    parser.add_argument("--evaluators", default="trajectory,sliced-wasserstein")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with torch.inference_mode():
        entries = entries_of(args)
    budgets = [int(n) for n in args.nfe.split(",")]
    for metric in dict.fromkeys(e.metric for e in entries):
        unit = f"best three by {metric}; * apart from the next, = meets the floor"
        print(f"\n{unit}\n{'process':<14}{'NFE':>4}  {'first':<34}{'second':<34}third")
        floor = next((e for e in entries if (e.metric, e.scope) == (metric, "floor")), None)
        for run in dict.fromkeys((e.run, e.sde) for e in entries if e.scope == "cell"):
            mine = [e for e in entries if e.metric == metric and (e.run, e.sde) == run]
            for n in budgets:
                column = [e for e in mine if e.scope == "cell" and e.status == "ok" and near(e, n)]
                column.sort(key=lambda e: e.value)
                cells = [text_of(e, column[i + 1 :], floor) for i, e in enumerate(column[:3])]
                title = (run[0] or run[1]) if n == budgets[0] else ""
                print(f"{title:<14}{n:>4}  " + "".join(f"{c:<34}" for c in cells).rstrip())


def near(entry: Entry, budget: int) -> bool:
    """Whether a cell was given this budget: a solver spends what its steps come to."""
    return budget - 3 < float(entry.nfe) <= budget


if __name__ == "__main__":
    main()
