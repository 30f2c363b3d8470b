"""Solvers: the reverse problem that they see, time grids, and how solvers are written.

Read `reverse` (the problem), `solver` (the base classes), `grid`, then `scheme` (solvers as tables
of small matrices), `exponential` and `methods` (exponential integrators as choices of nodes) and
`adaptive` (Runge-Kutta with each row's own step). This room imports processes and noise.
"""

from sgmkit.solvers.adaptive import BOGACKI_SHAMPINE, DORMAND_PRINCE, integrate
from sgmkit.solvers.exponential import FORMS, NoiseForm, moments, root
from sgmkit.solvers.grid import Grid
from sgmkit.solvers.methods import Exponential, Multistep, Node, Rule, Staged, asked, combined
from sgmkit.solvers.reverse import Predict, Reverse
from sgmkit.solvers.scheme import Scheme, Stage, Step, advance, single, table
from sgmkit.solvers.solver import Last, Solver, StepSolver, finish

__all__ = [
    "BOGACKI_SHAMPINE",
    "DORMAND_PRINCE",
    "FORMS",
    "Exponential",
    "Grid",
    "Last",
    "Multistep",
    "Node",
    "NoiseForm",
    "Predict",
    "Reverse",
    "Rule",
    "Scheme",
    "Solver",
    "Stage",
    "Staged",
    "Step",
    "StepSolver",
    "advance",
    "asked",
    "combined",
    "finish",
    "integrate",
    "moments",
    "root",
    "single",
    "table",
]
