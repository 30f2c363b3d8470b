"""Solvers of the reverse process, and the time grids they run on."""

from collections.abc import Iterator

from sgmkit import Component, hookimpl

SOLVERS = (
    ("euler", "euler:Euler", "Euler-Maruyama on the reverse SDE", ("em",)),
    ("ssem", "ssem:SSEM", "symmetric splitting for every clocked SDE (CLD's SSCS)", ("sscs",)),
    ("heun", "heun:Heun", "Heun on the probability flow, with EDM's churn", ()),
    (
        "ddim",
        "ddim:DDIM",
        "exponential step with the predicted data held, any number of phases",
        (),
    ),
    ("rk45", "rk45:RK45", "Dormand-Prince on the probability flow, steps for each sample", ()),
)
GRIDS = (
    ("uniform", "Uniform", "equal steps in t"),
    ("quadratic", "Quadratic", "steps that shrink linearly towards the data (CLD-SGM)"),
    ("edm", "Karras", "equal steps in the noise level to the power 1/rho"),
    ("logsnr", "LogSNR", "equal steps in log |rho|^2"),
)


@hookimpl
def sgmkit_components() -> Iterator[Component]:
    for name, target, summary, aliases in SOLVERS:
        yield Component("solver", name, f"sgmkit_solvers.{target}", summary, aliases)
    for name, target, summary in GRIDS:
        yield Component("grid", name, f"sgmkit_solvers.grids:{target}", summary)
