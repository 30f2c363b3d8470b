"""The conformance suite: what every plugin must do, as checks that anyone can run.

    from sgmkit.testing import parametrize_checks

    @parametrize_checks("sde", "my-sde")
    def test_my_sde(check):
        check()

A check asks for declared facts and never for names; it says what it measured. ``sgmkit check
TARGET`` runs the same checks from the command line.
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
