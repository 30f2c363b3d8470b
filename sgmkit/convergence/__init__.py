"""Error against network evaluations, and measured orders, of solvers on processes.

The law is a Gaussian mixture: its score is exact, and what is left is the solver's own error.
Orders are measured on equal steps in log-SNR, over one interval for every process.

A deterministic solver has a strong error: root mean square distance, in the data, to a tight
solution of the probability flow from the same start. A stochastic one has a weak error, the root
mean square of the errors of five expectations, of half the square and of cosines of one coordinate:

- by quadrature: ``V(u, t)``, the exact process' expectation at the end given u at t, is known for
  mixtures, so the error is the sum over steps of ``E[V(u_s, s) - V(u_t, t)]`` (Talay and Tubaro
  1990). Each step's noise is integrated by Gauss-Hermite quadrature and only the place that it
  starts from is drawn: the chance that is left is a few percent of the error, however small;
- where steps cannot be looked at one by one, or draw too many numbers: on Gaussian data, where the
  solver is affine, and mean and variance are propagated without any chance. This can flatter an
  order: on VE, a splitting method measures 2 by coincidence;
- where that does not work either (adaptive steps, say): of paths, with all the chance of theirs.
"""

from sgmkit.convergence.curve import Curve, Point
from sgmkit.convergence.figure import draw
from sgmkit.convergence.measure import curves, measure, one_thread
from sgmkit.convergence.problem_set import ProblemSet
from sgmkit.convergence.problems import INTERVAL, flattened
from sgmkit.convergence.table import COLUMNS, records, render, to_csv, to_json

__all__ = [
    "COLUMNS",
    "INTERVAL",
    "Curve",
    "Point",
    "ProblemSet",
    "curves",
    "draw",
    "flattened",
    "measure",
    "one_thread",
    "records",
    "render",
    "to_csv",
    "to_json",
]
