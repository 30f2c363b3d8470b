"""`ssem` against `euler` on CLD: distance to the data at 10 to 200 steps, on three time grids.

Shows where the intervals of the two solvers separate, and the floor. Takes less than two minutes;
--quick takes fewer samples and seeds.

    python benchmarks/cld.py [--quick]
"""

import argparse
from itertools import product

import torch

import sgmkit
from sgmkit.benching.plan import Plan
from sgmkit.benching.runner import measured
from sgmkit.benching.subject import Subject
from sgmkit.models import SamplingRules
from sgmkit.report import Entry, aggregate, render


def against(quick: bool) -> None:
    """ssem against euler on cld: distances to data by steps, and where intervals separate."""
    steps = (10, 50, 200) if quick else (10, 20, 50, 100, 200)
    names = {
        "solver": ("euler", "ssem"),
        "grid": ("uniform", "quadratic", "logsnr"),
        "evaluator": ("sliced-wasserstein", "energy-distance"),
    }
    chosen = ([sgmkit.resolve(kind, name) for name in names[kind]] for kind in names)
    subject = Subject.of("exact", "cld", "eight-gaussians")
    rules = SamplingRules(start="exact")
    samples, seeds = (500, 3) if quick else (2000, 5)
    plan = Plan([subject], *chosen, steps=steps, rules=rules, samples=samples, seeds=seeds)
    rows = list(measured(plan))
    print(render(rows, "table", 120))
    results = {(e.metric, e.grid, e.steps, e.solver): e for e in aggregate(rows)}
    floors = {e.metric: e for e in results.values() if e.scope == "floor"}
    for (metric, floor), grid in product(floors.items(), names["grid"]):
        verdicts: dict[str, list[str]] = {}
        for n in steps:
            pair = [results[metric, grid, n, solver] for solver in names["solver"]]
            verdicts.setdefault(verdict(*pair, floor), []).append(str(n))
        said = "; ".join(f"{what} at {', '.join(at)}" for what, at in verdicts.items())
        print(f"{metric}, {grid} grid, by steps: {said}.")


def verdict(first: Entry, second: Entry, floor: Entry) -> str:
    """What the intervals of two solvers, and of data against data, allow to say."""
    for best, other in ((first, second), (second, first)):
        if best.ci_high < other.ci_low:
            reached = ", its interval meets the floor's," if best.ci_low <= floor.ci_high else ""
            return f"{best.solver} is better{reached}"
    return "not told apart" + (" (both at the floor)" if first.ci_low <= floor.ci_high else "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer points")
    torch.set_num_threads(1)
    with torch.inference_mode():
        against(parser.parse_args().quick)
