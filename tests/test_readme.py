"""The README's code runs: its Python, its commands, and its plugin, installed as a stranger's."""

import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
from throwaway import write_distribution

from sgmkit import registry
from sgmkit.cli import main
from sgmkit.testing import run_checks

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
FILES = {
    text.splitlines()[0].removeprefix("# "): text
    for _, text in BLOCKS
    if re.match(r"# [\w/]+\.(py|toml)\n", text)
}
COMMANDS = [
    shlex.split(line)
    for language, text in BLOCKS
    if language == "sh"
    for line in text.splitlines()
    if line
]


def test_every_block_is_of_a_kind_that_runs_here():
    # Beside these, text: what a command printed.
    assert {language for language, _ in BLOCKS} == {"sh", "python", "toml", "text"}
    assert all(command[0] == "sgmkit" for command in COMMANDS)
    assert set(FILES) == {
        "pyproject.toml",
        "my_sgms/__init__.py",
        "my_sgms/sde.py",
        "my_sgms/solver.py",
    }


def python_blocks():
    return [text for kind, text in BLOCKS if kind == "python" and text not in FILES.values()]


def test_python_prints_what_its_comments_say(capsys):
    (text,) = (text for text in python_blocks() if "print(" in text)
    exec(compile(text, "README.md", "exec"), {})
    said = re.findall(r"print\(.*\)  # (.*?)(?:: .*)?$", text, flags=re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == said
    assert len(said) == 2


def test_the_evaluator_conforms():
    (text,) = (text for text in python_blocks() if "Evaluator" in text)
    names = {"__name__": "readme"}
    exec(compile(text, "README.md", "exec"), names)
    results = run_checks("evaluator", names["Radius"])
    assert [result for result in results if not result.ok] == []
    assert len(results) > 5


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The README's plugin in a site directory, without dependencies, beside the built-ins."""
    project = tomllib.loads(FILES["pyproject.toml"])["project"]
    site = tmp_path / "site"
    site.mkdir()
    modules = {
        name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): text
        for name, text in FILES.items()
        if name.endswith(".py")
    }
    write_distribution(
        site,
        project["name"],
        modules,
        version=project["version"],
        requires=project["dependencies"],
        plugins=project["entry-points"]["sgmkit"],
    )
    monkeypatch.syspath_prepend(site)
    monkeypatch.chdir(tmp_path)
    registry.reset()
    yield project["name"]
    for module in [name for name in sys.modules if name.split(".")[0] == "my_sgms"]:
        del sys.modules[module]
    monkeypatch.undo()
    registry.reset()


def test_commands_run_and_the_plugin_is_seen_in_the_report(installed, capsys):
    for command in COMMANDS:
        assert main(command[1:]) == 0, (command, capsys.readouterr().err)
    report = capsys.readouterr().out
    assert re.search(r"exact · langevin", report)
    assert re.search(r"^rk4 +\S+", report, flags=re.MULTILINE)
    assert "n/a" in report  # what has no value says so
    assert main(["plugins"]) == 0
    assert re.search(rf"{installed} +{installed} +0\.1 +ok", capsys.readouterr().out)
