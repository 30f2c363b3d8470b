"""Solvers: the reverse problem that they integrate, time grids, and the bases to write them on.

Read `reverse` (the problem), then `solver` (the base classes) and `grid`. A solver that needs no
more than the velocity or the drift is a `StepSolver`. `stages` has solvers whose steps are small
matrices that are computed for a whole grid at once; `forms` and `exponential_integrators` make such
matrices for exponential methods, which are then a choice of nodes. `adaptive_runge_kutta` controls
the step of each sample on its own. This room imports processes and noise.
"""

from sgmkit.solvers.adaptive_runge_kutta import BOGACKI_SHAMPINE, DORMAND_PRINCE, integrate
from sgmkit.solvers.exponential_integrators import (
    Exponential,
    Multistep,
    Node,
    Rule,
    Staged,
    moments,
    multistep_operators,
)
from sgmkit.solvers.forms import FORMS, Form, NoiseForm, covariance_factor
from sgmkit.solvers.grid import Grid
from sgmkit.solvers.reverse import Predict, Reverse
from sgmkit.solvers.solver import Last, OneStepSolver, Solver, StepSolver, finish
from sgmkit.solvers.stages import Scheme, Stage, Step, one_stage_steps

__all__ = [
    "BOGACKI_SHAMPINE",
    "DORMAND_PRINCE",
    "FORMS",
    "Exponential",
    "Form",
    "Grid",
    "Last",
    "Multistep",
    "Node",
    "NoiseForm",
    "OneStepSolver",
    "Predict",
    "Reverse",
    "Rule",
    "Scheme",
    "Solver",
    "Stage",
    "Staged",
    "Step",
    "StepSolver",
    "covariance_factor",
    "finish",
    "integrate",
    "moments",
    "multistep_operators",
    "one_stage_steps",
]
