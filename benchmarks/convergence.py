"""Error against network evaluations, with slopes, of chosen solvers on chosen processes.

The first table is what `sgmkit bench --convergence` prints; `sgmkit.convergence` has the
mathematics. The second has errors over the whole range of times, from T to t_min, for two time
grids. `orders.py` has every solver. Takes less than two minutes.

    python benchmarks/convergence.py [--quick] [--solvers a,b] [--sde x,y] [--out FILE.png]
"""

import argparse
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import torch

import sgmkit
from sgmkit import Solver, create
from sgmkit._util.files import write_atomic
from sgmkit.convergence import ProblemSet, draw, flattened, measure, one_thread, render
from sgmkit.convergence.orders import at_tolerance, flow_errors, moment_errors, rms
from sgmkit.convergence.table import aligned
from sgmkit.errors import BadValue, UserError
from sgmkit.report.figures import to_bytes

SOLVERS = "ddim,dpmpp,unipc,heun,rk45,euler,ssem,ssem:kick=midpoint,dpmpp:eta=1"
SDES = "vp,edm,cld,psld"
NFE = {True: (8, 16, 32, 64, 128), False: (8, 16, 32, 64, 128, 256, 512)}
"""Budgets, of stochastic solvers and of others."""
TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
GRIDS = ("uniform", "logsnr")
FULL = ((20, 1e-3), (100, 1e-5))
"""Network evaluations, and tolerances, of the table of the whole range."""


def whole(name: str, problems: ProblemSet, label: str, solver: Solver) -> list[str]:
    """A row of errors from T to t_min, from the exact law of u_T."""
    row = [label, name, "weak, Gaussian" if solver.stochastic else "strong"]
    for grid, (nfe, tolerance) in product(GRIDS, FULL):
        steps = 1 if solver.adaptive else nfe // solver.cost
        times = sgmkit.time_grid(grid, problems.sde, steps, problems.sde.t_min)
        if solver.stochastic:
            _, mean, cov = moment_errors(solver, problems.normal, times)
            row.append(f"{max(abs(float(mean[0])), abs(float(cov[0, 0]))):.1e}")
            continue
        tuned = at_tolerance(solver, tolerance) if solver.adaptive else solver
        calls, distance = flow_errors(tuned, problems.full, times, problems.starts)
        error = f"{rms(distance[:, 0]):.1e}"
        with_calls = f"{error} at {calls:.0f}" if grid == GRIDS[0] else ""
        row.append(with_calls if solver.adaptive else error)
    return row


def rows(problem_sets: dict[str, ProblemSet], solvers: dict[str, Solver]) -> Iterator[list[str]]:
    """`whole` for all that go together."""
    for (label, solver), (name, problems) in product(solvers.items(), problem_sets.items()):
        if solver.supports(problems.sde) or (solver.stochastic and solver.adaptive):
            continue
        yield whole(name, problems, label, solver)


def show(solvers: Sequence[str], sdes: Sequence[str], data: str, quick: bool, out: str) -> None:
    """Both tables, and the figure."""
    law = create("dataset", data).mixture()
    if law is None:
        raise BadValue(
            "orders need data whose exact distribution is known, a Gaussian mixture; "
            f"{data} has none: try --data eight-gaussians"
        )
    problem_sets = {name: ProblemSet(create("sde", name), flattened(law)) for name in sdes}
    makers = {label: create("solver", label) for label in solvers}
    most = 3 if quick else None
    pairs = [(*one, *other) for one in problem_sets.items() for other in makers.items()]
    curves = [
        measure(problems, sde, label, solver, NFE[solver.stochastic][:most], TOLERANCES)
        for sde, problems, label, solver in pairs
    ]
    print(render(curves, data))
    tolerances = " and ".join(f"{tolerance:g}" for _, tolerance in FULL)
    print(f"Errors from T to t_min by grid and NFE, u_T exact (adaptive: tolerances {tolerances})")
    header = [
        "solver",
        "sde",
        "error",
        *(f"{grid} {nfe}" for grid, (nfe, _) in product(GRIDS, FULL)),
    ]
    print(aligned([header, *rows(problem_sets, makers)]))
    drawn = draw(curves) if out else None
    if drawn is not None:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(Path(out), to_bytes(drawn, Path(out).suffix.lstrip(".")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--solvers", default=SOLVERS, help="names with options")
    parser.add_argument("--sde", default=SDES, help="names with options")
    parser.add_argument("--data", default="eight-gaussians:std=0.3", help="data with a known law")
    parser.add_argument("--out", default="", metavar="FILE.png", help="draw the figure")
    parser.add_argument("--quick", action="store_true", help="fewer points")
    args = parser.parse_args()
    try:
        with one_thread(), torch.inference_mode():
            names = args.solvers.split(","), args.sde.split(",")
            show(*names, args.data, args.quick, args.out)
    except UserError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
