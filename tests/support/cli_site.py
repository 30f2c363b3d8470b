"""A site directory with a good plugin and a broken one, for tests of the command line."""

import subprocess
from pathlib import Path

import pytest
from support.throwaway import hook, run_sgmkit, write_distribution

_PARTS = '''
from dataclasses import dataclass
from typing import Annotated, Literal
from annotated_types import Ge, Len
from typing_extensions import Doc
from sgmkit import Grid

@dataclass(frozen=True)
class Steps(Grid):
    """Steps of a throw-away
    kind.

    And a second paragraph.
    """

    rho: Annotated[float, Ge(0), Doc("[bold] exponent")] = 7
    mode: Literal["a", "b"] = "a"
    ends: Annotated[tuple[float, ...] | None, Len(1, 2)] = None
    first: Grid | None = None

    def times(self, sde, steps, t_min): ...

class Plain(Grid):
    """No options here."""
    def times(self, sde, steps, t_min): ...
'''

LONG = "a-name-so-long-that-a-table-of-120-columns-would-rather-break-it"


BROKEN = (
    "sgmkit: plugin 'cli_bad' failed at import: ModuleNotFoundError: "
    "No module named 'cli_nowhere' (cli_bad/__init__.py:1) (sgmkit plugins --traceback cli_bad)\n"
)
"""What standard error says of the broken plugin."""


@pytest.fixture(scope="session")
def cli_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good plugin, one that needs a module that is not there, and no other."""
    site = tmp_path_factory.mktemp("site")
    write_distribution(site, "sgmkit", {}, version="0.1.0", plugins={})
    good = hook(
        '"grid", "steps", "cli_good.parts:Steps", "steps in [brackets]", ("ladder",)',
        '"grid", "plain", "cli_good.parts:Plain", "nothing to set"',
        f'"solver", "{LONG}", "cli_good.parts:Gone", "{"long words " * 20}"',
    )
    write_distribution(
        site, "cli_good", {"cli_good": good, "cli_good.parts": _PARTS}, version="2.3"
    )
    write_distribution(site, "cli_bad", {"cli_bad": "import cli_nowhere"})
    return site


def run(site: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the command line with these two plugins and no other."""
    return run_sgmkit(site, *args, SGMKIT_PLUGINS="cli_good,cli_bad")


def rows(text: str) -> list[list[str]]:
    """The words of each line that has any."""
    return [line.split() for line in text.splitlines() if line.strip()]
