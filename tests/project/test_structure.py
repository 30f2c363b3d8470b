"""The shape of the source: who imports whom, how long it is, what is documented and declared."""

import importlib
import inspect
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

import sgmkit

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = sorted(path.name for path in (ROOT / "plugins").iterdir() if any(path.glob("*.py")))
FILES = sorted([*ROOT.glob("sgmkit/**/*.py"), *ROOT.glob("plugins/**/*.py")])
HOOK = "sgmkit_components"
NAMES = [str(path.relative_to(ROOT)) for path in FILES]


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_import_contracts_hold(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    code = lint_imports(no_cache=True, no_logo=True)
    out = capsys.readouterr().out
    assert code == 0, out
    assert " 0 broken." in out


def test_what_the_contracts_speak_of_is_there(project):
    """A contract on a module that was renamed would hold for ever."""
    contracts = project["tool"]["importlinter"]["contracts"]
    assert len(contracts) >= 5
    for contract in contracts:
        prefix = f"{contract['containers'][0]}." if "containers" in contract else ""
        lists = [contract.get(key, []) for key in ("modules", "source_modules", "layers")]
        for name in (name for each in lists for line in each for name in line.split(" | ")):
            assert importlib.util.find_spec(prefix + name.strip("()")), name


def test_the_top_of_the_core_is_rooms():
    """At most 18 entries beside the three files; none bears the name of a public function."""
    loose = {path.name for path in (ROOT / "sgmkit").iterdir() if path.is_file()}
    assert loose <= {"__init__.py", "errors.py", "py.typed"}
    rooms = {path.parent.name for path in (ROOT / "sgmkit").glob("*/__init__.py")}
    assert len(rooms) <= 18
    assert not rooms & {"bench", "train", "sample", "wrap", *sgmkit.__all__}


def test_every_plugin_folder_is_declared_everywhere(project):
    declared = project["project"]["entry-points"]["sgmkit"]
    assert {f"sgmkit_{name}": target for name, target in declared.items()} == dict(
        zip(PLUGINS, PLUGINS, strict=True)
    )
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert wheel == ["sgmkit", *(f"plugins/{name}" for name in PLUGINS)]
    linter = project["tool"]["importlinter"]
    assert linter["root_packages"] == ["sgmkit", *PLUGINS]
    lists = {each["name"]: each for each in linter["contracts"]}
    assert lists["plugin families do not know each other"]["modules"] == PLUGINS
    assert lists["the core knows no plugin"]["forbidden_modules"] == PLUGINS
    installed = {point.value for point in entry_points(group="sgmkit") if point.dist}
    assert installed >= set(PLUGINS)


@pytest.mark.parametrize("name", NAMES)
def test_everything_public_says_what_it_is(name):
    path = (ROOT / name).relative_to(ROOT / "plugins" if name.startswith("plugins") else ROOT)
    dotted = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    module = importlib.import_module(dotted)
    assert module.__doc__
    silent = []
    for label, thing in vars(module).items():
        ours = getattr(thing, "__module__", "") == dotted and not label.startswith("_")
        if not ours or not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        if label == HOOK:  # its specification says it
            continue
        if not thing.__doc__ or thing.__doc__.startswith(f"{label}("):  # a dataclass's signature
            silent.append(label)
    assert not silent


def test_the_wheel_holds_every_file(tmp_path):
    """An ignore pattern that matches a package would leave it out, and only of the wheel."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "sgmkit").rglob("*.py")}
    ours |= {str(p.relative_to(ROOT / "plugins")) for p in (ROOT / "plugins").rglob("*.py")}
    ours |= {str(path.relative_to(ROOT)) for path in (ROOT / "sgmkit").rglob("*.txt")}
    ours.add("sgmkit/py.typed")
    assert ours - held == set()
    assert len(ours) > 60
