"""The cost of a training step beside that of a loop written by hand.

Both do the same: a batch of items, the score-matching loss of a U-Net under VP, its gradient
clipped by norm, Adam, averaged weights. The loop by hand is twenty lines of PyTorch with
`torch.randn` and `torch.randint`, the coefficients of the process in closed form, and no log;
sgmkit's loop is that of `sgmkit train`. Their steps alternate, and the ratio is the median over
pairs. On a CPU the times are those of one thread of this process, so that other processes hardly
count. On a GPU they are wall time, and bf16 is measured as well; ``--compile`` adds compiled
networks. Takes --seconds for each line of the table.
"""

import argparse
import math
import resource
import statistics
import time
from collections.abc import Callable
from multiprocessing import get_context

import torch
from torch import Tensor, nn

from sgmkit import Batch, Dataset, Model, RecordedNoise, create
from sgmkit.training.devices import Devices, place_model
from sgmkit.training.fit import assemble
from sgmkit.training.recipe import Settings

CPU_CASES = (
    ("1 x 8 x 8", "unet", (1, 8, 8), 128),
    ("3 x 32 x 32", "unet", (3, 32, 32), 16),
    ("2", "mlp:width=512", (2,), 1024),
)
GPU_CASES = (
    ("3 x 32 x 32", "unet:channels=128:attention=(16,)", (3, 32, 32), 128),
    ("1 x 8 x 8", "unet", (1, 8, 8), 128),
)
Step = Callable[[], None]


