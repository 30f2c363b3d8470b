"""The reverse problem, which stands between models and solvers.

It holds a linear SDE, a noise predictor and noise, and it counts network calls.
"""

from collections.abc import Callable
from functools import partial
from typing import Self

import torch
from torch import Tensor

from sgmkit._util.memo import Memo, remembered
from sgmkit.errors import Incompatible
from sgmkit.noise import Noise
from sgmkit.processes import (
    Kernel,
    LinearSDE,
    PhaseMap,
    act_on_phases,
    denoise_operators,
    flow_operators,
    operators_by_time,
    over_event,
    score_operator,
)

Predict = Callable[[Tensor, Tensor], Tensor]
"""``(u (B, k, *event), t () or (B,)) -> eps_d (B, r, *event)``: one network evaluation."""

Narrow = Callable[[Tensor], Predict]
"""Returns the predictor for some rows of the batch (it needs their labels, for example)."""

QUANTITIES = ("velocity", "drift", "denoise", "score", "diffusion")
"""The results of `Reverse`, each a matrix applied to phases.

The first four take the network's noise prediction, "diffusion" takes standard normal draws.
"""


def _matrices(sde: LinearSDE, t: Tensor, kernel: Kernel, quantity: str) -> tuple[Tensor, ...]:
    """Matrices that give one of the `QUANTITIES` at the times ``t (n,)``.

    Velocity, drift, denoise: a pair of matrices, for u and for eps_d. Score: one, for eps_d.
    Diffusion: one, for standard normal draws.
    """
    if quantity == "diffusion":
        return (sde.noise_factor(t),)
    if quantity == "score":
        return (score_operator(kernel, sde.driven),)
    if quantity == "denoise":
        return denoise_operators(kernel, sde.driven, sde.data_var())
    # velocity = F u - D s / 2 per unit of time; drift = -F u + D s per unit of decreasing time
    drift, half = flow_operators(sde, t, kernel)
    return (drift, half) if quantity == "velocity" else (-drift, -2 * half)


def _narrowed(
    predict: Predict, narrow: Narrow | None, index: Tensor
) -> tuple[Predict, Narrow | None]:
    """The predictor of the rows ``index``, and the function that narrows it further."""
    if narrow is None:
        return predict, None
    return narrow(index), lambda inner: narrow(index[inner])


@remembered
def _phase_maps(sde: LinearSDE, times: Tensor) -> dict[float, dict[str, PhaseMap]]:
    """The operator of each of the `QUANTITIES` at each of ``times (n,)``."""
    kernel = sde.kernel(times)
    columns = [operators_by_time(*_matrices(sde, times, kernel, name)) for name in QUANTITIES]
    rows = zip(times.tolist(), *columns, strict=True)
    return {time: dict(zip(QUANTITIES, row, strict=True)) for time, *row in rows}


