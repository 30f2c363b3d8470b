"""Results as a table of pandas, which nothing else in the bench or in a report needs."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sgmkit.benching.rows import COLUMNS, TIMING_COLUMNS, TYPES, Row, in_order
from sgmkit.benching.store import read_rows

if TYPE_CHECKING:
    import pandas as pd


def load_results(*paths: str | Path) -> "pd.DataFrame":
    """Every row under ``paths`` as a DataFrame with the columns of `Row`, in a fixed order.

    Each path is a results directory, a directory that holds ``results/``, or a ``.json`` file;
    with no path, it is the working directory. A cell that lies under two paths counts once, and
    the first path decides.
    """
    return to_frame(read_rows(*paths))


def to_frame(rows: Iterable[Row]) -> "pd.DataFrame":
    """Rows as a typed DataFrame, sorted, each cell and metric once."""
    import pandas as pd

    records = [[getattr(row, name) for name in COLUMNS] for row in in_order(rows)]
    frame = pd.DataFrame(records, columns=list(COLUMNS), dtype=object)
    kinds = {float: "float64", int | None: "Int64", str: str}
    return frame.astype({name: kinds[TYPES[name]] for name in COLUMNS})


def without_timing(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The frame less what two identical runs of a bench do not share.

    Those are the timing columns, and the rows whose metric repeats one of them (the seconds for
    each sample).
    """
    timing = frame["value"] == frame["seconds_per_sample"]
    return frame.loc[~timing].drop(columns=list(TIMING_COLUMNS)).reset_index(drop=True)
