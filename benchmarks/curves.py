"""Curves of error against network evaluations: slopes with standard errors, and their figure."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sgmkit import Solver
from sgmkit.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INTERVAL = (-6.0, 6.0)
"""Of log-SNR: from noise to nearly data, within the range of every built-in process."""
BLOCKS = 16
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "os^Dvp*"


@dataclass
class Curve:
    """Errors of one solver on one SDE over network evaluations.

    ``shares`` of a weak error holds what each block of paths says, ``(BLOCKS, 5)`` for each NFE.
    """

    name: str
    sde: str
    solver: Solver
    note: str = ""
    nfe: list[float] = field(default_factory=list)
    error: list[float] = field(default_factory=list)
    shares: list[Tensor] = field(default_factory=list)
    gaussian: list[float] = field(default_factory=list)
    tolerance: list[float] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return "weak" if self.solver.stochastic else "strong"

    def slope(self) -> tuple[float, float]:
        """Order, and its standard error: of the fit or, where larger, by chance (a jackknife).

        Over the last three points; over all of an adaptive solver, whose steps are its own choice.
        """
        value, doubt = slope(self.nfe, self.error, 0 if self.solver.adaptive else 3)
        if self.shares:
            fewer = zip(*map(less_one, self.shares), strict=True)
            doubt = max(doubt, jackknife([slope(self.nfe, each)[0] for each in fewer]))
        return value, doubt

    def bars(self) -> list[float] | None:
        """95 % intervals of weak errors."""
        return [1.96 * jackknife(less_one(each)) for each in self.shares] or None


def less_one(shares: Tensor) -> list[float]:
    """The error without each block in turn."""
    fewer = (shares.sum(0) - shares) / (len(shares) - 1)
    return fewer.square().mean(1).sqrt().tolist()


def jackknife(fewer: Sequence[float]) -> float:
    """Standard error of a number, from its values without each block."""
    apart = torch.tensor(fewer) - sum(fewer) / len(fewer)
    return float((apart.square().sum() * (1 - 1 / len(fewer))).sqrt())


def slope(x: Sequence[float], y: Sequence[float], last: int = 3) -> tuple[float, float]:
    """Minus the slope of log y against log x over the last points, or all; the fit's error."""
    a, b = (torch.tensor(each[-last:], dtype=torch.float64).log() for each in (x, y))
    a, b = a - a.mean(), b - b.mean()
    value = (a * b).sum() / a.square().sum()
    left = (b - value * a).square().sum() / (len(a) - 2)
    return -float(value), float((left / a.square().sum()).sqrt())


def figure(every: Sequence[Curve], path: Path) -> None:
    """A panel for each SDE: error against evaluations."""
    from matplotlib.figure import Figure

    every = [curve for curve in every if curve.nfe]
    sdes, names = (list(dict.fromkeys(getattr(c, n) for c in every)) for n in ("sde", "name"))
    across, down = min(len(sdes), 3), math.ceil(len(sdes) / 3)
    drawn = Figure(figsize=(4.3 * across, 3.7 * down + 0.8), layout="constrained")
    panels = drawn.subplots(down, across, squeeze=False, sharex=True, sharey=True).flatten()
    handles = {}
    for panel, sde in zip(panels, sdes, strict=False):
        for curve in (c for c in every if c.sde == sde):
            place, weak = names.index(curve.name) % len(COLOURS), curve.kind == "weak"
            look = {"color": COLOURS[place], "marker": MARKERS[place], "markersize": 5}
            look |= {"linestyle": "--", "markerfacecolor": "white"} if weak else {}
            label = f"{curve.name} ({curve.kind}, order {curve.solver.order})"
            points = (curve.nfe, curve.error, curve.bars())
            handles[label] = panel.errorbar(*points, linewidth=1.4, **look)
        finish(panel, sde)
    for panel in panels[len(sdes) :]:
        panel.set_visible(False)
    drawn.legend(handles.values(), handles, loc="outside lower center", ncols=3, frameon=False)
    data = io.BytesIO()
    drawn.savefig(data, format="png", dpi=150)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, data.getvalue())


def finish(panel: "Axes", title: str) -> None:
    """Logarithmic axes with plain ticks, and dotted guides of slopes 1, 2 and 5."""
    from matplotlib.ticker import NullLocator

    ticks = [8, 16, 32, 64, 128, 256, 512]
    panel.set(xscale="log", yscale="log", xlim=(7, 620), ylim=(3e-8, 5), title=title)
    panel.set(xlabel="network evaluations (NFE)", ylabel="error over log-SNR -6 to 6")
    panel.label_outer()
    panel.set_xticks(ticks, [str(n) for n in ticks])
    panel.xaxis.set_minor_locator(NullLocator())
    for order, left, height in ((1, 150, 2.0), (2, 150, 2.0), (5, 150, 2.0)):
        right, low = 3 * left, height * 3.0**-order
        panel.plot([left, right], [height, low], color="#777777", linewidth=1, linestyle=":")
        panel.annotate(f"{order}", (right * 1.04, low), color="#777777", fontsize=8, va="center")
    panel.grid(color="#e4e4e4", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
