"""Solvers that other libraries provide, on the problems and the noise of all the others."""

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
        "the methods of torchsde on the reverse SDE, with our noise",
        extra="torchsde",
    )
