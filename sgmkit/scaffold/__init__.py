"""Writes new plugin projects for ``sgmkit new-plugin``, from templates.

Read `projects`, and the files under ``template``: one module and one test for each kind of
component, and a page, a ``pyproject.toml`` and a hook for the project. This room imports nothing of
sgmkit but errors.
"""

from sgmkit.scaffold.projects import EXAMPLES, project, write

__all__ = ["EXAMPLES", "project", "write"]
