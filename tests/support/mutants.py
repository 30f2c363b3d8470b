"""What the tests of mutants share."""

from sgmkit.testing import checks, perform


def finds(kind: str, mutant: object, name: str, message: str) -> None:
    """Assert that the check of that name fails on a mutant, with ``message`` in its reason."""
    (check,) = [check for check in checks(kind, mutant) if check.__name__ == name]
    result = perform(check, mutant, "")
    assert not result.ok, f"{name} is passed: {result.measured}"
    assert message in result.message
