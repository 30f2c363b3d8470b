"""The effect of importance sampling of t on the gradients of a latent model (LSGM's claim).

An autoencoder is trained on digits alone. Then, on its latents and with it frozen, one prior is
trained for each process, under the likelihood weighting. With these weights the loss of one fixed
batch of latents is computed again and again, each time with fresh times and noise. The table has
the variances of

1. the prior's own loss,
2. its gradient in the parameters of the prior's network,
3. the gradient in the latents, which reaches the encoder: that of the cross entropy, which always
   has the likelihood weighting, at the times that were drawn for the prior's own loss,

each summed over coordinates and divided by the square of the mean, with t drawn uniformly and by
importance (a tenth of it uniform). The ratio is the factor that importance sampling saves. Its
interval is a bootstrap over repetitions, and too narrow for heavy tails. The column "Normal" is the
third ratio for N(0, I) latents and their exact score. All of this is with control=false, as
published. The last columns are

4. the gradient of 3 with importance sampling, estimated by sampling alone (control=false) and with
   the cost of a Normal prior in closed form (control=true), which is sgmkit's default.

Takes four minutes.

    python benchmarks/variance.py [--sdes vp,cld] [--repeats 64] [--batch 64] [--runs DIR]
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sgmkit import Batch, LinearSDE, SeededNoise, resolve
from sgmkit.processes import TimeSampler, Weighting, normal_noise_operator, weight_matrix
from sgmkit.training.devices import Devices
from sgmkit.training.fit import fit
from sgmkit.training.recipe import Experiment
from sgmkit.training.run import Run

SDES = "vp,subvp,geometric,ve,cld,psld"
WEIGHTINGS: tuple[Weighting, ...] = ("likelihood", "reweighted", "unweighted")
SAMPLINGS = ("uniform", "importance")
WAYS = {name: {"sampling": name, "control": False} for name in SAMPLINGS} | {
    "control": {"sampling": "importance", "control": True}
}
WHAT = ("prior: value of its loss", "prior: gradient", "encoder: gradient for the latents")
TRAIN = ("train.lr=2e-3", "train.warmup=50", "train.samples_every=0", "model.prior.t_min=0.01")
DRAWS = 1000
"""Of the bootstrap."""


@dataclass(frozen=True)
class Spread:
    """Repeated gradients, by what their variance needs.

    Args:
        mean: ``(P,)``.
        gram: inner products of the repetitions, ``(n, n)``.
    """

    mean: Tensor
    gram: Tensor

    @classmethod
    def of(cls, gradients: Tensor) -> "Spread":
        return cls(gradients.mean(0), (gradients @ gradients.T).double())

    def variance(self, counts: Tensor) -> Tensor:
        """Summed over coordinates, where repetitions count so often, ``(*, n)``."""
        n = len(self.gram)
        square = torch.einsum("...i,ij,...j->...", counts, self.gram, counts) / n
        return (counts @ self.gram.diagonal() - square) / (n - 1)

    @property
    def total(self) -> float:
        return float(self.variance(self.gram.new_ones(len(self.gram))))

    def resampled(self, noise: SeededNoise) -> Tensor:
        """Variances of bootstrap samples, ``(DRAWS,)``."""
        n = len(self.gram)
        picks = (noise.uniform(self.gram.new_empty(DRAWS, n)) * n).long().clamp(max=n - 1)
        return self.variance(torch.zeros_like(picks).scatter_add_(1, picks, picks * 0 + 1).double())


def signal(spreads: list[Spread]) -> float:
    """The squared mean that all share, from all, less what chance adds to it."""
    weights = [len(spread.gram) / spread.total for spread in spreads]
    mean = sum(w * spread.mean for w, spread in zip(weights, spreads, strict=True)) / sum(weights)
    return float(mean.double().square().sum()) - 1 / sum(weights)


def train(model: str, runs: Path, sets: tuple[str, ...], sde: str = "") -> Run:
    """A finished run, or the one that is there."""
    experiment = Experiment.of(model=model, sde=sde, data="digits", sets=(*TRAIN, *sets))
    fit(experiment, runs / experiment.name, Devices(accelerator="cpu"), lambda *_: None, print)
    return Run(runs / experiment.name)


def repeated(run: Run, z: Tensor, weighting: str, way: str, repeats: int) -> tuple[Spread, ...]:
    """The prior's loss, its gradient for the prior's parameters, the encoder's for the latents."""
    spec = run.experiment.model.describe()
    spec["prior"] |= {"weighting": weighting, **WAYS[way]}
    data = run.experiment.dataset
    model = resolve("model", spec).build(
        event=data.event, likelihood=data.likelihood, levels=data.levels
    )
    model.load_state_dict(run.load().state_dict())
    prior, z = model.prior, z.clone().requires_grad_()
    wanted = [*(p for p in prior.parameters() if p.requires_grad), z]
    rows_of: tuple[list[Tensor], ...] = ([], [], [])
    for n in range(repeats):
        noise = SeededNoise(1, range(n * len(z), (n + 1) * len(z)))
        cost = prior.cross_entropy(z, noise.stream(f"{weighting} {way}"), 1.0)
        *own, slope = torch.autograd.grad(cost.loss, wanted)
        flat = cost.loss.detach()[None], torch.cat([g.flatten() for g in own]), slope.flatten()
        for rows, row in zip(rows_of, flat, strict=True):
            rows.append(row)
    return tuple(Spread.of(torch.stack(rows)) for rows in rows_of)


