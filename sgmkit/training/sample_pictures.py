"""Samples of a model in training, drawn with its averaged weights."""

import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from sgmkit._util.pictures import save_grid
from sgmkit.errors import BadValue, Incompatible, MissingPackage
from sgmkit.noise import SeededNoise
from sgmkit.registry import create, defaults
from sgmkit.training.state import State

COUNT, STEPS = 64, 36


def draw(state: State, value_range: tuple[float, float] | None, seed: int, path: Path) -> None:
    """Draw ``COUNT`` samples with the averaged weights, and write them to ``path`` as one picture.

    The noise is the same each time. Nothing is written for data that cannot be shown as pictures,
    and for processes that the solver cannot integrate.

    Args:
        state: the model and its averages.
        value_range: of the data; None where they are no images.
        seed: of the noise.
        path: of the picture.
    """
    noise = SeededNoise(seed, range(COUNT)).stream("samples")
    solver = create("solver", defaults.PREVIEW_SOLVER)
    model = state.model.eval()
    grid = create("grid", defaults.GRID)(model.sde, STEPS, model.t_min)
    with state.averages.in_place(), suppress(BadValue, Incompatible):
        x = model.sample(COUNT, solver, grid, noise).x.float().cpu()
        try:
            save_grid(x, path, value_range)
        except MissingPackage as reason:
            _warn_once(f"training goes on without pictures of samples: {reason}")
    model.train()


@cache
def _warn_once(line: str) -> None:
    print(line, file=sys.stderr)
