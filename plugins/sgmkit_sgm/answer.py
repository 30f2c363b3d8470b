"""What the network is shown, and how its answer becomes noise: small matrices at each time."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from sgmkit import BadValue, Kernel, LinearSDE
from sgmkit.errors import Incompatible
from sgmkit.processes import (
    PhaseMap,
    Prediction,
    act_on_phases,
    flow_factor,
    input_scale,
    noise_label,
    noise_operators,
    normal_noise_operator,
    operators_by_time,
    rescale_operator,
    statistic_scale,
    velocity_noise_operator,
    whole_noise_operator,
)

Matching = Literal["hsm", "dsm"]
Mixed = Literal["none", "normal", "velocity"]
Inputs = Literal["auto", "phases", "statistic"]
OF_DATA = ("residual", "x")
"""Predictions that are functions of what the data are given the state, and of nothing else."""


@dataclass(frozen=True, slots=True)
class Local:
    """Coefficients at one time, as numbers; or at one time for each sample, as tensors.

    Args:
        scale: brings each phase, or their sum, to unit variance: k of them; tensors broadcast to
            ``(B, *event)``.
        label: the time as the network is told it, or ``(B,)``.
        acts: makes noise of u and the answer; with learnable mixing, one of u and one of the
            answer; none where the answer is the noise itself.
    """

    scale: Sequence[float | Tensor]
    label: float | Tensor
    acts: tuple[PhaseMap, ...]


@dataclass(frozen=True)
class Parameterisation:
    """``eps_d = first u + second answer``; see the options of `sgmkit_sgm.sgm.Sgm`.

    The first term is what the prediction adds, or the fixed part of a mixed score. Under denoising
    matching an answer that is noise is that of the law given u_0, as in the CLD paper; any other
    answer is tied to the data by the kernel, and only the loss speaks of the law given u_0.

    Raises:
        BadValue: for a mixed score of anything but noise, or a prediction that needs all phases.
        Incompatible: for a prediction or a mixed score that the process does not admit.
    """

    sde: LinearSDE
    prediction: Prediction
    mixed: Mixed
    matching: Matching
    sigma_data: float
    inputs: Inputs = "auto"

    def __post_init__(self) -> None:
        name, k, r = type(self.sde).__name__, self.sde.phases, self.sde.driven
        if self.whole and self.matching == "dsm":
            raise BadValue(
                "prediction = 'R' is of the noise given the data: take matching=hsm, not dsm"
            )
        if self.prediction not in ("noise", "residual", "R") and r > 1:
            raise Incompatible(
                f"prediction {self.prediction!r} needs one driven phase, and {name} has {r}; "
                "use prediction=noise, residual or R"
            )
        if self.mixed != "none" and self.prediction != "noise":
            raise BadValue(
                f"mixed = {self.mixed!r} is a part of the noise: it goes with prediction=noise, "
                f"not {self.prediction!r}"
            )
        if self.inputs == "statistic" and self.prediction not in OF_DATA:
            raise BadValue(
                "inputs = 'statistic' says all of the data and not of the noise: it goes with "
                f"prediction={' or '.join(OF_DATA)}, not {self.prediction!r}"
            )
        if self.mixed == "velocity" and r == k:
            raise Incompatible(
                f"mixed = 'velocity' needs a phase that no noise enters, and {name} drives all "
                f"{k}; use mixed=normal"
            )

    @property
    def whole(self) -> bool:
        """Whether the answer is the noise of all phases, in the frame of R."""
        return self.prediction == "R"

    @property
    def normal_part(self) -> bool:
        """Whether a network that answers zero leaves the score of Normal data."""
        return self.mixed == "normal" or self.prediction == "residual"

    @property
    def summed(self) -> bool:
        """Whether the network sees one sum of the phases."""
        return self.inputs == "statistic" or (self.inputs == "auto" and self.prediction in OF_DATA)

    @property
    def seen(self) -> int:
        """How many numbers of each coordinate the network sees."""
        return 1 if self.summed else self.sde.phases

    @property
    def outputs(self) -> int:
        """How often the network answers for each coordinate."""
        if self.prediction == "residual":
            return 1
        return self.sde.phases if self.whole else self.sde.driven

    def single(self, t: float) -> Local:
        """At one time, the noise being that of the kernel: plain numbers, for any device."""
        time = torch.tensor([t], dtype=torch.float64)
        scale, label, *pair = self._matrices(time, self.sde.kernel(time), None)
        acts = (operators_by_time(*matrices)[0] for matrices in self._grouped(pair))
        return Local(scale[0].tolist(), float(label), tuple(acts))

    def each(self, t: Tensor, kernel: Kernel, given: Kernel | None, like: Tensor) -> Local:
        """At a time for each sample, ``(B,)``, to act on tensors like ``like (B, ., *event)``.

        The noise is that of the kernel, or, for training, of the law ``given`` what is matched.
        """
        scale, label, *pair = self._matrices(t, kernel, given)
        shape = (-1, *([1] * (like.ndim - 2)))
        scales = [column.reshape(shape) for column in scale.to(like).unbind(1)]
        joined = (torch.cat(matrices, -1).to(like) for matrices in self._grouped(pair))
        return Local(scales, label, tuple(partial(act_on_phases, matrix) for matrix in joined))

    def _grouped(self, pair: list[Tensor]) -> list[list[Tensor]]:
        """The matrices that act together: a mixed score weighs its two parts."""
        return [[m] for m in pair] if self.mixed == "normal" or not pair else [pair]

    def _matrices(self, t: Tensor, kernel: Kernel, given: Kernel | None) -> tuple[Tensor, ...]:
        """Scales ``(n, k)``, labels ``(n,)`` and matrices ``(n, r, .)`` on u and the answer."""
        r, var = self.sde.driven, self.sde.data_var()
        edm = self.prediction == "edm"
        unit = statistic_scale if self.summed else input_scale
        scale = unit(kernel, self.sigma_data**2 if edm else var)
        label = noise_label(kernel) if edm else t / self.sde.horizon
        plain = (self.prediction, self.mixed) == ("noise", "none")
        if plain and (self.matching == "hsm" or given is not None):
            return scale, label
        if self.whole and given is not None:  # it is matched as it is
            return scale, label
        if self.whole:
            second = whole_noise_operator(kernel, flow_factor(self.sde, t), r)
            return scale, label, second.new_zeros(*second.shape[:-1], self.sde.phases), second
        first, second = noise_operators(kernel, r, self.prediction, self.sigma_data, var)
        if self.mixed == "normal":
            first = normal_noise_operator(kernel, r, var)
        elif self.mixed == "velocity":
            first = velocity_noise_operator(kernel, r)
        if self.matching == "dsm":
            factor = self.sde.kernel_from(t)[1] if given is None else given.chol
            if self.prediction == "noise":
                second = rescale_operator(factor, kernel.chol, r) @ second
            if given is not None:
                back = rescale_operator(kernel.chol, factor, r)
                first, second = back @ first, back @ second
        return scale, label, first, second
