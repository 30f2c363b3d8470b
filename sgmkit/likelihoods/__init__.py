"""Likelihoods of a reverse process, for any linear SDE.

Read `probability_flow` (the density that the probability-flow ODE assigns to data), then `bounds`
(variational bounds of it). This room imports torch and the rooms processes, noise and solvers.
"""

from sgmkit.likelihoods.bounds import chain_excess, diffusion_excess
from sgmkit.likelihoods.probability_flow import (
    EXACT_TRACE_LIMIT,
    FlowOptions,
    Likelihood,
    flow_likelihood,
    flow_state_likelihood,
    normal_log_density,
)

__all__ = [
    "EXACT_TRACE_LIMIT",
    "FlowOptions",
    "Likelihood",
    "chain_excess",
    "diffusion_excess",
    "flow_likelihood",
    "flow_state_likelihood",
    "normal_log_density",
]
