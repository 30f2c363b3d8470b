"""`sgmkit bench --convergence`: orders measured on exact models, as a table, a figure and rows."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sgmkit.cli.progress import progress
from sgmkit.cli.values import positives, wholes
from sgmkit.errors import BadValue, UserError

if TYPE_CHECKING:
    from sgmkit.convergence import Curve
    from sgmkit.registry import Resolved

NFE = "8,16,32,64,128"
TOLERANCES = "1e-2,1e-3,1e-4,1e-5"
OUT = "convergence"
TAKEN = ("convergence", "solvers", "sde", "data", "nfe", "tol", "out")


def check_flags(ctx: typer.Context) -> None:
    """Complain about flags that would not matter."""
    for param in ctx.command.params:
        source = ctx.get_parameter_source(param.name or "")
        if source and source.name == "COMMANDLINE" and param.name not in TAKEN:
            said = "runs" if param.name == "runs" else param.opts[0]
            raise BadValue(
                f"--convergence is measured on exact models, over one interval of log-SNR: "
                f"leave out {said} (it takes --solvers, --sde, --data, --nfe, --tol and --out)"
            )


def convergence(
    solvers: "list[Resolved]",
    sdes: "list[Resolved]",
    sets: "list[Resolved]",
    nfe: str,
    tol: str | None,
    out: str,
) -> None:
    """Measure, print and write; a solver that raises is a row with its reason, and status 1."""
    budgets = wholes("--nfe", nfe or NFE)
    tolerances = positives("--tol", TOLERANCES if tol is None else tol)
    if len(sets) > 1:
        raise BadValue("--convergence takes one --data set at a time")
    picture = _picture(out)

    from sgmkit.benching.results import Store

    Store(picture.parent).check_writable()
    found = _measured(solvers, sdes, sets[0], budgets, tolerances)

    from sgmkit.convergence import render

    print(render(found, sets[0].label), end="")
    _write(found, sets[0].label, picture)
    failed = [curve for curve in found if curve.status == "failed"]
    for curve in failed:
        print(f"failed: {curve.reason} ({curve.solver} {curve.sde})", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def _picture(out: str) -> Path:
    """Where the figure goes; the rows go beside it, under its name."""
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
    from sgmkit.convergence import Process, curves, flat, one_thread

    law = data.built.mixture()
    if law is None:
        raise BadValue(f"--data {data.label} states no law; eight-gaussians does")
    processes = {sde.label: Process(sde.built, flat(law)) for sde in sdes}
    makers = {solver.label: solver.built for solver in solvers}
    found, total = [], len(processes) * len(makers)
    with one_thread(), progress() as show:
        show(0, total, "")
        for curve in curves(processes, makers, budgets, tolerances):
            found.append(curve)
            show(len(found), total, f"{curve.solver} {curve.sde}")
    return found


def _write(found: "Sequence[Curve]", data: str, picture: Path) -> None:
    from sgmkit._util.files import write_atomic
    from sgmkit.convergence import draw, records, to_csv, to_json
    from sgmkit.report.figures import to_bytes

    rows, drawn = records(found, data), draw(found)
    files = {".json": to_json(rows), ".csv": to_csv(rows)}
    if drawn is not None:
        files[picture.suffix] = to_bytes(drawn, picture.suffix.lstrip("."))
    try:
        picture.parent.mkdir(parents=True, exist_ok=True)
        for suffix, content in files.items():
            write_atomic(picture.with_suffix(suffix), content)
    except OSError as error:
        where = picture.parent
        raise UserError(
            f"cannot write in '{where}': {error.strerror or error}; choose another with --out"
        ) from None
    names = [shlex.quote(str(picture.with_suffix(suffix))) for suffix in files]
    print(f"\nwritten: {', '.join(names)}")
