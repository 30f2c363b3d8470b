"""The files around the source agree with one another: checks, metadata, links between pages."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")])


def anchors(text: str) -> set[str]:
    """What a heading is called in a link."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path.read_text(encoding="utf-8")), target


def test_pre_commit_runs_the_checks_of_make_lint():
    makefile = (ROOT / "Makefile").read_text()
    (rule,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", makefile, flags=re.M)
    lint = [line.strip().removeprefix("$(BIN)/") for line in rule.splitlines()]
    config = (ROOT / ".pre-commit-config.yaml").read_text()
    hooks = re.findall(r"entry: \.venv/bin/(.*)$", config, flags=re.M)
    assert [hook.removesuffix(" --force-exclude") for hook in hooks] == [
        command.removesuffix(" .") for command in lint
    ]


def test_the_workflow_runs_what_every_push_must_pass():
    workflow = (ROOT / ".github/workflows/check.yml").read_text()
    assert re.search(r"^ +- run: \.ci/run$", workflow, flags=re.M)
    assert re.search(r'python-version: "3\.11"', workflow)
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_citation_and_project_state_the_same():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {project['version']}\n" in citation
    assert f"\nlicense: {project['license']}\n" in citation
    assert f"\ntitle: {project['name']}\n" in citation
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{project['version']}]" in changelog


def test_the_glossary_explains_our_letters_and_words():
    text = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    entries = re.findall(r"^\*\*(.*?)\.\*\*", text, flags=re.M)
    terms = {term.lower() for entry in entries for term in entry.split(", ")}
    needed = "u phase eps_d rho R whole-noise kernel form cut-off floor cell run subject grid NFE"
    assert {term.lower() for term in needed.split()} <= {t.replace(" ", "-") for t in terms}
    for page in ("README.md", "CONTRIBUTING.md", "docs/README.md"):
        assert "glossary.md" in (ROOT / page).read_text(encoding="utf-8")
