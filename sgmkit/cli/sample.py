"""`sgmkit sample`: pictures and arrays from a trained run."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgmkit.cli.progress import progress
from sgmkit.cli.values import one_of, positive, whole
from sgmkit.errors import BadValue
from sgmkit.registry import defaults
from sgmkit.training.allocator import keep_memory

if TYPE_CHECKING:
    from pathlib import Path

    from sgmkit.models import Samples, SamplingRules
    from sgmkit.registry import Resolved
    from sgmkit.training.run import Run

COLUMNS, ROWS = 10, 8
"""Of a strip."""


def sample(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run directory.")],
    solver: Annotated[
        str, typer.Option(help="Solver with options.", show_default="heun")
    ] = defaults.SOLVER,
    steps: Annotated[str, typer.Option(metavar="N", help="Steps on the grid.")] = "50",
    num: Annotated[str, typer.Option(metavar="N", help="Samples.")] = "64",
    seed: Annotated[str, typer.Option(metavar="N", help="Of start and noise.")] = "0",
    grid: Annotated[str, typer.Option(help="Time grid.", show_default="logsnr")] = defaults.GRID,
    t_min: Annotated[
        str, typer.Option(metavar="T", help="Where the grid ends (the model's own).")
    ] = "",
    last: Annotated[str, typer.Option(help="Last-step rule: none or mean.")] = "none",
    images: Annotated[str, typer.Option(help="Of a decoder: its mean, or a sample.")] = "mean",
    batch: Annotated[
        str, typer.Option(metavar="N", help="Samples at a time; changes none of them.")
    ] = "",
    out: Annotated[
        str, typer.Option(metavar="FILE", help="A .png grid or .npz arrays (in RUN/samples).")
    ] = "",
    trajectory: Annotated[
        bool, typer.Option("--trajectory", help="Also a strip of the way from noise to sample.")
    ] = False,
) -> None:
    """Draw samples from a run: a grid as PNG, or arrays as npz."""
    from pathlib import Path

    from sgmkit.registry import resolve
    from sgmkit.training.run import Run

    one_of("--last", last, ("none", "mean"))
    one_of("--images", images, ("mean", "sample"))
    numbers = {
        "steps": whole("--steps", steps, 1),
        "num": whole("--num", num, 1),
        "seed": whole("--seed", seed, 0),
        "batch": whole("--batch", batch, 1) if batch else None,
        "t_min": positive("--t-min", t_min) if t_min else None,
    }
    if out and Path(out).suffix not in (".png", ".npz"):
        raise BadValue(f"--out {out!r} ends in neither .png nor .npz")
    chosen = resolve("solver", solver), resolve("grid", grid)
    source = Run(run)
    name = f"{chosen[0].label.replace(':', '-')}-{steps}-seed{seed}.png"
    path = Path(out) if out else source.path / "samples" / name

    from sgmkit.models import SamplingRules

    rules: dict[str, Any] = {"last": last, "images": images}
    _sample(source, *chosen, numbers, SamplingRules(**rules), path, trajectory)


def _sample(
    run: "Run",
    solver: "Resolved",
    grid: "Resolved",
    numbers: dict[str, Any],
    rules: "SamplingRules",
    path: "Path",
    trajectory: bool,
) -> None:
    from sgmkit._util.pictures import save_strip
    from sgmkit.benching.subject import Subject
    from sgmkit.models import frames, gather, path_of, sample_batches

    keep_memory()
    subject = Subject.trained(run)
    model, made = subject.built, solver.build()
    times = grid.build()(model.sde, numbers["steps"], numbers["t_min"] or model.t_min)
    seed, n = numbers["seed"], numbers["num"]
    with progress() as show:
        parts, done = [], 0
        show(0, n, "samples")
        for part in sample_batches(model, n, made, times, seed, rules, batch=numbers["batch"]):
            parts.append(part)
            done += len(part.x)
            show(done, n, "samples")
    found = gather(iter(parts))
    told = {"run": run.name, "weights": run.content, "step": run.step, "seed": seed}
    told |= {"last": rules.last}
    told |= {"images": rules.images} if found.decoder_calls else {}
    told |= {"solver": solver.describe(), "grid": grid.describe(), "steps": numbers["steps"]}
    _write(subject.dataset.value_range, found, path, told)
    decoded = f" and {found.decoder_calls} of the decoder" if found.decoder_calls else ""
    print(f"{n} samples, {float(found.nfe.double().mean()):g} network calls each{decoded}: {path}")
    if trajectory:
        ways = [path_of(model, i, made, times, seed, rules) for i in range(min(n, ROWS))]
        strip = path.with_name(f"{path.stem}-trajectory.png")
        save_strip(*frames(model, ways, COLUMNS), strip, subject.dataset.value_range)
        print(f"the way of {len(ways)} of them: {strip}")


def _write(value_range: Any, found: "Samples", path: "Path", told: dict[str, Any]) -> None:
    from sgmkit._util.pictures import save_grid

    if path.suffix == ".png":
        save_grid(found.x, path, value_range)
        return
    import io

    import numpy as np

    from sgmkit._util.files import write_atomic

    data = io.BytesIO()
    about = np.array(json.dumps(told))
    np.savez(data, x=found.x.float().numpy(), nfe=found.nfe.numpy(), about=about)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, data.getvalue())