class Pixels(Dataset):
    """As many images of noise as MNIST has, in memory as floats: the cheapest data there are."""

    value_range = (-1.0, 1.0)

    def __init__(self, event: tuple[int, ...], count: int = 5000):
        self.event = event
        self.x = create("dataset", "digits").items("train").x.flatten()[: 8 * 8 * 100]
        size = count * math.prod(event)
        self.x = self.x.repeat(size // len(self.x) + 1)[:size].view(count, *event)

    def size(self, split):
        return len(self.x)

    def items(self, split):
        return Batch(self.x, None, torch.arange(len(self.x)))

    def draw(self, split, n, noise):
        return Batch(self.x[:n], None, torch.arange(n))


def build(network: str, event: tuple[int, ...], device: torch.device, compile: bool) -> Model:
    model = create("model", "sgm", sde="vp", network=network, sampling="uniform", event=event)
    return place_model(model, device, compile).train()


def ours(model: Model, data: Dataset, settings: Settings, fabric) -> Step:
    training = assemble(fabric, model, data, settings, 0)

    def step() -> None:
        training.step()
        if training.state.step % settings.log_every == 0:
            training.meter.read(training.state.step, training.objective.module.names)
            training.meter.start()

    return step


class ByHand:
    """The same training as someone writes it who needs it once."""

    def __init__(self, model: Model, data: Pixels, settings: Settings, device: torch.device):
        self.model, self.network, self.settings = model, model.network, settings
        self.x, self.device = data.x, device
        self.autocast = settings.precision == "bf16-mixed"
        self.weights = list(model.parameters())
        self.mean = [weight.detach().clone() for weight in self.weights]
        self.optimiser = torch.optim.AdamW(self.weights, settings.lr, weight_decay=0, fused=True)
        self.scale, self.done = 1.0, 0

    def loss(self, x: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        log_mean = -0.25 * t * t * (20 - 0.1) - 0.5 * t * 0.1
        shape = (-1, *([1] * (x.ndim - 1)))
        mean, std = log_mean.exp().view(shape), (1 - (2 * log_mean).exp()).sqrt().view(shape)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            answer = self.network(mean * x + std * eps, t)
        return self.scale * (eps - answer.float()).square().mean()

    def __call__(self) -> None:
        self.done += 1
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.lr * min(1.0, self.done / self.settings.warmup)
        index = torch.randint(len(self.x), (self.settings.batch,))
        x = self.x[index].to(self.device, non_blocking=True)
        t = 1e-3 + (1 - 1e-3) * torch.rand(len(x), device=self.device)  # noqa: TID251
        eps = torch.randn_like(x)  # noqa: TID251
        self.loss(x, t, eps).backward()
        nn.utils.clip_grad_norm_(self.weights, self.settings.clip)
        self.optimiser.step()
        self.optimiser.zero_grad()
        with torch.no_grad():
            torch._foreach_lerp_(self.mean, self.weights, 1 - self.settings.ema)

    def check(self) -> None:
        """Set the scale of the loss, and see that both compute the same from the same draws."""
        n, t_min = 4, self.model.t_min
        x, u = self.x[:n].to(self.device), torch.linspace(0.1, 0.9, n)
        eps = torch.linspace(-2, 2, x.numel(), device=self.device).view_as(x)
        batch = Batch(x, None, torch.arange(n))
        noise = RecordedNoise([u.double(), eps[:, None]])
        with torch.no_grad():
            ours = self.model.loss(batch, noise, 0.0)
            self.scale = float(ours.total / ours.parts["noise"])
            by_hand = self.loss(x, (t_min + (1 - t_min) * u).to(self.device), eps)
        assert abs(float(by_hand / ours.total) - 1) < (0.02 if self.autocast else 1e-4)


def clock(step: Step, count: int, device: torch.device) -> float:
    """Milliseconds for one step, on average over a block of them."""
    now = time.perf_counter if device.type == "cuda" else time.process_time
    begin = now()
    for _ in range(count):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (now() - begin) / count * 1e3


def pair(case, precision: str, compile: bool) -> tuple[dict[str, Step], torch.device, Settings]:
    _, network, event, batch = case
    settings = Settings(batch=batch, precision=precision, log_every=20)
    fabric = Devices().launch(precision)
    data, device = Pixels(event), fabric.device
    by_hand = ByHand(build(network, event, device, compile), data, settings, device)
    by_hand.check()
    step = ours(build(network, event, device, compile), data, settings, fabric)
    return {"sgmkit": step, "by hand": by_hand}, device, settings


def compare(case, precision: str, compile: bool, seconds: float) -> None:
    steps, device, settings = pair(case, precision, compile)
    for step in steps.values():  # compilation, allocations
        clock(step, 5, device)
    block = 10 if device.type == "cuda" else 1
    durations = {name: [] for name in steps}
    end = time.monotonic() + seconds
    while time.monotonic() < end:  # in turn, so that what else the machine does hits both
        for name, step in steps.items():
            durations[name].append(clock(step, block, device))
    ratios = sorted(a / b for a, b in zip(*durations.values(), strict=True))
    usual = {name: statistics.median(times) for name, times in durations.items()}
    half = 1.96 * 0.5 * len(ratios) ** 0.5  # ranks that enclose the median with 95 %
    low, high = (ratios[round(len(ratios) / 2 + s * half)] for s in (-1, 1))
    memory = {name: peak(case, precision, compile, name) for name in steps}
    how = f"{precision}{' compiled' if compile else ''}"
    words = (case[0], case[1], f"{settings.batch}", how, f"{usual['by hand']:.2f}")
    words += (f"{usual['sgmkit']:.2f}", f"{statistics.median(ratios):.3f}")
    words += (f"{low:.3f} to {high:.3f}", f"{settings.batch / usual['sgmkit'] * 1e3:.0f}")
    words += tuple(f"{memory[name]:.0f}" for name in ("by hand", "sgmkit"))
    print("  ".join(w.ljust(n) for w, n in zip(words, WIDTHS, strict=True)).rstrip(), flush=True)


def peak(case, precision: str, compile: bool, name: str) -> float:
    """Peak memory of a few steps, MB: of the process, or of tensors on the GPU."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (case, precision, compile, name))


def _peak(case, precision: str, compile: bool, name: str) -> float:
    torch.set_num_threads(1)
    steps, device, _ = pair(case, precision, compile)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    clock(steps[name], 3, device)
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


HEADER = ("event", "network", "batch", "precision", "by hand ms", "sgmkit ms", "ratio", "95 %")
HEADER += ("images/s", "by hand MB", "sgmkit MB")
WIDTHS = (11, 33, 5, 19, 10, 9, 5, 14, 8, 10, 9)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=25.0, help="for each line")
    parser.add_argument("--compile", action="store_true", help="compiled networks as well")
    options = parser.parse_args()
    torch.set_num_threads(1)
    on_gpu = torch.cuda.is_available()
    print("  ".join(w.ljust(n) for w, n in zip(HEADER, WIDTHS, strict=True)).rstrip())
    for case in GPU_CASES if on_gpu else CPU_CASES:
        for precision in ("32", "bf16-mixed") if on_gpu else ("32",):
            for compile in (False, True) if options.compile else (False,):
                compare(case, precision, compile, options.seconds)
