"""The conformance suite: what every plugin must do, as checks that anyone can run.

    from sgmkit.testing import parametrize_checks

    @parametrize_checks("sde", "my-sde")
    def test_my_sde(check):
        check()

A check asks for declared facts and never for names; it says what it measured. ``sgmkit check
TARGET`` runs the same checks from the command line.
"""

from sgmkit.testing.orders import measured_order
from sgmkit.testing.result import CheckFailed, CheckResult
from sgmkit.testing.suite import check_target, checks, parametrize_checks, run_checks

__all__ = [
    "CheckFailed",
    "CheckResult",
    "check_target",
    "checks",
    "measured_order",
    "parametrize_checks",
    "run_checks",
]
