"""Without matplotlib the error names the line that installs it."""

import sys

import pytest

from sgmkit._util.plotting import figure_class
from sgmkit.errors import MissingPackage


def test_figures_are_those_of_matplotlib():
    assert figure_class().__module__ == "matplotlib.figure"


def test_without_matplotlib_the_way_out_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingPackage) as caught:
        figure_class()
    assert str(caught.value) == (
        "this picture needs matplotlib: pip install 'sgmkit[pictures]' "
        "(import of matplotlib.figure halted; None in sys.modules)"
    )
