"""Exponential Adams-Bashforth methods: one call in each step, earlier answers extrapolated."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le
from typing_extensions import Doc

from sgmkit.processes import Variable
from sgmkit.solvers import Multistep, Rule

Order = Annotated[int, Ge(1), Le(4), Doc("answers that are combined, which is the order")]
UpToThree = Annotated[int, Ge(1), Le(3), Doc("answers that are combined, which is the order")]
Eta = Annotated[
    float, Ge(0), Le(1), Doc("share of the reverse SDE's noise: 0 is the flow, 1 the SDE")
]
In = Annotated[Variable, Doc("variable of the polynomials")]
Form = Literal["noise", "data", "equilibrium", "cholesky", "plain"]
Weights = Annotated[
    Literal["published", "exact"],
    Doc("moments of the polynomials: as the released code takes them, or exact"),
]
LowerFinal = Annotated[bool, Doc("lower orders in the last steps of grids of fewer than ten")]


class _Ordered(Multistep):
    """A multistep method whose order is the number of answers."""

    @property
    def order(self) -> int:
        return self.max_order


@dataclass(frozen=True)
class DEIS(_Ordered):
    """The noise is approximated by a polynomial (Zhang & Chen 2023, tAB-DEIS).

    ``variable=sigma`` gives rhoAB-DEIS, which on VE is k-diffusion's LMS. For k > 1 this is gDDIM's
    predictor, on the noise of all phases in the frame of R (Zhang, Tao & Chen 2023, eq. 19). A
    model with ``prediction=R`` predicts that noise; for others it follows from the predicted data.
    """

    max_order: Order = 3
    variable: In = "t"

    form = "noise"
    citation = "Zhang & Chen 2023, sec. 3.3; Zhang, Tao & Chen 2023, eq. 19"


@dataclass(frozen=True)
class Exponential(_Ordered):
    """Exponential Adams-Bashforth in any form of the reverse process and any variable.

    ``equilibrium`` solves the pull of the stationary law exactly, and suits models that predict the
    driven noise alone. ``cholesky`` approximates that noise, which for k > 1 is useless
    at few steps. ``plain`` is Adams-Bashforth on the velocity.
    """

    form: Annotated[Form, Doc("prediction that is approximated by a polynomial")] = "equilibrium"
    variable: In = "logsnr"
    max_order: Order = 2

    citation = "Hochbruck & Ostermann 2010, sec. 2.5"


@dataclass(frozen=True)
class DPMPP(Multistep):
    """DPM-Solver++: the predicted data are approximated by a polynomial in log-SNR.

    2M and 3M (Lu et al. 2022b, alg. 2) for any k, and their SDE variants with eta. The published
    weights of three answers halve the curvature, which leaves order two; the ``exact`` ones have
    order three.
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
            return "exact"  # the released SDE 3M takes its second step so
        return "half" if count == 2 else "third"


@dataclass(frozen=True)
class DPM(DPMPP):
    """DPM-Solver as a multistep method: the noise is approximated by a polynomial in log-SNR."""

    form = "noise"
    citation = "Lu et al. 2022 (DPM-Solver), sec. 3; multistep in their released code"
