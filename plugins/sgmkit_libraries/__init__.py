"""Solvers of other libraries, torchdiffeq and torchsde, as solvers of sgmkit.

They solve the same reverse problems on the same noise as all other solvers, and their network calls
are counted. This package imports `sgmkit` and the two libraries.
"""

from collections.abc import Iterator

from sgmkit import Component, hookimpl


@hookimpl
def sgmkit_components() -> Iterator[Component]:
    yield Component(
        "solver",
        "torchdiffeq",
        "sgmkit_libraries.torchdiffeq_solver:TorchDiffEq",
        "the Runge-Kutta methods of torchdiffeq on the probability flow",
        extra="torchdiffeq",
    )
    yield Component(
        "solver",
        "torchsde",
        "sgmkit_libraries.torchsde_solver:TorchSDE",
        "the methods of torchsde on the reverse SDE, with sgmkit's noise",
        extra="torchsde",
    )
