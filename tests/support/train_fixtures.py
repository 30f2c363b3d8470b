"""A throw-away model, network and data set, small enough to train in a moment; and killable jobs.

`Job` runs the command line in a process forked from a clean server that has torch loaded, so that a
test can afford many processes, and may have it killed at a chosen call.
"""

import importlib
import json
import multiprocessing
import os
import resource
import signal
import sys
import warnings
from pathlib import Path

import pytest
from support.throwaway import hook, write_distribution
from torch import Tensor

from sgmkit import registry
from sgmkit.cli import app as cli
from sgmkit.training import checkpoint
from sgmkit.training.run import Run

PARTS = '''
import math
import time
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import nn

from sgmkit import Batch, Dataset, LinearSDE, Loss, Model, Network, Reverse

class Line(Network):
    """A layer, dropout, a layer."""
    def __init__(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...],
                 width: Annotated[int, Ge(1)] = 8, dropout: Annotated[float, Ge(0)] = 0.0):
        super().__init__(in_shape, out_shape)
        size, end = math.prod(in_shape), math.prod(out_shape)
        self.layers = nn.Sequential(
            nn.Linear(size + 1, width), nn.SiLU(), nn.Dropout(dropout), nn.Linear(width, end)
        )
        self.register_buffer("seen", torch.zeros(()))
    def forward(self, z, c, y=None):
        if self.training:
            self.seen += len(z)
        flat = torch.cat([z.flatten(1), c[:, None]], 1)
        return self.layers(flat).unflatten(1, self.out_shape)

class Tiny(Model):
    """Predicts noise at a uniform level; goes wrong on request."""
    def __init__(self, event: tuple[int, ...], sde: LinearSDE, network: Callable[..., Network],
                 spoil: float = 2.0, what: Literal["loss", "part", "gradient"] = "part",
                 pause: float = 0.0, late: float = 0.0):
        super().__init__()
        self.late, self.partial = late, late > 0
        self.event, self.sde = event, sde
        self.spoil, self.what, self.pause = spoil, what, pause
        self.network = network(in_shape=event, out_shape=event)
        self.scale = nn.Parameter(torch.ones(()))
        self.fixed = nn.Parameter(torch.full((3,), 2.0), requires_grad=False)
    def loss(self, batch, noise, progress):
        time.sleep(self.pause)
        x = batch.x.to(self.state_like())
        t = noise.stream("time").uniform(x.new_empty(len(x)))
        eps = noise.stream("diffusion")(x)
        scale = self.scale if progress >= self.late else 1.0
        answer = scale * self.network(x + t[:, None] * eps, t)
        fit, size = (answer - eps).square().mean(), answer.square().mean()
        total = fit + 0.1 * size
        if progress >= self.spoil:
            if self.what == "gradient":
                total = total + (0 * self.scale).sqrt() * 0
            else:
                size = size * math.nan if self.what == "part" else size
                total = total / 0
        return Loss(total, {"fit": fit, "size": size})
    def reverse(self, noise, y=None):
        return Reverse(self.sde, self.predict, noise)
    def predict(self, u, t):
        return self.network(u[:, 0], t.to(u).expand(len(u)))[:, None]
    def decode(self, u, noise=None):
        return u[:, 0]

class Wrap(Model):
    """A model around another."""
    def __init__(self, event: tuple[int, ...], prior: Callable[..., Model], depth: int = 1):
        super().__init__()
        self.event, self.prior = event, prior(event=event)
    def loss(self, batch, noise, progress): return self.prior.loss(batch, noise, progress)
    def reverse(self, noise, y=None): return self.prior.reverse(noise, y)
    def decode(self, u, noise=None): return self.prior.decode(u)

class Points(Dataset):
    """Points on a circle, in a fixed order."""
    event = (2,)
    def __init__(self, count: Annotated[int, Ge(1)] = 20, far: float = 1.0, of: str | None = None):
        self.count, self.far = count, far
    def size(self, split): return self.count
    def items(self, split):
        angle = torch.arange(self.count) * (2 * math.pi / self.count)
        x = self.far * torch.stack([angle.cos(), angle.sin()], 1)
        return Batch(x, None, torch.arange(self.count))
    def draw(self, split, n, noise): return self.items(split)

class Law(Points):
    """The same without items."""
    def size(self, split): return None
    def items(self, split): return None
    def draw(self, split, n, noise):
        return Batch(noise(torch.empty(n, 2)), None, noise.ids)
'''
OFFERS = {"model": "Tiny Wrap", "network": "Line", "dataset": "Points Law"}
TINY = [
    *("train", "--model", "tiny", "--network", "line:dropout=0.3", "--data", "points"),
    *("--steps", "12", "--set", "train.batch=8", "--set", "train.accumulate=2"),
    *("--set", "train.checkpoint_every=4", "--set", "train.log_every=3"),
    *("--set", "train.samples_every=0", "--set", "train.warmup=5", "--set", "train.lr=0.01"),
]
"""A training of a moment: dropout, accumulation, three checkpoints, epochs that end in a batch."""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The parts above installed, in an empty working directory; their module."""
    names = [(kind, name) for kind, words in OFFERS.items() for name in words.split()]
    components = [f'"{kind}", "{n.lower()}", "train_parts.parts:{n}", "x"' for kind, n in names]
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    modules = {"train_parts": hook(*components), "train_parts.parts": PARTS}
    write_distribution(site, "train_parts", modules)
    monkeypatch.syspath_prepend(site)
    monkeypatch.chdir(work)
    registry.reset()
    yield importlib.import_module("train_parts.parts")
    for name in ("train_parts", "train_parts.parts"):
        sys.modules.pop(name, None)
    monkeypatch.undo()
    registry.reset()


def train(*args: str, out: str = "run", code: int = 0) -> Run:
    """Train the tiny model in this process."""
    assert cli.main([*TINY, "--out", out, *args]) == code
    return Run(out)


def last_bytes(run: Run) -> bytes:
    """The newest checkpoint: weights, averages and optimiser, bit for bit."""
    return run.checkpoints()[-1].read_bytes()


def tensors(run: Run, *parts: str) -> dict[str, Tensor]:
    """What the newest checkpoint holds."""
    return checkpoint.read(run.checkpoints()[-1], parts or ("",))[0]


def log(run: Run) -> list[dict]:
    """The lines of a log, less what two runs never share."""
    lines = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    timing = ("seconds", "images_per_second")
    return [{key: v for key, v in line.items() if key not in timing} for line in lines]


class Job:
    """The command line in a process of its own.

    Args:
        args: of the command.
        kill: ``"module:name", n``: killed as it comes to call that for the n-th time; or ``n``:
            killed by the kernel in the midst of writing a file of more than n bytes.
        room: bytes that a file can have; writing more fails.
        environment: more of it; ``RANK`` tells apart what jobs say.
    """

    def __init__(
        self,
        args: list[str],
        kill: tuple[str, int] | int | None = None,
        room: int = 0,
        environment: dict[str, str] | None = None,
    ) -> None:
        server = multiprocessing.get_context("forkserver")
        server.set_forkserver_preload(["sgmkit.training", "sgmkit.cli", "support.train_fixtures"])
        added = {"CUDA_VISIBLE_DEVICES": "", **(environment or {})}
        self.name = f"job{added.get('RANK', '')}"
        work = (args, os.getcwd(), self.name, kill, room, added)
        self.process = server.Process(target=_work, args=work)
        self.process.start()

    def end(self) -> tuple[int, str]:
        """Exit code, negative for a signal, and standard error."""
        self.process.join(120)
        self.process.kill()  # one that hangs must not outlive the test
        self.process.join()
        code = self.process.exitcode
        self.process.close()
        return code, Path(f"{self.name}.err").read_text()


def _work(
    args: list[str],
    where: str,
    name: str,
    kill: tuple[str, int] | int | None,
    room: int,
    environment: dict[str, str],
) -> None:
    os.chdir(where)
    os.environ.update(environment)
    warnings.simplefilter("error")
    for stream, suffix in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{name}.{suffix}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if isinstance(kill, tuple):
        _kill_at(*kill)
    elif kill:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        room = kill
    if room:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    code = cli.main(args)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _kill_at(place: str, count: int) -> None:
    module, _, dotted = place.partition(":")
    *owners, name = dotted.split(".")
    holder = importlib.import_module(module)
    for owner in owners:
        holder = getattr(holder, owner)
    real, calls = getattr(holder, name), [0]

    def counted(*args, **kwargs):
        calls[0] += 1
        if calls[0] == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    setattr(holder, name, counted)
