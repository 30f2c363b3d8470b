"""Outcomes without a number."""

import pytest

from sgmkit.convergence.outcomes import CheckFailed, require


def test_a_requirement_fails_with_its_message():
    require(True, "not raised")
    with pytest.raises(CheckFailed, match=r"^two calls, not one$"):
        require(False, "two calls, not one")
    assert issubclass(CheckFailed, AssertionError)  # so that pytest shows it as a failed check
