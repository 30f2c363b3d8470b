"""What the tests of mutants share."""

from sgmkit.testing import checks
from sgmkit.testing.result import perform


def finds(kind, mutant, name, told):
    """The check fails, and for the reason that was planted."""
    (check,) = [check for check in checks(kind, mutant) if check.__name__ == name]
    result = perform(check, mutant, "")
    assert not result.ok, f"{name} is passed: {result.measured}"
    assert told in result.message