class Reverse:
    """The generative problem that a solver sees.

    Args:
        sde: the forward process.
        predict: the noise on the driven phases; each call is one network evaluation.
        noise: draws for a stochastic solver; one sample id for each row of the batch.
        narrow: ``index -> predict`` for a part of the batch. It is needed where predictions depend
            on the row, through labels; by default ``predict`` serves any rows.
        whole: the noise of all phases in the frame of R, ``R^{-1} (u - m E[x | u])``, for a model
            that predicts that; see the method `whole`.
        narrow_whole: ``index -> whole`` for a part of the batch.

    Times of fixed grids are float64 on the CPU: looking up their coefficients then never waits
    for a device.
    """

    def __init__(
        self,
        sde: LinearSDE,
        predict: Predict,
        noise: Noise,
        narrow: Narrow | None = None,
        whole: Predict | None = None,
        narrow_whole: Narrow | None = None,
    ) -> None:
        self.sde = sde
        self.noise = noise
        self._predict = predict
        self._narrow = narrow
        self._whole = whole
        self._narrow_whole = narrow_whole
        self._root: Reverse = self
        self._index: Tensor | None = None
        self._rows = 0
        self._shared = 0  # calls for the whole batch
        self._own = torch.zeros(0, dtype=torch.int64)  # further calls for some rows, by row
        self._maps: Memo[float, dict[str, PhaseMap]] = Memo()

    @classmethod
    def from_score(cls, sde: LinearSDE, score: Predict, noise: Noise) -> Self:
        """The problem of a known score.

        Args:
            score: ``(u, t) -> d log p_t(u) / d u`` on the driven phases, ``(B, r, *event)``.
        """

        def predict(u: Tensor, t: Tensor) -> Tensor:
            factor = sde.kernel(t).chol[..., -sde.driven :, -sde.driven :]
            return -act_on_phases(factor.mT.to(u), score(u, t))

        return cls(sde, predict, noise)

    @property
    def calls(self) -> Tensor:
        """Network evaluations so far for each sample, int64 ``(B,)``: counted, never computed."""
        if self._index is not None:
            return self._root.calls[self._index.to(self._root.calls.device)]
        rows = max(self._rows, len(self._own), len(self.noise.ids))
        total = torch.full((rows,), self._shared, dtype=torch.int64)
        total[: len(self._own)] += self._own
        return total

    def eps(self, u: Tensor, t: Tensor) -> Tensor:
        """Predicted noise on the driven phases, ``(B, r, *event)``. One network call."""
        self._count(len(u))
        eps = self._predict(u, t)
        return eps if eps.dtype == u.dtype else eps.to(u.dtype)  # autocast: bfloat16

    @property
    def predicts_whole(self) -> bool:
        """Whether the model predicts the noise of all phases, so that `whole` can be called."""
        return self._whole is not None

    def whole(self, u: Tensor, t: Tensor) -> Tensor:
        """Predicted noise of all phases, ``(B, k, *event)``. One network call.

        The score is ``-R^{-T}`` times this noise, R being `sgmkit.processes.flow_factor`. For
        models with ``prediction = "R"`` alone; see `predicts_whole`.

        Raises:
            Incompatible: for a model that does not predict this noise.
        """
        if self._whole is None:
            raise Incompatible(
                "this model does not predict the whole noise; train with prediction=R, or check "
                "predicts_whole"
            )
        self._count(len(u))
        return self._whole(u, t).to(u.dtype)

    def score(self, u: Tensor, t: Tensor) -> Tensor:
        """Score on the driven phases, ``(B, r, *event)``. One network call."""
        return self._at(t, u, "score")(self.eps(u, t))

    def denoise(self, u: Tensor, t: Tensor) -> Tensor:
        """Posterior mean of the data ``E[x | u_t]``, ``(B, *event)``. One network call."""
        return self._at(t, u, "denoise")(u, self.eps(u, t))[:, 0]

    def velocity(self, u: Tensor, t: Tensor) -> Tensor:
        """du/dt of the probability flow, ``F u - 1/2 D s``, ``(B, k, *event)``. One network call.

        A step from t to s < t adds ``(s - t) * velocity``.
        """
        return self._at(t, u, "velocity")(u, self.eps(u, t))

    def drift(self, u: Tensor, t: Tensor) -> Tensor:
        """Drift of the reverse SDE per unit of DEcreasing time, ``-F u + D s``. One network call.

        A step from t to s < t adds ``(t - s) * drift`` and `brownian`.
        """
        return self._at(t, u, "drift")(u, self.eps(u, t))

    def brownian(self, u: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """``G(t) sqrt(t - s) z``, ``(B, k, *event)``, with ``G G^T = D``.

        z is standard normal, drawn for driven phases only.
        """
        return self.diffused(self.draw(u), t) * over_event((t - s).sqrt(), u)

    def diffused(self, w: Tensor, t: Tensor) -> Tensor:
        """``G(t) w``, ``(B, k, *event)``, of noise w of the driven phases, ``(B, r, *event)``."""
        return self._at(t, w, "diffusion")(w)

    def draw(self, u: Tensor) -> Tensor:
        """Standard normal numbers for the driven phases, ``(B, r, *event)``."""
        r = self.sde.driven
        return self.noise(u if r == u.shape[1] else u[:, -r:])

    def prepare(self, times: Tensor) -> None:
        """Compute the coefficients of all of ``times (n,)`` at once.

        Coefficients at other times are computed when they are first used.
        """
        self._maps.pin(_phase_maps(self.sde, times))

    def select(self, index: Tensor) -> "Reverse":
        """The same problem on the rows ``index``; its calls count for those rows.

        Args:
            index: positions ``(b,)`` int64, or a mask ``(B,)`` bool.
        """
        if index.dtype == torch.bool:
            index = index.nonzero()[:, 0]
        predict, narrow = _narrowed(self._predict, self._narrow, index)
        whole, narrow_whole = self._whole, self._narrow_whole
        if whole is not None and (narrow_whole or not narrow):
            whole, narrow_whole = _narrowed(whole, narrow_whole, index)
        else:  # predictions depend on the row, and `whole` cannot be narrowed to some rows
            whole = narrow_whole = None
        noise = self.noise.select(index)
        part = Reverse(self.sde, predict, noise, narrow, whole, narrow_whole)
        part._root = self._root
        part._index = index if self._index is None else self._index[index]
        return part

    def _count(self, rows: int) -> None:
        if self._index is None:
            self._rows = rows
            self._shared += 1
            return
        own, index = self._root._own, self._index.cpu()
        short = int(index.max()) + 1 - len(own) if len(index) else 0
        if short > 0:
            own = torch.cat([own, own.new_zeros(short)])
        self._root._own = own.index_add(0, index, torch.ones_like(index))

    def _at(self, t: Tensor, u: Tensor, quantity: str) -> PhaseMap:
        """The operator of one of the `QUANTITIES` at time t, for states like u."""
        if t.ndim:  # a time for each sample
            matrices = _matrices(self.sde, t, self.sde.kernel(t), quantity)
            return partial(act_on_phases, torch.cat(matrices, -1).to(u))
        time = float(t)
        return self._maps.get(time, lambda: _phase_maps(self.sde, t[None])[time])[quantity]
