"""Stand-ins: small components that pass the suite themselves."""

import pytest

from sgmkit.testing import run_checks
from sgmkit.testing.reference import STAND_INS, SUPPLIED


@pytest.mark.parametrize("kind", STAND_INS)
def test_stand_ins_conform_themselves(kind):
    assert [x for x in run_checks(kind, STAND_INS[kind]) if not x.ok] == []


def test_each_set_of_supplied_parameters_names_the_same_ones():
    for offered in SUPPLIED.values():
        assert len({frozenset(parameters) for parameters in offered}) == 1
