"""Solvers of the reverse process, and the time grids they run on."""

from collections.abc import Iterator

from sgmkit import Component, hookimpl

SOLVERS = (  # of the reverse SDE, then of the probability flow
    ("euler", "euler:Euler", "Euler-Maruyama on the reverse SDE", ("em",)),
    ("ancestral", "ancestral:Ancestral", "DDPM's and SMLD's step, any number of phases", ("ddpm",)),
    ("reverse-diffusion", "ancestral:ReverseDiffusion", "the forward step turned round", ()),
    ("ssem", "ssem:SSEM", "symmetric splitting for every clocked SDE (CLD's SSCS)", ("sscs",)),
    ("pc", "corrector:PredictorCorrector", "predictor and Langevin corrector (Score-SDE)", ()),
    ("oba", "splitting:OBA", "reduced splitting of phases: noise, momenta, positions", ()),
    ("bao", "splitting:BAO", "reduced splitting of phases: momenta, positions, noise", ()),
    ("seeds", "staged:SEEDS", "stochastic exponential stages", ()),
    ("dpmpp-sde", "staged:DPMPPSDE", "DPM-Solver++ SDE: two ancestral stages", ()),
    ("adaptive-sde", "adaptive_sde:AdaptiveSDE", "reverse SDE, steps for each sample", ("ggf",)),
    ("heun", "heun:Heun", "Heun on the probability flow, with EDM's churn", ()),
    ("euler-flow", "runge_kutta:EulerFlow", "Euler on the probability flow", ()),
    ("midpoint", "runge_kutta:Midpoint", "explicit midpoint on the probability flow", ()),
    ("rk4", "runge_kutta:RungeKutta", "Runge-Kutta tableaux, plain or exponential", ("rk",)),
    ("rk45", "rk45:RK45", "Dormand-Prince on the probability flow, steps for each sample", ()),
    ("rk23", "rk45:RK23", "Bogacki-Shampine on the probability flow, steps for each sample", ()),
    ("ddim", "ddim:DDIM", "exponential step with the predicted data held, any noise", ()),
    ("deis", "multistep:DEIS", "exponential Adams-Bashforth on the noise", ("gddim",)),
    ("dpm", "staged:DPMSingle", "DPM-Solver-2 and -3: stages on the noise", ()),
    ("dpm-multi", "multistep:DPM", "DPM-Solver as a multistep method", ()),
    ("dpmpp", "multistep:DPMPP", "DPM-Solver++(2M, 3M), and their SDEs", ("dpmpp-2m",)),
    ("dpmpp-single", "staged:DPMPPSingle", "DPM-Solver++(2S, 3S)", ("dpmpp-2s",)),
    ("unipc", "unipc:UniPC", "exponential predictor and corrector on one call", ()),
    ("ipndm", "ipndm:IPNDM", "exponential step, answers combined as if steps were equal", ()),
    ("exponential", "multistep:Exponential", "Adams-Bashforth in any form and variable", ()),
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
