"""The one place that imports matplotlib's figures, which may not be installed."""

from typing import TYPE_CHECKING

from sgmkit.errors import MissingPackage, last_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure_class() -> "type[Figure]":
    """The class of matplotlib's figures, imported at first use; it touches no global state.

    Raises:
        MissingPackage: if matplotlib cannot be imported.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackage(
            f"this picture needs matplotlib: pip install 'sgmkit[pictures]' ({last_line(error)})"
        ) from None
    return Figure
