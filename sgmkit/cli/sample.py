"""`sgmkit sample`: pictures and arrays from a trained run."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgmkit.cli.progress import progress
from sgmkit.cli.values import choice, positive_number, whole_number
from sgmkit.errors import BadValue
from sgmkit.registry import defaults
from sgmkit.training.allocator import keep_memory

if TYPE_CHECKING:
    from sgmkit.models import Model, Samples, SamplingRules
    from sgmkit.solvers import Solver

COLUMNS, ROWS = 10, 8
"""Moments shown of each trajectory, and trajectories in a strip."""


def sample_command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run directory of a trained model.")],
    solver: Annotated[
        str,
        typer.Option(metavar="NAME", help="Solver, with options or without.", show_default="heun"),
    ] = defaults.SOLVER,
    steps: Annotated[
        int, typer.Option(metavar="N", parser=whole_number(1), help="Steps of the time grid.")
    ] = 50,
    num: Annotated[
        int, typer.Option(metavar="N", parser=whole_number(1), help="Samples to draw.")
    ] = 64,
    seed: Annotated[
        int, typer.Option(metavar="N", parser=whole_number(0), help="Seed of u_T and all noise.")
    ] = 0,
    grid: Annotated[
        str, typer.Option(metavar="NAME", help="Time grid.", show_default="logsnr")
    ] = defaults.GRID,
    t_min: Annotated[
        float | None,
        typer.Option(
            metavar="T",
            parser=positive_number,
            help="Time at which the grid ends.",
            show_default="the model's own",
        ),
    ] = None,
    last: Annotated[
        str,
        typer.Option(
            metavar="RULE",
            parser=choice("none", "mean"),
            help="After the last step: none, or mean, the posterior mean of the data.",
        ),
    ] = "none",
    images: Annotated[
        str,
        typer.Option(
            metavar="RULE",
            parser=choice("mean", "sample"),
            help="mean or sample: whether a latent model's decoder returns the mean of its pixel "
            "distribution or a draw from it. Other models ignore it.",
        ),
    ] = "mean",
    batch: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            parser=whole_number(1),
            help="Samples to compute at a time; it does not change them.",
            show_default="chosen by size",
        ),
    ] = None,
    out: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Write a picture grid (.png) or arrays (.npz) here.",
            show_default="a .png in RUN/samples",
        ),
    ] = "",
    trajectory: Annotated[
        bool,
        typer.Option(
            "--trajectory", metavar="", help="Also draw a strip from noise to sample beside it."
        ),
    ] = False,
) -> None:
    """Draw samples from a trained run, as a grid of pictures or as arrays."""
    from sgmkit.registry import resolve
    from sgmkit.training.run import Run

    if out and Path(out).suffix not in (".png", ".npz"):
        raise BadValue(f"--out {out!r} ends in neither .png nor .npz")
    resolved_solver, resolved_grid = resolve("solver", solver), resolve("grid", grid)
    source = Run(run)
    name = f"{resolved_solver.label.replace(':', '-')}-{steps}-seed{seed}.png"
    path = Path(out) if out else source.path / "samples" / name

    from sgmkit.benching.subject import Subject
    from sgmkit.models import SamplingRules

    keep_memory()
    subject = Subject.trained(source).load()
    model, built_solver = subject.model, resolved_solver.build()
    times = resolved_grid.build()(model.sde, steps, t_min or model.t_min)
    rules = SamplingRules(last=last, images=images)  # type: ignore[arg-type]
    samples = _draw(model, built_solver, times, num, seed, batch, rules)
    if path.suffix == ".png":
        from sgmkit._util.pictures import save_grid

        save_grid(samples.x, path, subject.dataset.value_range)
    else:
        about = {"run": source.name, "weights": subject.content, "step": source.step, "seed": seed}
        about |= {"last": last, "images": images} if samples.decoder_calls else {"last": last}
        about |= {"solver": resolved_solver.describe(), "grid": resolved_grid.describe()}
        _write_arrays(samples, path, {**about, "steps": steps})
    decoded = f" and {samples.decoder_calls} of the decoder" if samples.decoder_calls else ""
    calls = float(samples.nfe.double().mean())
    print(f"{num} samples, {calls:g} network calls each{decoded}: {path}")
    if trajectory:
        from sgmkit._util.pictures import save_strip

        strip = path.with_name(f"{path.stem}-trajectory.png")
        count = min(num, ROWS)
        rows = _trajectories(model, built_solver, times, count, seed, rules)
        save_strip(*rows, strip, subject.dataset.value_range)
        print(f"trajectories of {count} of them: {strip}")


def _draw(
    model: "Model",
    solver: "Solver",
    times: Any,
    num: int,
    seed: int,
    batch: int | None,
    rules: "SamplingRules",
) -> "Samples":
    """Samples 0 to ``num - 1`` of the seed, with progress after each batch."""
    from sgmkit.models import gather, sample_batches

    with progress() as show:
        parts, done = [], 0
        show(0, num, "samples")
        for part in sample_batches(model, num, solver, times, seed, rules, batch=batch):
            parts.append(part)
            done += len(part.x)
            show(done, num, "samples")
    return gather(iter(parts))


def _trajectories(
    model: "Model", solver: "Solver", times: Any, count: int, seed: int, rules: "SamplingRules"
) -> "tuple[list[float], Any]":
    """Times, and data ``(count, COLUMNS, *event)``: the way from noise to each of some samples."""
    from sgmkit.models import frames, path_of

    paths = [path_of(model, number, solver, times, seed, rules) for number in range(count)]
    return frames(model, paths, COLUMNS)


def _write_arrays(samples: "Samples", path: Path, about: dict[str, Any]) -> None:
    """An npz file: ``x (num, *event)`` float32, ``nfe (num,)``, and ``about`` as JSON text."""
    import io

    import numpy as np

    from sgmkit._util.files import write_atomic

    data, text = io.BytesIO(), np.array(json.dumps(about))
    np.savez(data, x=samples.x.float().numpy(), nfe=samples.nfe.numpy(), about=text)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, data.getvalue())
