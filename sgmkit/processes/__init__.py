"""Forward processes: linear SDEs on a few phases, their kernels, and what follows from them.

Read `matrices` (k x k algebra), then `sde` (what a process is), `score` (noise, score, data and
velocity from one another), `prediction` (what a network may answer), `weighting` and
`time_sampling` (the training loss), `cross_entropy` (what latents cost), `gddim` (the factor R) and
`variable` (variables of a time grid). This room imports torch and nothing of sgmkit but errors and
small tools.
"""

from sgmkit._util.memo import Memo, remembered
from sgmkit._util.shapes import over_event
from sgmkit.processes.cross_entropy import (
    control_variate,
    end_divergence,
    information,
    kernel_entropy,
    normal_excess,
)
from sgmkit.processes.gddim import flow_factor, one_point
from sgmkit.processes.matrices import (
    Act,
    Matrix,
    Operator,
    act,
    as_matrix,
    operators,
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
    whole_operator,
)
from sgmkit.processes.score import (
    denoise_operators,
    driven_factor,
    flow_operators,
    full_score_operators,
    mix_noise,
    normal_noise_operator,
    perturb,
    score_operator,
    velocity_noise_operator,
)
from sgmkit.processes.sde import ClockedSDE, Kernel, LinearSDE, ScheduleSDE
from sgmkit.processes.time_sampling import TimeSampler
from sgmkit.processes.variable import Variable, coordinate, noise_level, place, time_at_snr
from sgmkit.processes.weighting import (
    SIGMA_DATA,
    Weighting,
    log_snr_rate,
    weight_matrix,
    weighted_error,
    weighted_square,
)

__all__ = [
    "SIGMA_DATA",
    "Act",
    "ClockedSDE",
    "Kernel",
    "LinearSDE",
    "Matrix",
    "Memo",
    "Operator",
    "Prediction",
    "ScheduleSDE",
    "TimeSampler",
    "Variable",
    "Weighting",
    "act",
    "as_matrix",
    "control_variate",
    "coordinate",
    "denoise_operators",
    "driven_factor",
    "end_divergence",
    "flow_factor",
    "flow_operators",
    "full_score_operators",
    "information",
    "input_scale",
    "kernel_entropy",
    "log_snr_rate",
    "mix_noise",
    "noise_label",
    "noise_level",
    "noise_operators",
    "normal_excess",
    "normal_noise_operator",
    "one_point",
    "operators",
    "ou_transition",
    "over_event",
    "perturb",
    "place",
    "remembered",
    "rescale_operator",
    "scaled_cholesky",
    "score_operator",
    "semidefinite_factor",
    "stacked_factor",
    "statistic_scale",
    "time_at_snr",
    "velocity_noise_operator",
    "weight_matrix",
    "weighted_error",
    "weighted_square",
    "whole_operator",
]
