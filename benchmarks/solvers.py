"""Our solvers beside those of diffusers, k-diffusion and azula: error and time at equal budgets.

Error: root mean square distance to the probability flow on the exact score of eight Gaussians in
the plane, from the same starts. Each tool uses its own grid between the two noise levels that it
documents; ours has equal steps in log-SNR between the same two levels, which k-diffusion and azula
use here as well. Time: a small convolutional network on 16 images of 3 x 32 x 32. The columns are
milliseconds of a step, the part of the network, and the ratio of the rest to ours; the tools run in
turns. Takes less than two minutes.

    pip install ".[peers]"
    python benchmarks/solvers.py [--calls 10,20,50] [--repeats 7]
"""

import argparse
import importlib.util
import statistics
import sys
import time
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

import sgmkit
from sgmkit import RecordedNoise, Reverse, SeededNoise
from sgmkit.processes import LinearSDE

HIGH, LOW, STARTS = 80.0, 0.02, 256
PAIRS = {  # ours: theirs, by tool
    "ddim": {"k-diffusion": "euler", "azula": "DDIM", "diffusers": "DDIM"},
    "heun": {"k-diffusion": "heun", "azula": "Heun"},
    "dpm": {"k-diffusion": "dpm_2"},
    "deis:max_order=3:variable=sigma": {"k-diffusion": "lms", "azula": "zAB"},
    "deis": {"diffusers": "DEIS"},
    "dpmpp:weights=published": {"k-diffusion": "dpmpp_2m", "diffusers": "DPMSolver++"},
    "dpmpp:max_order=3": {"azula": "xEAB", "k-diffusion": "dpmpp_3m_sde"},
    "exponential:form=noise:max_order=3": {"azula": "zEAB"},
    "unipc": {"diffusers": "UniPC"},
}


@dataclass
class Run:
    """Where a sampler went: between noise levels, in units in which the data keep their size."""

    high: float
    low: float
    calls: int
    end: Tensor


@dataclass
class Net:
    """What is asked, counted: the exact denoiser or noise by noise level, or one real network."""

    exact: sgmkit.Model
    network: nn.Module | None = None
    calls: int = 0
    spent: float = 0.0
    rev: Reverse = field(init=False)

    def __post_init__(self) -> None:
        self.rev = self.exact.reverse(SeededNoise(0, range(STARTS)))

    def denoised(self, x: Tensor, sigma: float) -> Tensor:
        """E[x | x + sigma z]."""
        return self._counted(x, lambda: x - sigma * self._eps(x, sigma))

    def noise(self, x: Tensor, sigma: float) -> Tensor:
        """The noise, of a state in units of the data."""
        return self._counted(x, lambda: self._eps(x, sigma))

    def _eps(self, x: Tensor, sigma: float) -> Tensor:
        return self.rev.eps(x[:, None], torch.tensor(sigma, dtype=torch.float64))[:, 0]

    def _counted(self, x: Tensor, answer: Callable[[], Tensor]) -> Tensor:
        self.calls += 1
        if self.network is None:
            return answer()
        begin = time.perf_counter()
        out = self.network(x)
        self.spent += time.perf_counter() - begin
        return out


