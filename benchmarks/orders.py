"""Measured order and cost of every solver on every process, or the reason for none.

Orders are measured over the interval (-3, 4) of log-SNR, with equal steps. For a deterministic
solver, the error is the root mean square distance to the probability flow, on a mixture of three
Gaussians in the plane. For a stochastic one (marked ~), it is the error of mean and covariance on a
Gaussian, computed without sampling from the solver's affine map; `convergence.py` has weak errors
on a mixture. For an adaptive one (marked *), the order is that of the error against network
evaluations between two tolerances. A multistep method is measured after its first steps. Takes less
than two minutes.

    python benchmarks/orders.py [SOLVER ...] [--sde vp,cld]
"""

import argparse

import torch

import sgmkit
from sgmkit import UserError
from sgmkit.convergence.orders import adaptive_order, measured_order
from sgmkit.convergence.outcomes import NotApplicable
from sgmkit.convergence.problems import Problem, gaussian, mixture
from sgmkit.registry.options import parse_list

SDES = "vp,subvp,ve,geometric,edm,cosine,linear-flow,cld,psld,hold"
VARIANTS = (
    "ssem:kick=midpoint",
    "heun:churn=20",
    "ddim:lam=1",
    "deis:max_order=4",
    "dpm:order=3",
    "dpmpp:max_order=3",
    "dpmpp:max_order=3:weights=published",
    "dpmpp:eta=1",
    "dpmpp-single:order=3",
    "dpmpp-single:ancestral=1",
    "unipc:lower_final=false",
    "exponential:form=cholesky:max_order=4",
    "exponential:form=data:max_order=4",
    "rk4:form=noise:variable=sigma",
    "torchdiffeq:method=dopri8",
    "torchsde:method=srk",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("solvers", nargs="*", help="all and some variants by default")
    parser.add_argument("--sde", default=SDES, help="names with options")
    args = parser.parse_args()
    torch.set_num_threads(1)
    names = args.solvers or sorted([*sgmkit.components("solver"), *VARIANTS])
    sdes = [sgmkit.create("sde", name, **options) for name, options in parse_list(args.sde)]
    titles = [name for name, _ in parse_list(args.sde)]
    plane, line = ([Problem(sde, law()) for sde in sdes] for law in (mixture, gaussian))
    width = max(map(len, names))
    print(f"{'solver'.ljust(width)}  calls  declared  " + " ".join(f"{x:>11}" for x in titles))
    notes: list[str] = []
    for name in names:
        solver = sgmkit.create("solver", name)
        problems = line if solver.stochastic else plane
        cells = [cell(solver, problem, notes) for problem in problems]
        mark = "~" if solver.stochastic else "*" if solver.adaptive else " "
        row = " ".join(f"{x:>11}" for x in cells)
        print(f"{name.ljust(width)}  {solver.cost:>5}  {solver.order:>7}{mark}  {row}", flush=True)
    for number, note in enumerate(notes, 1):
        print(f"[{number}] {note}")


def cell(solver: sgmkit.Solver, problem: Problem, notes: list[str]) -> str:
    """A measured order, or the number of a note."""
    reason = solver.supports(problem.sde)
    if not reason and not solver.order:
        reason = "declares no order: its error does not vanish with the steps"
    if not reason and solver.stochastic and solver.adaptive:
        reason = "stochastic and adaptive: no common path to compare with"
    if not reason:
        try:
            if solver.adaptive:
                return f"{adaptive_order(solver, problem)[1]:.2f}"
            return f"{measured_order(solver, problem).value:.2f}"
        except (NotApplicable, UserError) as error:
            reason = str(error)
    if reason not in notes:
        notes.append(reason)
    return f"n/a [{notes.index(reason) + 1}]"


if __name__ == "__main__":
    main()
