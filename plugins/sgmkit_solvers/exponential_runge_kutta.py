"""Exponential Runge-Kutta methods: each stage of a step goes from its start."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le
from typing_extensions import Doc

from sgmkit.solvers import Node, Rule, Staged

Order = Annotated[int, Ge(1), Le(3), Doc("order, and number of network calls in a step")]
Inner = Annotated[Literal["logsnr", "t", "sqrt"], Doc("variable in which the stages are placed")]
Final = Annotated[
    Literal["published", "taylor"],
    Doc("last stage: by the published two answers, or by all with exact moments"),
]

Share = Annotated[float, Ge(0), Le(1), Doc("ancestral noise in units of the posterior's deviation")]


@dataclass(frozen=True)
class DPMSingle(Staged):
    """DPM-Solver-1, -2 and -3: a polynomial in the noise through the stages of one step.

    Lu et al. 2022, alg. 1 and 2. Stages lie at 1/2, or at 1/3 and 2/3, of the step.
    """

    order: Order = 2
    inner: Inner = "logsnr"
    final: Final = "published"
    ancestral: Share = 0.0

    form = "noise"
    citation = "Lu et al. 2022 (DPM-Solver), alg. 1 and 2"

    def nodes(self) -> tuple[Node, ...]:
        if self.order == 1:
            return (Node(1),)
        if self.order == 2:
            rule: Rule = "half" if self.final == "published" else "exact"
            return Node(1 / 2), Node(1, (0, 1), rule)
        return (
            Node(1 / 3),
            Node(2 / 3, (0, 1)),
            Node(1, (0, 2) if self.final == "published" else (0, 1, 2)),
        )


@dataclass(frozen=True)
class DPMPPSingle(DPMSingle):
    """DPM-Solver++(1S, 2S, 3S): a polynomial in the data through the stages of one step."""

    form = "data"
    citation = "Lu et al. 2022 (DPM-Solver++), alg. 1"


@dataclass(frozen=True)
class DPMPPSDE(Staged):
    """DPM-Solver++ SDE: two stages from the start of the step, both with ancestral noise.

    As in k-diffusion, which gave it this name: the data predicted in the middle of the step are
    taken to be constant in the whole step.
    """

    ancestral: Share = 1.0

    every_stage = True
    citation = "Lu et al. 2022 (DPM-Solver++), sec. 5; k-diffusion's dpmpp_sde"

    def nodes(self) -> tuple[Node, ...]:
        return Node(1 / 2), Node(1, (1,))


@dataclass(frozen=True)
class SEEDS(Staged):
    """Stochastic exponential steps of the reverse SDE, with the noise constant or extrapolated.

    Gonzalez et al. 2023 (SEEDS-1 and SEEDS-2). The stages of a step share one path of the noise.
    For k > 1 small steps are needed, because the part that is exact, the forward drift backwards in
    time, grows without bound.
    """

    stages: Annotated[int, Ge(1), Le(2), Doc("network calls in a step")] = 2

    form = "noise"
    eta = 1.0
    citation = "Gonzalez et al. 2023, alg. 1 and 2"

    def nodes(self) -> tuple[Node, ...]:
        return (Node(1),) if self.stages == 1 else (Node(1 / 2), Node(1, (0, 1), "half"))
