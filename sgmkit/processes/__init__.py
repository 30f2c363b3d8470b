"""Forward processes: linear SDEs on a few phases, their kernels, and what follows from them.

Read `sde` first (what a process and its perturbation kernel are); `matrices` is the k x k algebra
beneath it. Then `score` (score, data and velocity from the noise prediction), `prediction` (the
targets a network may predict instead of the noise), `weighting`, `snr` and `time_sampling` (the
training loss), `cross_entropy` (the cost of latents under a process), `gddim` (the probability flow
of one data point, and its factor R) and `variable` (variables in which solvers place times).

This package is public. It imports torch, `sgmkit.errors` and `sgmkit._util`, of which it re-exports
`Memo`, `remembered` and `over_event`.

Letters: u state ``(B, k, *event)``, k phases, r of them driven by noise (the last ones), t time in
``[0, T]``, ``()`` or ``(B,)``; ``(*t, ...)`` is the shape of t, followed by more axes.
"""

from sgmkit._util.memo import Memo, remembered
from sgmkit._util.shapes import over_event
from sgmkit.processes.cross_entropy import (
    control_variate,
    kernel_entropy,
    mutual_information,
    normal_excess,
    prior_divergence,
)
from sgmkit.processes.gddim import flow_factor, point_transition
from sgmkit.processes.matrices import (
    Matrix,
    Operator,
    PhaseMap,
    act_on_phases,
    as_matrix,
    operators_by_time,
    ou_transition,
    scaled_cholesky,
    semidefinite_factor,
    stacked_factor,
)
from sgmkit.processes.prediction import (
    Prediction,
    input_scale,
    noise_label,
    noise_operators,
    rescale_operator,
    statistic_scale,
    whole_noise_operator,
)
from sgmkit.processes.score import (
    denoise_operators,
    driven_factor,
    flow_operators,
    full_score_operators,
    mix_noise,
    normal_noise_operator,
    score_operator,
    velocity_noise_operator,
)
from sgmkit.processes.sde import ClockedSDE, Kernel, LinearSDE, ScheduleSDE
from sgmkit.processes.snr import log_snr_rate, noise_level, time_at_snr
from sgmkit.processes.time_sampling import TimeSampler
from sgmkit.processes.variable import Variable, times_between, variable_and_rate
from sgmkit.processes.weighting import (
    SIGMA_DATA,
    Weighting,
    weight_matrix,
    weighted_error,
    weighted_square,
)

__all__ = [
    "SIGMA_DATA",
    "ClockedSDE",
    "Kernel",
    "LinearSDE",
    "Matrix",
    "Memo",
    "Operator",
    "PhaseMap",
    "Prediction",
    "ScheduleSDE",
    "TimeSampler",
    "Variable",
    "Weighting",
    "act_on_phases",
    "as_matrix",
    "control_variate",
    "denoise_operators",
    "driven_factor",
    "flow_factor",
    "flow_operators",
    "full_score_operators",
    "input_scale",
    "kernel_entropy",
    "log_snr_rate",
    "mix_noise",
    "mutual_information",
    "noise_label",
    "noise_level",
    "noise_operators",
    "normal_excess",
    "normal_noise_operator",
    "operators_by_time",
    "ou_transition",
    "over_event",
    "point_transition",
    "prior_divergence",
    "remembered",
    "rescale_operator",
    "scaled_cholesky",
    "score_operator",
    "semidefinite_factor",
    "stacked_factor",
    "statistic_scale",
    "time_at_snr",
    "times_between",
    "variable_and_rate",
    "velocity_noise_operator",
    "weight_matrix",
    "weighted_error",
    "weighted_square",
    "whole_noise_operator",
]
