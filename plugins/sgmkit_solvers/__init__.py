"""Solvers of the reverse process, and the time grids they run on.

Read `euler_and_midpoint` first: the simplest solvers, each a few lines. `euler_maruyama`, `ddim`
and `ancestral` are steps by small matrices that are computed for a whole grid at once.
`exponential_multistep` and `exponential_runge_kutta` choose nodes for the exponential integrators
of `sgmkit.solvers`; the others have a loop of their own. `grids` has the time grids. This package
imports `sgmkit` alone.
"""

from collections.abc import Iterator

from sgmkit import Component, hookimpl

SOLVERS = (  # of the reverse SDE, then of the probability flow
    ("euler", "euler_maruyama:Euler", "Euler-Maruyama on the reverse SDE", ("em",)),
    ("ancestral", "ancestral:Ancestral", "DDPM's and SMLD's step, any number of phases", ("ddpm",)),
    ("reverse-diffusion", "ancestral:ReverseDiffusion", "the forward step, reversed", ()),
    ("ssem", "ssem:SSEM", "symmetric splitting for every clocked SDE (CLD's SSCS)", ("sscs",)),
    (
        "pc",
        "predictor_corrector:PredictorCorrector",
        "predictor and Langevin corrector (Score-SDE)",
        (),
    ),
    ("oba", "phase_splitting:OBA", "reduced splitting of phases: noise, momenta, positions", ()),
    ("bao", "phase_splitting:BAO", "reduced splitting of phases: momenta, positions, noise", ()),
    ("seeds", "exponential_runge_kutta:SEEDS", "stochastic exponential stages", ()),
    ("dpmpp-sde", "exponential_runge_kutta:DPMPPSDE", "DPM-Solver++ SDE: two ancestral stages", ()),
    ("adaptive-sde", "adaptive_sde:AdaptiveSDE", "reverse SDE, steps for each sample", ("ggf",)),
    ("heun", "heun:Heun", "Heun on the probability flow, with EDM's churn", ()),
    ("euler-flow", "euler_and_midpoint:EulerFlow", "Euler on the probability flow", ()),
    ("midpoint", "euler_and_midpoint:Midpoint", "explicit midpoint on the probability flow", ()),
    ("rk4", "runge_kutta:RungeKutta", "Runge-Kutta tableaux, plain or exponential", ("rk",)),
    (
        "rk45",
        "adaptive_runge_kutta:RK45",
        "Dormand-Prince on the probability flow, steps for each sample",
        (),
    ),
    (
        "rk23",
        "adaptive_runge_kutta:RK23",
        "Bogacki-Shampine on the probability flow, steps for each sample",
        (),
    ),
    ("ddim", "ddim:DDIM", "exponential step with the predicted data constant, any noise", ()),
    ("deis", "exponential_multistep:DEIS", "exponential Adams-Bashforth on the noise", ("gddim",)),
    ("dpm", "exponential_runge_kutta:DPMSingle", "DPM-Solver-2 and -3: stages on the noise", ()),
    ("dpm-multi", "exponential_multistep:DPM", "DPM-Solver as a multistep method", ()),
    ("dpmpp", "exponential_multistep:DPMPP", "DPM-Solver++(2M, 3M), and their SDEs", ("dpmpp-2m",)),
    ("dpmpp-single", "exponential_runge_kutta:DPMPPSingle", "DPM-Solver++(2S, 3S)", ("dpmpp-2s",)),
    ("unipc", "unipc:UniPC", "exponential predictor and corrector on one call", ()),
    ("ipndm", "ipndm:IPNDM", "exponential step, answers combined as if steps were equal", ()),
    (
        "exponential",
        "exponential_multistep:Exponential",
        "Adams-Bashforth in any form and variable",
        (),
    ),
)
GRIDS = (
    ("uniform", "Uniform", "equal steps in t"),
    ("quadratic", "Quadratic", "steps that shrink linearly towards the data (CLD-SGM)"),
    ("edm", "Karras", "equal steps in the noise level to the power 1/rho"),
    ("logsnr", "LogSNR", "equal steps in log |rho|^2"),
    ("polyexponential", "PolyExponential", "steps in log |rho|^2 that shrink towards the data"),
)


@hookimpl
def sgmkit_components() -> Iterator[Component]:
    for name, target, summary, aliases in SOLVERS:
        yield Component("solver", name, f"sgmkit_solvers.{target}", summary, aliases)
    for name, target, summary in GRIDS:
        yield Component("grid", name, f"sgmkit_solvers.grids:{target}", summary)
