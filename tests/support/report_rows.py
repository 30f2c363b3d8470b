"""Rows made by hand, for the tests of reports."""

import math

from sgmkit.benching.rows import Row
from sgmkit.report.summary import aggregate
from sgmkit.report.tables import pivots

HOST = {
    "model": "exact",
    "sde": "cld",
    "data": "blobs",
    "metric": "energy",
    "better": "lower",
    "unit": "nats",
    "grid": "uniform",
    "t_min": 1e-3,
    "last": "none",
    "start": "prior",
    "n": 1000,
    "seed": 0,
}


def message(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def row(solver, value, half=0.01, nfe=50.0, **changes):
    spread = {"ci_low": value - half, "ci_high": value + half}
    base = {"solver": solver, "value": value, "nfe": nfe, "budget": f"nfe={nfe:g}"}
    return Row(**{**HOST, **base, **spread, **changes})


def blank(solver, status, reason, **changes):
    return row(solver, math.nan, nfe=50.0, status=status, reason=reason, **changes)


def adaptive(value, nfe, half=0.01, solver="rk45", **changes):
    return row(solver, value, half, nfe, budget="tol=0.001", grid="", **changes)


def floor(value, n=1000, seed=0):
    facts = {name: HOST[name] for name in ("data", "metric", "better", "unit")}
    ends = {"ci_low": value * 0.9, "ci_high": value * 1.1}
    return Row(**facts, scope="floor", solver="floor", value=value, n=n, seed=seed, **ends)


def tables_of(rows):
    return pivots(aggregate(rows))


def only(rows):
    """The one table that these rows make."""
    (table,) = tables_of(rows)
    return table


def texts(table):
    return {line.label.text: [cell.text for cell in line.cells] for line in table.lines}


def best(rows):
    """Labels of the solvers that are marked."""
    return {line.label.text for line in only(rows).lines for cell in line.cells if cell.best}


def full():
    """A bench as it comes: two SDEs, three solvers, three seeds, floors, an n/a and a failure."""
    rows = []
    for sde in ("vp", "cld"):
        for seed in range(3):
            for nfe in (20, 100):
                rows.append(row("euler", 5 / nfe + seed * 1e-3, nfe=nfe, sde=sde, seed=seed))
                rows.append(row("heun", 2 / nfe + seed * 1e-3, nfe=nfe, sde=sde, seed=seed))
            rows.append(adaptive(0.04, 61.0 + seed, sde=sde, seed=seed))
            rows.append(floor(0.004, seed=seed))
            rows.append(
                blank("ssem", "n/a", "needs a clock & a_matrix | 100 %", sde=sde, seed=seed)
            )
        rows.append(row("", 2.0, metric="nll", scope="model", sde=sde, budget="", nfe=math.nan))
    rows.append(row("ddim", 0.1, options="eta=0.5|x", status="failed", reason="<Error> {x}"))
    return rows
