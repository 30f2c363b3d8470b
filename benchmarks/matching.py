"""Hybrid against denoising score matching on CLD, and the variance saved by importance sampling.

1. Variance of the target. With the exact score of the (blurred) training items in place of the
   network, the loss that remains is the variance of the target, which no network can remove. Near
   t = 0 the law of u_t given x and v_0 narrows to a point and its score explodes; the law given x
   alone, of hybrid matching, keeps the spread of v_0.
2. Variance of the gradient. For a trained network, the variance of a batch's gradient over the
   square of its mean, for each weighting, with t drawn uniformly and by importance.

Takes less than two minutes.

    python benchmarks/matching.py [--items 1024] [--batches 64] [RUN ...]
"""

import argparse
import math

import torch
from torch import Tensor

from sgmkit import Batch, Dataset, LinearSDE, SeededNoise, create
from sgmkit.processes import Kernel, act_on_phases, score_operator
from sgmkit.training.run import Run

WIDTH = 0.1
"""Standard deviation by which items are blurred: point masses leave hybrid matching no chance."""
TIMES = (1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)


def target_variance(sde: LinearSDE, data: Dataset, t: float, items: int) -> tuple[float, ...]:
    """Of hybrid and denoising matching: mean of ``1/2 D |target - score|^2`` per coordinate, and
    its standard deviation over items; nats per unit of time."""
    now = torch.tensor(t, dtype=torch.float64)
    exact = create("model", "exact", sde=sde, data=data, bandwidth=WIDTH)
    noise = SeededNoise(0, range(items))
    x = data.draw("train", items, noise.stream("items")).x.double()
    x = x + WIDTH * noise.stream("blur")(x)
    shape = (items, sde.phases, *data.event)
    eps = noise.stream("diffusion")(torch.empty(shape, dtype=torch.float64))
    d = float(sde.diffusion(now)[-1, -1])
    moments = []
    for kind in ("hsm", "dsm"):
        kernel = sde.kernel(now)
        if kind == "hsm":
            u = kernel.perturb(x, eps)
        else:
            start = noise.stream("start")(torch.empty(shape, dtype=torch.float64))
            root = torch.tensor(sde.start_cov, dtype=torch.float64).diagonal().sqrt()
            start = start * root.reshape(-1, *([1] * len(data.event)))
            start[:, 0] += x
            phi, factor = sde.kernel_from(now)
            u = act_on_phases(phi.expand(items, -1, -1), start) + act_on_phases(
                factor.expand(items, -1, -1), eps
            )
            kernel = Kernel(phi[..., 0], factor @ factor.mT, factor)
        target = score(kernel, eps[:, -1:])
        gap = target - score(sde.kernel(now), exact.eps(u, now))
        loss = 0.5 * d * gap.square().flatten(1).mean(1)
        moments += [float(loss.mean()), float(loss.std())]
    return tuple(moments)


def score(kernel: Kernel, eps: Tensor) -> Tensor:
    operator = score_operator(kernel, 1)
    return act_on_phases(operator.expand(len(eps), -1, -1), eps)


def gradient_chance(run: Run, weighting: str, sampling: str, batches: int, size: int) -> float:
    """``E |g - mean g|^2 / |mean g|^2`` over batches, without the bias of a finite number."""
    spec = run.experiment.model.describe() | {"weighting": weighting, "sampling": sampling}
    from sgmkit import resolve

    data = run.experiment.dataset
    model = resolve("model", spec).build(event=data.event)
    model.load_state_dict(run.load().state_dict())
    parameters = [p for p in model.parameters() if p.requires_grad]
    total, squares = 0.0, 0.0
    for n in range(batches):
        noise = SeededNoise(1, range(n * size, (n + 1) * size))
        x = data.draw("train", size, noise.stream("items"))
        loss = model.loss(Batch(x.x, None, x.ids), noise.stream("train"), 0.5).total
        grads = torch.autograd.grad(loss, parameters, allow_unused=True)
        flat = torch.cat([g.flatten() for g in grads if g is not None])
        total = total + flat
        squares += float(flat.square().sum())
    mean = total / batches
    spread = (squares - batches * float(mean.square().sum())) / (batches - 1)
    signal = float(mean.square().sum()) - spread / batches
    return spread / signal if signal > 0 else math.inf


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*")
    parser.add_argument("--items", type=int, default=1024)
    parser.add_argument("--batches", type=int, default=64)
    parser.add_argument("--size", type=int, default=128)
    options = parser.parse_args()
    law = create("dataset", "digits")
    print(
        "what is left of the loss at the exact score, cld on digits, nats per coordinate and time"
    )
    print("t         hsm mean   hsm s.d.   dsm mean   dsm s.d.   ratio of means")
    for t in TIMES:
        row = target_variance(create("sde", "cld"), law, t, options.items)
        cells = "  ".join(f"{value:9.3g}" for value in row)
        print(f"{t:<8g}  {cells}  {row[2] / row[0]:9.3g}")
    for path in options.runs:
        run = Run(path)
        print(f"\n{run.name}: variance of a gradient of {options.size} over its squared mean")
        print("weighting     uniform   importance")
        for weighting in ("likelihood", "reweighted", "unweighted"):
            row = [
                gradient_chance(run, weighting, sampling, options.batches, options.size)
                for sampling in ("uniform", "importance")
            ]
            print(f"{weighting:<12}  {row[0]:7.1f}  {row[1]:11.1f}")
