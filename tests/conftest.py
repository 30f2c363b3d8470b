"""Throw-away plugins for the tests of the registry: real distributions in a site directory."""

import sys

import pytest
from support.bench_fixtures import parts, planned, run
from support.cli_site import cli_site
from support.lsgm_runs import place
from support.throwaway import hook, write_distribution
from support.train_fixtures import tiny

from sgmkit.registry import Registry, loader

__all__ = ["cli_site", "parts", "place", "planned", "run", "tiny"]

KINDS = {"solver": "tw_core:Solver", "sde": "tw_core:Process", "model": "tw_core:Model"}

CORE = """
from abc import ABC, abstractmethod

class Solver(ABC):
    @abstractmethod
    def solve(self): ...

class Process: ...

class Model: ...
"""

COMPONENTS = """
import math
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge
from sgmkit.errors import Incompatible
from tw_core import Model, Process, Solver

@dataclass(frozen=True)
class Heun(Solver):
    churn: Annotated[float, Ge(0)] = 0
    s_max: float = math.inf
    last: Literal["euler", "heun"] = "euler"

    def __post_init__(self):
        if self.churn > self.s_max:
            raise ValueError(f"churn {self.churn} exceeds s_max {self.s_max}")
        if self.last == "heun" and self.churn:
            raise Incompatible("heun: no churn in the last step")

    def solve(self): ...

@dataclass(frozen=True)
class Vp(Process):
    beta: float = 20

@dataclass(frozen=True)
class Cld(Process):
    levels: tuple[int, ...] = (1, 2)

class Exact(Model):
    def __init__(self, event: tuple[int, ...], sde: Process, backup: Cld | None = None, k: int = 1):
        self.event, self.sde, self.backup, self.k = event, sde, backup, k

class Unfinished(Solver): ...
"""

GOOD = hook(
    '"solver", "heun", "tw_good.parts:Heun", "second order", ("edm-heun",)',
    '"sde", "vp", "tw_good.parts:Vp", "one phase"',
    '"sde", "cld", "tw_good.parts:Cld", "two phases"',
    '"model", "exact", "tw_good.parts:Exact", "exact score"',
)


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory):
    """Features and trained classifiers are kept for the session, and out of the home directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGMKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Writes a distribution into a fresh site directory, the only plugins a registry then sees."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(loader, "_reported", set())
    monkeypatch.delenv("SGMKIT_STRICT", raising=False)
    write_distribution(site, "sgmkit", {}, version="0.1.0", plugins={})
    write_distribution(site, "tw_core", {"tw_core": CORE}, plugins={})
    names = []

    def write(name, modules, plugins=None, **details):
        write_distribution(site, name, modules, plugins=plugins, **details)
        names.extend(plugins or [name])
        monkeypatch.setenv("SGMKIT_PLUGINS", ",".join(names))

    yield write
    for module in [name for name in sys.modules if name.startswith("tw_")]:
        del sys.modules[module]


@pytest.fixture
def good(install):
    install("tw_good", {"tw_good": GOOD, "tw_good.parts": COMPONENTS}, version="2.3")
    return Registry(KINDS)
