"""Errors of solvers on exact problems, and the orders of convergence that they show.

Data are a Gaussian mixture, whose score is exact under any linear SDE: all error is the solver's
own. Errors arise on equal steps in log-SNR, over an interval that is the same for every process.
The conformance suite measures where orders show soonest (`INTERVAL`); tables of convergence keep
the wider interval that published ones were measured over.

A deterministic solver has a strong error: the root mean square distance, in the data, to a tight
solution of the probability flow from the same start. A stochastic one has a weak error: the root
mean square of the errors of five expectations, of half the square and of cosines of one coordinate.
It is measured in one of three ways:

- by quadrature: ``V(u, t)``, the exact expectation at the end from u at t, is in closed form for
  mixtures, so the error is the sum over steps of ``E[V(u_s, s) - V(u_t, t)]`` (Talay and Tubaro
  1990). The noise of each step is integrated by Gauss-Hermite quadrature, and only the state that
  it starts from is drawn: what is left of chance is a few percent of the error, however small;
- on Gaussian data, if steps cannot be taken one by one or draw too many numbers: there the solver
  is affine, and mean and variance are propagated without any chance. This can flatter an order: on
  VE, a splitting method measures 2 by coincidence;
- by plain Monte Carlo, if neither works (for adaptive steps, for example).

Read `problems` (the exact problems, on the small processes of `reference_processes`), then `probes`
and `affine` (noise that shows what a solver does with it) and `orders` (errors without chance and
measured orders, which the conformance suite uses too). `weak` and `future` have the weak errors,
`measure` chooses among them for a `problem_set`, and `curve`, `table` and `figure` show the result.
`outcomes` has the exceptions. This room imports the numerics rooms, and a few helpers of registry,
benching and report.
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
