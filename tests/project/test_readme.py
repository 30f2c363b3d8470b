"""The README's code runs: its Python and its commands. The page on plugins has its own test."""

import re
import shlex
from pathlib import Path

import pytest

from sgmkit.cli.app import main
from sgmkit.testing import run_checks

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [
    shlex.split(line)
    for language, text in BLOCKS
    if language == "sh"
    for line in text.splitlines()
    if line
]


def test_every_block_is_of_a_kind_that_runs_here():
    # Beside these, text: what a command printed, or what would change the machine.
    assert {language for language, _ in BLOCKS} == {"sh", "python", "text"}
    assert all(command[0] == "sgmkit" for command in COMMANDS)


def python_blocks():
    return [text for kind, text in BLOCKS if kind == "python"]


def test_python_prints_what_its_comments_say(capsys):
    (text,) = (text for text in python_blocks() if "print(" in text)
    exec(compile(text, "README.md", "exec"), {})
    said = re.findall(r"print\(.*\)  # (.*?)(?:: .*)?$", text, flags=re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == said
    assert len(said) == 2


@pytest.mark.parametrize("name", ["Midpoint", "QuadraticNoise"])
def test_the_solvers_conform(name):
    (text,) = (text for text in python_blocks() if f"class {name}(" in text)
    names = {"__name__": "readme"}
    exec(compile(text, "README.md", "exec"), names)
    results = run_checks("solver", names[name])
    assert [result for result in results if not result.ok] == []
    assert len(results) > 5


def test_commands_run_and_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for command in COMMANDS:
        assert main(command[1:]) == 0, (command, capsys.readouterr().err)
        if command[1] == "report":
            report = capsys.readouterr().out
    assert re.search(r"exact · cld", report)
    assert re.search(r"^ssem +\S+", report, flags=re.MULTILINE)
    assert "n/a" in report  # what has no value says so
    assert (tmp_path / "convergence" / "convergence.png").exists()
    assert re.search(r"^heun +strong +2 ", capsys.readouterr().out, flags=re.MULTILINE)


def test_it_points_at_the_page_on_plugins():
    (path,) = re.findall(r"\[Write a plugin in ten minutes\]\((.*?)\)", README)
    assert (ROOT / path).exists()
