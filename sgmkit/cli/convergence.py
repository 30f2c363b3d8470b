"""`sgmkit bench --convergence`: orders measured on exact models: a table, a figure and rows."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sgmkit.cli.progress import progress
from sgmkit.cli.values import PositiveNumbers, WholeNumbers
from sgmkit.errors import BadValue, UserError

if TYPE_CHECKING:
    from sgmkit.convergence import Curve
    from sgmkit.registry import Resolved

NFE = WholeNumbers((8, 16, 32, 64, 128))
TOLERANCES = PositiveNumbers((1e-2, 1e-3, 1e-4, 1e-5))
OUT = "convergence"
"""Defaults of ``--nfe``, ``--tol`` and ``--out`` here."""
ACCEPTED = ("convergence", "solvers", "sde", "data", "nfe", "tol", "out")
"""Parameters of ``bench`` that ``--convergence`` uses; others are refused."""


def check_flags(ctx: typer.Context) -> None:
    """Complain about options that would have no effect."""
    for param in ctx.command.params:
        source = ctx.get_parameter_source(param.name or "")
        if source and source.name == "COMMANDLINE" and param.name not in ACCEPTED:
            option = "runs" if param.name == "runs" else param.opts[0]
            raise BadValue(
                f"--convergence is measured on exact models, over one interval of log-SNR: "
                f"leave out {option} (it takes --solvers, --sde, --data, --nfe, --tol and --out)"
            )


def measure_convergence(
    solvers: "list[Resolved]",
    sdes: "list[Resolved]",
    sets: "list[Resolved]",
    nfe: Sequence[int],
    tol: Sequence[float],
    out: str,
) -> None:
    """Measure, print and write; a solver that raises becomes a row with its reason.

    Raises:
        typer.Exit: status 1, if a solver raised.
    """
    if len(sets) > 1:
        raise BadValue("--convergence takes one --data set at a time")
    picture = _picture(out)

    from sgmkit.benching.store import Store

    Store(picture.parent).check_writable()
    measured = _measured(solvers, sdes, sets[0], nfe, tol)

    from sgmkit.convergence import render

    print(render(measured, sets[0].label), end="")
    _write(measured, sets[0].label, picture)
    failed = [curve for curve in measured if curve.status == "failed"]
    for curve in failed:
        print(f"failed: {curve.reason} ({curve.solver} {curve.sde})", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def _picture(out: str) -> Path:
    """Path of the figure; the files with rows get the same name with another suffix."""
    from sgmkit.report import PICTURES

    path = Path(out or OUT)
    if path.suffix and not path.is_dir():
        if path.suffix.lstrip(".") not in PICTURES:
            known = ", ".join(f".{name}" for name in PICTURES)
            raise BadValue(f"--out takes a directory or a picture ({known}), not {out!r}")
        return path
    return path / "convergence.png"


def _measured(
    solvers: "Sequence[Resolved]",
    sdes: "Sequence[Resolved]",
    data: "Resolved",
    budgets: Sequence[int],
    tolerances: Sequence[float],
) -> "list[Curve]":
    from sgmkit.convergence import ProblemSet, curves, flattened, one_thread

    law = data.built.mixture()
    if law is None:
        raise BadValue(
            "--convergence needs data whose exact distribution is known, a Gaussian mixture; "
            f"{data.label} has none: try --data eight-gaussians"
        )
    processes = {sde.label: ProblemSet(sde.built, flattened(law)) for sde in sdes}
    built = {solver.label: solver.built for solver in solvers}
    measured, total = [], len(processes) * len(built)
    with one_thread(), progress() as show:
        show(0, total, "")
        for curve in curves(processes, built, budgets, tolerances):
            measured.append(curve)
            show(len(measured), total, f"{curve.solver} {curve.sde}")
    return measured


def _write(measured: "Sequence[Curve]", data: str, picture: Path) -> None:
    from sgmkit._util.files import write_atomic
    from sgmkit.convergence import draw, records, to_csv, to_json
    from sgmkit.report.figures import to_bytes

    rows, drawn = records(measured, data), draw(measured)
    files = {".json": to_json(rows), ".csv": to_csv(rows)}
    if drawn is not None:
        files[picture.suffix] = to_bytes(drawn, picture.suffix.lstrip("."))
    try:
        picture.parent.mkdir(parents=True, exist_ok=True)
        for suffix, content in files.items():
            write_atomic(picture.with_suffix(suffix), content)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"cannot write in '{picture.parent}': {reason}; choose another with --out"
        ) from None
    names = [shlex.quote(str(picture.with_suffix(suffix))) for suffix in files]
    print(f"\nwritten: {', '.join(names)}")
