"""One rule finds the test of a module: tests mirror the two trees, file by file.

``sgmkit/ROOM/MODULE.py`` is tested by ``tests/core/ROOM/test_MODULE.py`` or by
``test_MODULE_ASPECT.py`` beside it, ``plugins/PACKAGE/MODULE.py`` by the like under
``tests/plugins/PACKAGE``, and ``sgmkit/cli/MODULE.py`` under ``tests/cli``. The tests of
``sgmkit/testing/MODULE.py`` may also be under ``tests/mutants``.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = sorted(path.parent for path in ROOT.glob("sgmkit/*/__init__.py"))
PACKAGES = sorted(path.parent for path in ROOT.glob("plugins/*/__init__.py"))


def modules(package: Path) -> set[str]:
    """The names of the modules of a package that define a function or a class."""
    defining = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {
        path.stem
        for path in package.glob("*.py")
        if not path.stem.startswith("__")
        and any(isinstance(node, defining) for node in ast.parse(path.read_text()).body)
    }


def aspects(package: Path) -> set[str]:
    """The names of the test files of a package, without ``test_`` and suffix."""
    if package.name == "cli":
        folders = [ROOT / "tests/cli"]
    else:
        folders = [ROOT / "tests" / ("core" if package in ROOMS else "plugins") / package.name]
    if package.name == "testing":  # what a check must find is tested on mutants
        folders.append(ROOT / "tests/mutants")
    paths = (path for folder in folders for path in folder.glob("test_*.py"))
    return {path.stem.removeprefix("test_") for path in paths}


def belongs(test: str, module: str) -> bool:
    return test == module or test.startswith(f"{module}_")


@pytest.mark.parametrize("package", [*ROOMS, *PACKAGES], ids=lambda path: path.name)
def test_test_files_are_named_after_modules(package):
    names = modules(package)
    assert {t for t in aspects(package) if not any(belongs(t, m) for m in names)} == set()


@pytest.mark.parametrize("package", [*ROOMS, *PACKAGES], ids=lambda path: path.name)
def test_every_module_has_a_test_file(package):
    tests = aspects(package)
    assert {m for m in modules(package) if not any(belongs(t, m) for t in tests)} == set()


def test_folders_of_tests_are_those_of_packages():
    core = {path.name for path in ROOT.glob("tests/core/*") if any(path.glob("test_*.py"))}
    assert core <= {room.name for room in ROOMS} - {"cli"}
    plugins = {path.name for path in ROOT.glob("tests/plugins/*") if any(path.glob("test_*.py"))}
    assert plugins <= {package.name for package in PACKAGES}


def test_no_test_imports_a_test():
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.ImportFrom(module=str(name)):
                    names = [name, *(alias.name for alias in node.names)]
                case ast.Import(names=aliases):
                    names = [alias.name for alias in aliases]
                case _:
                    continue
            parts = {part for name in names for part in name.split(".")}
            assert not any(p.startswith("test_") for p in parts), f"{path}:{node.lineno}"
