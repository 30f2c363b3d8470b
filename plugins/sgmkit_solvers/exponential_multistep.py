"""Exponential Adams-Bashforth methods: one network call a step, earlier answers extrapolated."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le
from typing_extensions import Doc

from sgmkit.processes import Variable
from sgmkit.solvers import Multistep, Rule

Order = Annotated[int, Ge(1), Le(4), Doc("answers that are combined: the order, once started")]
UpToThree = Annotated[int, Ge(1), Le(3), Doc("answers that are combined: the order, once started")]
Eta = Annotated[
    float, Ge(0), Le(1), Doc("share of the reverse SDE's noise: 0 is the flow, 1 the SDE")
]
In = Annotated[Variable, Doc("variable that answers are polynomials in")]
Form = Literal["noise", "data", "equilibrium", "cholesky", "plain"]
Weights = Annotated[
    Literal["published", "exact"],
    Doc("moments of the polynomial as the released code takes them, or exactly"),
]
LowerFinal = Annotated[bool, Doc("lower order at the end of grids of fewer than ten steps")]


class _Ordered(Multistep):
    @property
    def order(self) -> int:
        return self.max_order


@dataclass(frozen=True)
class DEIS(_Ordered):
    """The noise as a polynomial (Zhang & Chen 2023, tAB; for k > 1 gDDIM's predictor).

    With ``variable=sigma`` rhoAB, and k-diffusion's LMS on VE. For k > 1 it is the noise of all
    phases in the frame of R (Zhang, Tao & Chen 2023, eq. 19): a model with ``prediction=R`` gives
    it, for others it follows from the predicted data.
    """

    max_order: Order = 3
    variable: In = "t"

    form = "noise"
    citation = "Zhang & Chen 2023, sec. 3.3; Zhang, Tao & Chen 2023, eq. 19"


@dataclass(frozen=True)
class Exponential(_Ordered):
    """A polynomial in any form of the reverse process, in any variable.

    ``equilibrium`` takes out the pull of the stationary law and suits models that predict the
    velocity's noise only; ``cholesky`` holds that noise as it is, which for k > 1 is useless at few
    steps; ``plain`` is Adams-Bashforth on the velocity. See `sgmkit.solvers.forms`.
    """

    form: Annotated[Form, Doc("what is taken for a polynomial")] = "equilibrium"
    variable: In = "logsnr"
    max_order: Order = 2

    citation = "Hochbruck & Ostermann 2010, sec. 2.5"


@dataclass(frozen=True)
class DPMPP(Multistep):
    """DPM-Solver++: the data as a polynomial in log-SNR, for any number of phases.

    2M and 3M (Lu et al. 2022b, alg. 2), and with eta their SDEs. The published weights of three
    answers halve the curvature, which leaves order two; ``exact`` ones have order three.
    """

    max_order: UpToThree = 2
    eta: Eta = 0.0
    weights: Weights = "exact"
    lower_final: LowerFinal = True

    citation = "Lu et al. 2022 (DPM-Solver++), alg. 2"

    @property
    def order(self) -> int:
        if self.eta:
            return 1
        return 2 if self.weights == "published" and self.max_order == 3 else self.max_order

    def rule(self, count: int) -> Rule:
        if self.weights == "exact" or (count == 2 and self.eta and self.max_order == 3):
            return "exact"  # the latter: the SDE's 3M starts so
        return "half" if count == 2 else "third"


@dataclass(frozen=True)
class DPM(DPMPP):
    """DPM-Solver as a multistep method: the noise as a polynomial in log-SNR."""

    form = "noise"
    citation = "Lu et al. 2022 (DPM-Solver), sec. 3; multistep in their released code"
