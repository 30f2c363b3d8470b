"""What plugins may import: ``sgmkit`` and the public rooms, each of whose names is explained."""

import ast
import importlib
import inspect
import re
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import pytest
from support.throwaway import run_python

import sgmkit
from sgmkit import scaffold

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = (
    *("processes", "noise", "solvers", "likelihoods", "models", "data", "evaluation"),
    *("testing", "errors", "registry"),
)
PLUGIN_FILES = sorted(ROOT.glob("plugins/**/*.py"))
PAGES = [ROOT / "README.md", *ROOT.glob("plugins/*.md"), *ROOT.glob("docs/*.md")]


def sgmkit_imports(source: str) -> list[tuple[str, str]]:
    """Module and name of each import of sgmkit, wherever it stands; ``*`` for a bare module."""
    imports = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
            imports += [(name, "*") for name in modules if name.split(".")[0] == "sgmkit"]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sgmkit":
            imports += [(node.module, alias.name) for alias in node.names]
    return imports


def private_imports(source: str) -> list[str]:
    """Imports that are of no public room, or of a name that its room does not list."""
    allowed = {"sgmkit": {"*", *sgmkit.__all__, *PUBLIC}}
    for room in PUBLIC:
        allowed[f"sgmkit.{room}"] = set(importlib.import_module(f"sgmkit.{room}").__all__)
    return [
        f"from {module} import {name}"
        for module, name in sgmkit_imports(source)
        if name not in allowed.get(module, ())
    ]


@pytest.mark.parametrize("path", PLUGIN_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_plugins_import_public_names_only(path):
    assert private_imports(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("kind", scaffold.EXAMPLES)
def test_projects_of_new_plugin_import_public_names_only(kind):
    files = scaffold.project("my-plugin", [kind])
    sources = [text for name, text in files.items() if name.endswith(".py")]
    assert len(sources) == 3
    assert [private_imports(source) for source in sources] == [[], [], []]


def test_a_private_import_is_seen():
    source = "def f():\n    from sgmkit.training.run import Run\n    import sgmkit.cli\n"
    source += "from sgmkit.noise import Noise, counter\nfrom sgmkit import Model, bench\n"
    assert sorted(private_imports(source)) == [
        *("from sgmkit import bench", "from sgmkit.cli import *"),
        *("from sgmkit.noise import counter", "from sgmkit.training.run import Run"),
    ]


# Each public name --------------------------------------------------------------------------

NAMES = [
    (room, name) for room in PUBLIC for name in importlib.import_module(f"sgmkit.{room}").__all__
]


@cache
def explained_constants(path: Path) -> frozenset[str]:
    """Names at the top of a module that are assigned and then followed by a string."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    names = set()
    for node, after in pairwise(body):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        text = after.value if isinstance(after, ast.Expr) else None
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return frozenset(names)


@pytest.mark.parametrize(("room", "name"), NAMES)
def test_each_public_name_says_what_it_is(room, name):
    package = importlib.import_module(f"sgmkit.{room}")
    value = getattr(package, name)
    assert not inspect.ismodule(value), "a public name may not hide a module"
    if callable(value) and getattr(value, "__name__", "") == name:
        assert value.__doc__
        assert not value.__doc__.startswith(f"{name}("), "this is a dataclass's signature"
    else:  # a constant or a type alias: a string after its assignment says what it is
        modules = Path(package.__file__).parent.glob("*.py")
        assert any(name in explained_constants(path) for path in modules)


@pytest.mark.parametrize("room", PUBLIC)
def test_no_public_name_hides_a_module_of_its_room(room):
    package = importlib.import_module(f"sgmkit.{room}")
    modules = {path.stem for path in Path(package.__file__).parent.glob("*.py")}
    assert set(package.__all__).isdisjoint(modules if room != "errors" else ())
    assert sorted(package.__all__) == sorted(set(package.__all__))


@cache
def words_outside(room: str) -> frozenset[str]:
    """Every word of Python code and of pages outside a room."""
    inside = ROOT / "sgmkit" / room
    files = [
        path
        for folder in ("sgmkit", "plugins", "benchmarks", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if inside not in path.parents and path not in (ROOT / "sgmkit" / "__init__.py",)
    ]
    words = set[str]()
    for path in (*files, *PAGES):
        words |= set(re.findall(r"\w+", path.read_text(encoding="utf-8")))
    return frozenset(words)


@pytest.mark.parametrize(("room", "name"), NAMES)
def test_each_public_name_is_used_or_documented_outside_its_room(room, name):
    assert name in words_outside(room)


# The package itself ------------------------------------------------------------------------


def rooms_of_help() -> dict[str, list[str]]:
    """Room and names of each entry in the docstring of the package."""
    entries = re.findall(r"^    (\w+) +((?:\w+  )*\w+)$", sgmkit.__doc__, flags=re.MULTILINE)
    return {room: names.split() for room, names in entries}


def test_help_shows_every_public_name_under_its_room():
    rooms = rooms_of_help()
    listed = [name for names in rooms.values() for name in names]
    assert sorted(listed) == sorted({*sgmkit.__all__} - {"__version__"})
    homes = {name: module.split(".")[0] for name, module in sgmkit._HOME.items()}
    assert homes == {name: room for room, names in rooms.items() for name in names}
    for name in homes:
        assert getattr(sgmkit, name) is not None


def test_help_names_every_public_room():
    rules = sgmkit.__doc__[sgmkit.__doc__.index("A plugin imports") :]
    assert set(PUBLIC) <= set(re.findall(r"\w+", rules))


def test_importing_sgmkit_imports_nothing():
    code = "import sys; import sgmkit; dir(sgmkit); print(*{'torch', 'pluggy'} & set(sys.modules))"
    assert run_python(code, None).stdout == "\n"


def test_every_public_name_of_the_package_exists():
    for name in {*sgmkit.__all__} - {"__version__", "hookimpl"}:
        assert getattr(sgmkit, name).__name__ == name
    assert sgmkit.hookimpl.project_name == "sgmkit"
    assert sgmkit.__version__ == version("sgmkit")
    assert set(sgmkit.__all__) <= set(dir(sgmkit))
    with pytest.raises(AttributeError, match="module 'sgmkit' has no attribute 'nothing'"):
        _ = sgmkit.nothing
