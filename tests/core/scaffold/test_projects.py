"""Projects from templates: their files, and that they are written entirely or not at all."""

import ast
import tomllib

import pytest

from sgmkit import scaffold
from sgmkit.errors import BadValue
from sgmkit.registry import KINDS


def test_there_is_an_example_of_each_kind():
    assert list(scaffold.EXAMPLES) == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_project_offers_the_class_of_its_example(kind):
    files = scaffold.project("my-idea", [kind])
    package = tomllib.loads(files["pyproject.toml"])["project"]["entry-points"]["sgmkit"]["my-idea"]
    cls, summary = scaffold.EXAMPLES[kind]
    hook = files[f"{package}/__init__.py"]
    assert f'"{package}.{kind}:{cls}"' in hook
    assert f'"{summary}"' in hook
    tree = ast.parse(files[f"{package}/{kind}.py"])
    (definition,) = (x for x in tree.body if isinstance(x, ast.ClassDef) and x.name == cls)
    assert ast.get_docstring(definition)
    assert "parametrize_checks" in files[f"tests/test_{kind}.py"]
    assert "$" not in "".join(files.values()).replace("$OUT", "")


def test_an_existing_project_is_left_alone(tmp_path):
    scaffold.write({"a/b.txt": "one"}, tmp_path / "new")
    assert (tmp_path / "new" / "a" / "b.txt").read_text() == "one"
    with pytest.raises(BadValue, match="is not empty; choose another --out"):
        scaffold.write({"a/b.txt": "two"}, tmp_path / "new")
    assert (tmp_path / "new" / "a" / "b.txt").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
