"""One network under two processes: the cost of the process itself, apart from what was learned.

A prior that predicts a residual sees one statistic of the state, whatever the process. Its network
can therefore predict for another process too, at the time of equal noise. For two latent runs the
table has the bounds of each run under its own process and under the other's, paired over test
items. The time grows with the number of items.

    python benchmarks/exchange.py RUN RUN [--items 500]
"""

import argparse

from latent import items, measure, show
from torch import Tensor, nn

from sgmkit import LinearSDE
from sgmkit.processes import time_at_snr
from sgmkit.training.run import Run


class Abroad(nn.Module):
    """A network that was trained under one process, asked at the times of another."""

    def __init__(self, network: nn.Module, home: LinearSDE, here: LinearSDE) -> None:
        super().__init__()
        self.network, self.home, self.here = network, home, here
        self.classes = network.classes

    def forward(self, z: Tensor, c: Tensor, y: Tensor | None = None) -> Tensor:
        snr = self.here.kernel(c.double() * self.here.horizon).snr
        t = time_at_snr(self.home, snr.log(), 1e-6 * self.home.horizon)
        return self.network(z, (t / self.home.horizon).to(z), y)


def abroad(run: Run, other: Run) -> nn.Module:
    """The model of a run, autoencoder and network, under the process of another."""
    own, model = run.load(), other.load()
    model.autoencoder = own.autoencoder
    model.prior.network = Abroad(own.prior.network, own.prior.sde, model.prior.sde)
    return model.eval()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs=2)
    parser.add_argument("--items", type=int, default=500)
    options = parser.parse_args()
    first, second = (Run(path) for path in options.runs)
    x = items(first, options.items)
    print(f"{options.items} binarised test items, nats ± 95 % over items; differences are paired\n")
    print(f"{'weights of':12} {'under':12} {'nelbo-ode':>14} {'over its own':>14}", end="  ")
    print(f"{'nelbo-diffusion':>15} {'over its own':>14}")
    for run, other in ((first, second), (second, first)):
        home, there = measure(run.load(), x), measure(abroad(run, other), x)
        for place, bounds in ((run, home), (other, there)):
            print(f"{run.name:12} {place.name:12}", end=" ")
            for kind in bounds:
                apart = show(bounds[kind] - home[kind]) if place is other else ""
                print(f"{show(bounds[kind]):>14} {apart:>14}", end="  ")
            print()
