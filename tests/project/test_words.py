"""Names say what a value holds: `told`, `found`, `given` and `asked` are no identifiers here."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORDS = {"told", "found", "given", "asked"}
TREES = ("sgmkit", "plugins", "tests", "benchmarks")
FILES = sorted(path for tree in TREES for path in ROOT.glob(f"{tree}/**/*.py"))


def identifiers(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a module binds or uses, with its line."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield name, line
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, line
            case ast.ClassDef(name=name):
                yield name, line
            case ast.keyword(arg=str(name)):
                yield name, line
            case ast.alias(name=name, asname=other):
                yield from ((part, line) for part in name.split("."))
                yield other or "", line
            case ast.ExceptHandler(name=str(name)):
                yield name, line
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name, line


def vague(text: str) -> list[str]:
    """The identifiers of a source that have one of the words as a part, each with its line."""
    return [
        f"line {line}: {name}"
        for name, line in identifiers(ast.parse(text))
        if not WORDS.isdisjoint(name.lower().split("_"))
    ]


def test_the_words_are_seen_wherever_a_name_is_bound():
    text = """
import x.given as y
def is_found(told, *, asked=1): pass
class Given: pass
thing.told = call(given=2)
try: pass
except E as found: pass
match z:
    case [found, *told]: pass
"""
    names = [each.partition(": ")[2] for each in vague(text)]
    assert sorted(names) == sorted(
        ["given", "is_found", "told", "asked", "Given", "told", "given", "found", "found", "told"]
    )
    assert vague("foundation = 'told'  # asked and given") == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_identifiers_name_what_they_hold(path):
    assert vague(path.read_text()) == []
