"""The conformance suite: what sgmkit requires of every component, as checks that anyone can run.

In a plugin's tests, each check of a component becomes a test::

    from sgmkit.testing import parametrize_checks

    @parametrize_checks("sde", "my-sde", "my-sde:rate=3")
    def test_my_sde(check):
        check()

``sgmkit check TARGET`` runs the same checks from the command line and prints what each measured:
``ok``, ``warn`` (unusual, and no failure), ``skip`` (does not apply) or ``fail``.

Which checks apply follows from the facts that a component declares, such as ``order`` or
``stochastic``, and never from its name. A required component that a constructor is not passed is
replaced by a small stand-in, a required shape by a small shape.

Read `result` (what a check returns or raises), `suite` (how a component is built and checked), then
the module of a kind: `sde` with `moments`, `network`, `model` with `prior`, `autoencoder` with
`codes`, `solver` with `solver_accuracy`, `grid`, `dataset`, `evaluator`, `extractor`. `reference`
holds the stand-ins, `compare` and `weights` are tools. The problems with exact solutions, on which
orders are measured, live in `sgmkit.convergence`. This room may import every room below the command
line; only tests and the command ``check`` import it.
"""

from sgmkit.convergence.orders import measured_order
from sgmkit.convergence.problems import Problem, gaussian_problems, mixture_problems
from sgmkit.testing.result import CheckFailed, CheckResult, perform
from sgmkit.testing.suite import build, check_target, checks, parametrize_checks, run_checks

__all__ = [
    "CheckFailed",
    "CheckResult",
    "Problem",
    "build",
    "check_target",
    "checks",
    "gaussian_problems",
    "measured_order",
    "mixture_problems",
    "parametrize_checks",
    "perform",
    "run_checks",
]
