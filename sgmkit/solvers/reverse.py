"""The seam between models and solvers: a linear SDE, a noise predictor, noise, and a count."""

from collections.abc import Callable
from functools import partial
from typing import Self

import torch
from torch import Tensor

from sgmkit._util.memo import remembered
from sgmkit.noise import Noise
from sgmkit.processes import (
    Kernel,
    LinearSDE,
    PhaseMap,
    act_on_phases,
    denoise_operators,
    flow_operators,
    operators_by_time,
    score_operator,
)

Predict = Callable[[Tensor, Tensor], Tensor]
"""``(u (B, k, *event), t () or (B,)) -> eps_d (B, r, *event)``: one network evaluation."""

Narrow = Callable[[Tensor], Predict]
"""``index -> `` the predictor of that sub-batch (its labels, for one)."""


def _matrices(sde: LinearSDE, t: Tensor, kernel: Kernel, name: str) -> tuple[Tensor, ...]:
    """What makes a velocity, drift, denoised data, score or noise, at times ``t (n,)``.

    On u and eps, on eps for the score, on normal numbers for the noise.
    """
    if name == "noise":
        return (sde.noise_factor(t),)
    if name == "score":
        return (score_operator(kernel, sde.driven),)
    if name == "denoise":
        return denoise_operators(kernel, sde.driven, sde.data_var())
    drift, half = flow_operators(sde, t, kernel)
    return (drift, half) if name == "velocity" else (-drift, -2 * half)


def _narrowed(
    predict: Predict, narrow: Narrow | None, index: Tensor
) -> tuple[Predict, Narrow | None]:
    """A predictor for the rows ``index``, and what narrows it further."""
    if narrow is None:
        return predict, None
    return narrow(index), lambda inner: narrow(index[inner])


@remembered
def _locals(sde: LinearSDE, times: Tensor) -> dict[float, dict[str, PhaseMap]]:
    """All of these at each of ``times (n,)``."""
    kernel = sde.kernel(times)
    names = ("velocity", "drift", "denoise", "score", "noise")
    columns = [operators_by_time(*_matrices(sde, times, kernel, name)) for name in names]
    rows = zip(times.tolist(), *columns, strict=True)
    return {key: dict(zip(names, row, strict=True)) for key, *row in rows}


class Reverse:
    """The generative problem that a solver sees.

    Args:
        sde: the forward process.
        predict: noise on the driven phases; called once per network evaluation and never else.
        noise: draws for a stochastic solver; one sample id for each row of the batch.
        narrow: ``index -> predict`` for a sub-batch, where predict depends on the row (labels);
            the default uses ``predict`` for any rows.
        whole: the noise of all phases in the flow's frame, ``R^{-1} (u - m E[x | u])``, where a
            model predicts that; see `whole`.
        narrow_whole: `narrow` of ``whole``.

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
        self._shared = 0  # calls made for the whole batch
        self._own = torch.zeros(0, dtype=torch.int64)  # calls made for single rows
        self._ready: dict[float, dict[str, PhaseMap]] = {}

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
        """Whether the model predicts the noise of all phases, so that `whole` can be asked."""
        return self._whole is not None

    def whole(self, u: Tensor, t: Tensor) -> Tensor:
        """Predicted noise of all phases, ``(B, k, *event)``: score ``-R^{-T}`` of it. One call.

        R is `sgmkit.processes.flow_factor`; for a model that has it (``prediction = "R"``).
        """
        assert self._whole is not None
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
        """``D(t)^{1/2} sqrt(t - s) z``, ``(B, k, *event)``: z is drawn for driven phases only."""
        gap = (t - s).sqrt().to(u)
        return self.diffused(self.draw(u), t) * gap.reshape(-1, *([1] * (u.ndim - 1)))

    def diffused(self, w: Tensor, t: Tensor) -> Tensor:
        """``G(t) w``, ``(B, k, *event)``, of noise w of the driven phases, ``(B, r, *event)``."""
        return self._at(t, w, "noise")(w)

    def draw(self, u: Tensor) -> Tensor:
        """Standard normal numbers for the driven phases, ``(B, r, *event)``."""
        r = self.sde.driven
        return self.noise(u if r == u.shape[1] else u[:, -r:])

    def prepare(self, times: Tensor) -> None:
        """Compute the coefficients of all of ``times (n,)`` at once; a miss computes one later."""
        self._ready.update(_locals(self.sde, times))

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
        else:  # it would not know whose rows these are
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

    def _at(self, t: Tensor, u: Tensor, name: str) -> PhaseMap:
        if t.ndim:  # a time for each sample
            matrices = _matrices(self.sde, t, self.sde.kernel(t), name)
            return partial(act_on_phases, torch.cat(matrices, -1).to(u))
        local = self._ready.get(key := float(t))
        if local is None:
            self.prepare(t[None])
            local = self._ready[key]
        return local[name]
