"""Real throw-away distributions: a package and its metadata in a temporary site directory."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).resolve().parents[2]

HOOK = """
from sgmkit import Component, hookimpl

@hookimpl
def sgmkit_components():
    {body}
"""


def hook(*components: str) -> str:
    """Source of a plugin's ``__init__`` that offers ``Component(...)`` for each argument."""
    return HOOK.format(body=f"return [{', '.join(f'Component({x})' for x in components)}]")


def write_distribution(
    site: Path,
    name: str,
    modules: dict[str, str],
    *,
    version: str = "1.0",
    requires: Sequence[str] = (),
    plugins: dict[str, str] | None = None,
) -> None:
    """Install a distribution into ``site``, as an installer would leave it there.

    Args:
        site: the directory that goes on the path.
        name: of the distribution.
        modules: dotted module name -> source; a package's own source is under its bare name.
        version: of the distribution.
        requires: its ``Requires-Dist``.
        plugins: entry points of the group ``sgmkit``; by default ``name = "<name>"``.
    """
    packages = {module.rpartition(".")[0] for module in modules}
    for module, source in modules.items():
        path = site.joinpath(*module.split("."))
        is_package = module in packages or "." not in module
        path = path / "__init__.py" if is_package else path.with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(source))
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    points = {name: name} if plugins is None else plugins
    entries = "\n".join(f"{key} = {value}" for key, value in points.items())
    (info / "entry_points.txt").write_text(f"[sgmkit]\n{entries}\n")


def install_project(project: Path, site: Path) -> None:
    """Build a project and install it into ``site``, without what it depends on."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    alone = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(site)]
    done = subprocess.run([*pip, *alone, str(project)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def run_sgmkit(
    site: Path | None, *args: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own with ``site`` on the path."""
    return run_python(
        "import sys; from sgmkit.cli.app import main; sys.exit(main())", site, *args, **environment
    )


def run_python(
    code: str, site: Path | None, *args: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own with ``site`` on the path."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SGMKIT_")}
    path = os.pathsep.join(str(part) for part in (site, ROOT, ROOT / "plugins") if part)
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *args],
        env={**clean, "PYTHONPATH": path, "COLUMNS": "120", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
