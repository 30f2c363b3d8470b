"""Likelihoods: by the probability flow, and variational bounds, for any linear SDE.

Read `probability_flow`, then `bounds`. This room imports processes, noise and solvers.
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
