r"""What the network sees and what its answer stands for, as small matrices at each time.

The network's input is the phases of u_t, scaled to unit variance. Its answer becomes the driven
noise by ``eps_d = A(t) u + B(t) answer``. Under denoising matching an answer that is noise is the
noise of u_t given u_0, as in the CLD paper (Dockhorn et al. 2022); any other answer is tied to the
data by the kernel, and only the loss is written in the noise of u_t given u_0.
"""

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
    over_event,
    rescale_operator,
    statistic_scale,
    velocity_noise_operator,
    whole_noise_operator,
)

Matching = Literal["hsm", "dsm"]
"""The matching target: the noise of u_t given x (hybrid), or given all of u_0 (denoising)."""
Mixed = Literal["none", "normal", "velocity"]
Inputs = Literal["auto", "phases", "statistic"]
OF_DATA = ("residual", "x")
"""Predictions that depend on u_t only by what it says of the data."""


@dataclass(frozen=True, slots=True)
class Coefficients:
    """All that `Parameterisation` needs at one time (numbers), or at a time for each sample.

    Args:
        scale: factor of each of the k phases in the network's input: numbers, or tensors that
            broadcast over ``(B, *event)``.
        label: the time as the network receives it: a number, or ``(B,)``.
        acts: operators that map (u, network output) to eps_d. Two when ``mixed="normal"``, one on
            u and one on the output; none when the output is eps_d itself.
    """

    scale: Sequence[float | Tensor]
    label: float | Tensor
    acts: tuple[PhaseMap, ...]


@dataclass(frozen=True)
class Parameterisation:
    """What a network predicts, and the noise that follows; see the options of `Sgm`.

    Args:
        sde: the forward process.
        prediction: what the network predicts.
        mixed: the fixed part of the noise prediction: ``velocity``, to which the network is added;
            ``normal``, interpolated with the network by a learnable share; or ``none``.
        matching: the matching target.
        sigma_data: the data's standard deviation, as ``prediction="edm"`` assumes it.
        inputs: whether the network sees each phase, or their one sum that says all of the data.

    Raises:
        BadValue: for options that contradict each other.
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
                "inputs = 'statistic' tells the network of the data and not of the noise: it goes "
                f"with prediction={' or '.join(OF_DATA)}, not {self.prediction!r}"
            )
        if self.mixed == "velocity" and r == k:
            raise Incompatible(
                f"mixed = 'velocity' needs a phase that no noise enters, and {name} drives all "
                f"{k}; use mixed=normal"
            )

    @property
    def whole(self) -> bool:
        """Whether the answer is the noise of all k phases, in the frame of R (gDDIM)."""
        return self.prediction == "R"

    @property
    def normal_part(self) -> bool:
        """Whether a network that answers zero leaves the score of Normal data."""
        return self.mixed == "normal" or self.prediction == "residual"

    @property
    def summed(self) -> bool:
        """Whether the network sees one weighted sum of the phases in place of each."""
        return self.inputs == "statistic" or (self.inputs == "auto" and self.prediction in OF_DATA)

    @property
    def seen(self) -> int:
        """How many numbers the network sees for each coordinate of the data."""
        return 1 if self.summed else self.sde.phases

    @property
    def outputs(self) -> int:
        """How many numbers the network answers for each coordinate of the data."""
        if self.prediction == "residual":
            return 1
        return self.sde.phases if self.whole else self.sde.driven

    def at_time(self, t: float) -> Coefficients:
        """At one time, for the noise of the kernel u_t | x: plain numbers, for any device."""
        time = torch.tensor([t], dtype=torch.float64)
        scale, label, *pair = self._matrices(time, self.sde.kernel(time), None)
        acts = (operators_by_time(*matrices)[0] for matrices in self._grouped(pair))
        return Coefficients(scale[0].tolist(), float(label), tuple(acts))

    def at_times(
        self, t: Tensor, kernel: Kernel, conditional: Kernel | None, like: Tensor
    ) -> Coefficients:
        """At a time for each sample.

        Args:
            t: times, ``(B,)`` float64.
            kernel: law of u_t given x, at these times.
            conditional: for training, law of u_t given what the matching conditions on: the data x
                (hsm) or the whole start u_0 (dsm). The noise is then of this law. None: the noise
                is that of the kernel.
            like: states that the coefficients will act on, ``(B, k, *event)``.
        """
        scale, label, *pair = self._matrices(t, kernel, conditional)
        scales = [over_event(column, like[:, 0]) for column in scale.unbind(1)]
        joined = (torch.cat(matrices, -1).to(like) for matrices in self._grouped(pair))
        return Coefficients(
            scales, label, tuple(partial(act_on_phases, matrix) for matrix in joined)
        )

    def _grouped(self, pair: list[Tensor]) -> list[list[Tensor]]:
        """Matrices that act together: with ``mixed="normal"``, A and B are weighted apart."""
        return [[m] for m in pair] if self.mixed == "normal" or not pair else [pair]

    def _matrices(
        self, t: Tensor, kernel: Kernel, conditional: Kernel | None
    ) -> tuple[Tensor, ...]:
        """Scales ``(n, k)``, labels ``(n,)``, and A ``(n, r, k)`` and B ``(n, r, outputs)``.

        A and B are left out where the output is itself the noise that is asked for.
        """
        r, var = self.sde.driven, self.sde.data_var()
        edm = self.prediction == "edm"
        unit = statistic_scale if self.summed else input_scale
        scale = unit(kernel, self.sigma_data**2 if edm else var)
        label = noise_label(kernel) if edm else t / self.sde.horizon  # c_noise, or t / T
        plain = (self.prediction, self.mixed) == ("noise", "none")
        if plain and (self.matching == "hsm" or conditional is not None):
            return scale, label
        if self.whole and conditional is not None:  # the target is the whole noise too
            return scale, label
        if self.whole:  # eps_d = L_dd^T (R^{-T} answer)_d
            second = whole_noise_operator(kernel, flow_factor(self.sde, t), r)
            return scale, label, second.new_zeros(*second.shape[:-1], self.sde.phases), second
        first, second = noise_operators(kernel, r, self.prediction, self.sigma_data, var)
        if self.mixed == "normal":  # eps_n = L_dd^T (Sb^{-1} u)_d
            first = normal_noise_operator(kernel, r, var)
        elif self.mixed == "velocity":  # eps_v = L_vv v / S_vv
            first = velocity_noise_operator(kernel, r)
        if self.matching == "dsm":
            # One score, two noises: L_dd^{-T} eps = F_dd^{-T} eps', F the factor of u_t given u_0.
            factor = self.sde.kernel_from(t)[1] if conditional is None else conditional.chol
            if self.prediction == "noise":
                second = rescale_operator(factor, kernel.chol, r) @ second
            if conditional is not None:
                back = rescale_operator(kernel.chol, factor, r)
                first, second = back @ first, back @ second
        return scale, label, first, second