def ours(spec: str, net: Net, x: Tensor, calls: int, high: float = HIGH, low: float = LOW) -> Run:
    solver, sde = sgmkit.create("solver", spec), sgmkit.create("sde", "edm", sigma_max=high)
    grid = sgmkit.time_grid("logsnr", sde, calls // solver.cost, low)

    def predict(u: Tensor, t: Tensor) -> Tensor:
        return net.noise(u[:, 0], float(t))[:, None]

    rev = Reverse(sde, predict, RecordedNoise([]))
    before = net.calls
    end = solver.solve(rev, high * x[:, None], grid)[:, 0]
    return Run(high, low, net.calls - before, end)


def k_diffusion(name: str, net: Net, x: Tensor, calls: int) -> Run:
    sampling = _k_diffusion()
    cost = 2 if name in ("heun", "dpm_2") else 1
    steps = calls // cost
    sigmas = sampling.get_sigmas_exponential(steps + 1, LOW, HIGH)[:-1].to(x.dtype)
    options = {"order": 3} if name == "lms" else {"eta": 0.0} if name.endswith("sde") else {}
    if options.get("eta") == 0.0:  # its Brownian tree would be made all the same
        options["noise_sampler"] = lambda s, t: torch.zeros_like(x)
    before = net.calls
    sample = getattr(sampling, f"sample_{name}")
    end = sample(
        lambda u, s: net.denoised(u, float(s[0])), HIGH * x, sigmas, disable=True, **options
    )
    return Run(HIGH, LOW, net.calls - before, end)


def azula(name: str, net: Net, x: Tensor, calls: int) -> Run:
    import azula.denoise
    import azula.noise
    import azula.sample

    schedule = azula.noise.VESchedule(LOW, HIGH)

    class Exact(azula.denoise.Denoiser):
        def __init__(self) -> None:
            super().__init__()
            self.schedule = schedule

        def forward(self, x_t: Tensor, t: Tensor, **_: object) -> azula.denoise.DiracPosterior:
            return azula.denoise.DiracPosterior(net.denoised(x_t, float(schedule.sigma(t))))

    options = {"order": 3} if name.endswith("AB") else {}
    steps = calls // (2 if name == "Heun" else 1)
    sampler = getattr(azula.sample, f"{name}Sampler")
    made = sampler(Exact(), steps=steps, silent=True, dtype=torch.float64, **options)
    before = net.calls
    end = made(HIGH * x)
    return Run(HIGH, LOW, net.calls - before, end)


def diffusers(name: str, net: Net, x: Tensor, calls: int) -> Run:
    import diffusers as peer

    classes = {"DDIM": "DDIMScheduler", "DEIS": "DEISMultistepScheduler"}
    classes |= {"DPMSolver++": "DPMSolverMultistepScheduler", "UniPC": "UniPCMultistepScheduler"}
    options: dict[str, object] = {"timestep_spacing": "linspace"}
    if name == "DDIM":
        options |= {"clip_sample": False, "set_alpha_to_one": False}
    else:
        options |= {"solver_order": 2 if name == "DPMSolver++" else 3}
        options |= {} if name == "DEIS" else {"final_sigmas_type": "sigma_min"}
    scheduler = getattr(peer, classes[name])(1000, **options)
    scheduler.set_timesteps(calls)
    bars = scheduler.alphas_cumprod.double()
    levels = ((1 - bars) / bars).sqrt()
    first = int(scheduler.timesteps[0])
    high, before = float(levels[first]), net.calls
    u = (high * x * bars[first].sqrt()).to(x.dtype)
    for t in scheduler.timesteps:
        scale, level = bars[int(t)].sqrt().to(x.dtype), float(levels[int(t)])
        u = scheduler.step(net.noise(u / scale, level), t, u).prev_sample
    return Run(high, float(levels[0]), net.calls - before, (u / bars[0].sqrt()).to(x.dtype))


TOOLS = {"k-diffusion": k_diffusion, "azula": azula, "diffusers": diffusers}


def _k_diffusion() -> types.ModuleType:
    """Its samplers alone: the package imports much that has no part in them."""
    if "k_diffusion" not in sys.modules:
        spec = importlib.util.find_spec("k_diffusion")
        assert spec is not None
        package = types.ModuleType("k_diffusion")
        package.__path__ = list(spec.submodule_search_locations or ())
        sys.modules["k_diffusion"] = package
    return importlib.import_module("k_diffusion.sampling")


def error(run: Run, exact: sgmkit.Model, x: Tensor) -> float:
    """Distance from where the flow goes from the same start between the same levels."""
    sde: LinearSDE = sgmkit.create("sde", "edm", sigma_max=run.high)
    rev = Reverse(sde, exact.reverse(SeededNoise(0, range(len(x)))).eps, RecordedNoise([]))
    ends = torch.tensor([run.high, run.low], dtype=torch.float64)
    truth = sgmkit.create("solver", "rk45", rtol=1e-8, atol=1e-8)
    goal = truth.solve(rev, run.high * x[:, None], ends)[:, 0]
    return float((run.end.double() - goal).square().mean().sqrt())


def errors(exact: sgmkit.Model, budgets: list[int]) -> None:
    x = SeededNoise(3, range(STARTS))(torch.empty(STARTS, 2, dtype=torch.float64))
    titles = "  ".join(f"{f'{n} calls':>10}" for n in budgets)
    print(f"root mean square error [data units], eight Gaussians, sigma {HIGH:g} to {LOW:g}")
    print(f"{'sgmkit':<36}{'peer':<26}  {titles}")
    for spec, peers in PAIRS.items():
        net = Net(exact)
        own = [error(ours(spec, net, x, n), exact, x) for n in budgets]
        print(f"{spec:<36}{'':<26}  " + "  ".join(f"{e:10.2e}" for e in own))
        for tool, name in peers.items():
            cells = []
            for n in budgets:
                run = TOOLS[tool](name, Net(exact), x, n)
                calls = "" if run.calls == n else f"@{run.calls}"
                cells.append(f"{error(run, exact, x):.2e}{calls}")
            print(f"{'':<36}{tool + ' ' + name:<26}  " + "  ".join(f"{c:>10}" for c in cells))
            if tool == "diffusers":  # between its own levels: it starts lower and ends elsewhere
                mine = [error(ours(spec, net, x, n, run.high, run.low), exact, x) for n in budgets]
                line = "  ".join(f"{e:10.2e}" for e in mine)
                print(f"{'':<36}{f'  ours, {run.high:.3g} to {run.low:.2g}':<26}  {line}")


def times(exact: sgmkit.Model, repeats: int, steps: int = 50) -> None:
    layers = [nn.Conv2d(3, 32, 3, padding=1), nn.SiLU(), nn.Conv2d(32, 3, 3, padding=1)]
    network = nn.Sequential(*layers)
    x = SeededNoise(4, range(16))(torch.empty(16, 3, 32, 32))
    print(f"\ntime of a step [ms]: median of {repeats}, {steps} calls, 16 images of 3 x 32 x 32")
    print(f"{'sgmkit':<36}{'peer':<26}  {'whole':>8}  {'network':>8}  {'rest':>8}  rest / ours")
    for spec, peers in PAIRS.items():
        makers: dict[str, Callable[[Net], Run]] = {"": partial(ours, spec, x=x, calls=steps)}
        for tool, name in peers.items():
            makers[f"{tool} {name}"] = partial(TOOLS[tool], name, x=x, calls=steps)
        spent: dict[str, list[tuple[float, float]]] = {label: [] for label in makers}
        for _ in range(repeats + 1):
            for label, make in makers.items():
                net = Net(exact, network)
                begin = time.perf_counter()
                make(net)
                whole = time.perf_counter() - begin
                spent[label].append((whole / net.calls * 1e3, net.spent / net.calls * 1e3))
        rest: dict[str, float] = {}
        for label, pairs in spent.items():
            whole, inside = (statistics.median(c) for c in zip(*pairs[1:], strict=True))
            rest[label] = statistics.median(a - b for a, b in pairs[1:])
            ratio = f"{rest[label] / rest['']:8.1f}"
            head = f"{spec if not label else '':<36}{label:<26}"
            print(f"{head}  {whole:8.3f}  {inside:8.3f}  {rest[label]:8.3f}  {ratio}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--calls", default="10,20,50,100", help="network calls")
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    missing = [n for n in ("azula", "diffusers", "k_diffusion") if not importlib.util.find_spec(n)]
    if missing:
        parser.error(f"{', '.join(missing)} not installed: pip install '.[peers]'")
    torch.set_num_threads(1)
    with torch.inference_mode():
        exact = sgmkit.create("model", "exact", sde="edm", data="eight-gaussians")
        errors(exact, [int(n) for n in args.calls.split(",")])
        times(exact, args.repeats)


if __name__ == "__main__":
    main()