def expected(sde: LinearSDE, weighting: Weighting) -> float:
    """The last ratio for N(0, c) latents under their exact score, of second moments.

    With ``N u`` the noise of the exact score, the error is ``eps_d - N (m z + L eps)``: Normal with
    covariance C, and ``-N m`` its slope in z. The gradient is ``-(N m)^T W e / r(t)``.
    """
    c, d, even = sde.data_var(), sde.driven, torch.linspace(0, 1, 100_002).double()[1:-1]
    second_moments = []
    for share in (1.0, 0.1):
        t, density = TimeSampler(sde, weighting, sde.t_min, share).draw(even)
        kernel = sde.kernel(t)
        exact = normal_noise_operator(kernel, d, c)
        slope = (exact @ kernel.mean[..., None])[..., 0]
        chance = torch.eye(sde.phases)[-d:].to(exact) - exact @ kernel.chol
        cov = chance @ chance.mT + c * slope[..., :, None] * slope[..., None, :]
        pull = torch.einsum("nij,nj->ni", weight_matrix(sde, t, kernel, "likelihood"), slope)
        square = torch.einsum("ni,nij,nj->n", pull, cov, pull)
        second_moments.append(float((square / density.square()).mean()))
    return second_moments[0] / second_moments[1]


def cells(pair: tuple[Spread, Spread], size: float, name: str) -> str:
    """Relative variances of two ways, their ratio and its interval."""
    noise = SeededNoise(2, range(DRAWS)).stream(name)
    uniform, important = (spread.total for spread in pair)
    draws = [spread.resampled(noise.stream(s)) for spread, s in zip(pair, SAMPLINGS, strict=True)]
    low, high = (draws[0] / draws[1]).quantile(torch.tensor([0.025, 0.975]).double()).tolist()
    relative = [uniform / size, important / size] if size > 0 else [float("inf")] * 2
    interval = f"{low:.3g} to {high:.3g}"
    return f"{relative[0]:8.3g}  {relative[1]:10.3g}  {uniform / important:6.3g}  {interval:>15}"


def main(options: argparse.Namespace, runs: Path) -> None:
    steps = (f"train.steps={options.vae_steps}", "model.vae_share=1")
    vae = train("lsgm", runs, steps)
    x = vae.experiment.dataset.draw("train", options.batch, SeededNoise(0, range(options.batch)))
    z = encoded(vae, x)
    head = "uniform  importance   ratio             95 %"
    last = " chance       known   ratio             95 %"
    print(f"{'':21}  " + "".join(f"{name:<47}" for name in WHAT) + f"{'':8}4: the same, controlled")
    print(f"sde        weighting   {'   '.join([head] * len(WHAT))}  Normal   {last}", flush=True)
    for sde in options.sdes.split(","):
        frozen = f"lsgm:pretrained={vae.path}:frozen=true"
        steps = (f"train.steps={options.steps}", f"train.batch={options.batch}")
        run = train(frozen, runs, steps, sde)
        by_case = {
            (weighting, way): repeated(run, z, weighting, way, options.repeats)
            for weighting in WEIGHTINGS
            for way in WAYS
        }
        latent = signal([spreads[-1] for spreads in by_case.values()])
        for weighting in WEIGHTINGS:
            pairs = [*zip(*(by_case[weighting, s] for s in SAMPLINGS), strict=True)]
            sizes = [*(signal([*pair]) for pair in pairs[:-1]), latent]
            row = (cells(*parts) for parts in zip(pairs, sizes, WHAT, strict=True))
            normal = expected(run.experiment.model.innermost("sde").build(), weighting)
            ends = (by_case[weighting, "importance"][-1], by_case[weighting, "control"][-1])
            text = f"{sde:<9}  {weighting:<10}  {'   '.join(row)}  {normal:6.3g}   "
            print(text + cells(ends, latent, "control"), flush=True)


def encoded(run: Run, batch: Batch) -> Tensor:
    """Latents as the encoder draws them."""
    noise = SeededNoise(0, range(len(batch.x))).stream("encode")
    with torch.no_grad():
        return run.load().autoencoder.encode(batch.x.float(), noise)[0].z


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sdes", default=SDES, help="names with options")
    parser.add_argument("--vae-steps", type=int, default=400)
    parser.add_argument("--steps", type=int, default=300, help="of each prior")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=64)
    parser.add_argument("--runs", help="where to keep what is trained; by default nowhere")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        main(options, Path(options.runs or place))
