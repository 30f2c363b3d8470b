"""The page "write a plugin in ten minutes": its project is built, installed, checked, trained and
benched with as written, and seen in the report.
"""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from support.throwaway import install_project, run_python

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "plugins" / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
FILES = {
    text.splitlines()[0].removeprefix("# "): text
    for kind, text in BLOCKS
    if kind in ("python", "toml")
}
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines() if line]
# One process for all of them: torch is imported once.
RUN = """
import shlex, sys
from sgmkit.cli.app import main
for line in sys.argv[1:]:
    print(f"$ {line}", flush=True)
    code = main(shlex.split(line)[1:])
    if code:
        sys.exit(f"{line}: ended with {code}")
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The page's files as a project, and that installed without dependencies."""
    place = tmp_path_factory.mktemp("page")
    for name, text in FILES.items():
        path = place / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    install_project(place / "project", place / "site")
    return place


@pytest.fixture(scope="module")
def said(place):
    """What each command of the page prints, run in order as a user would."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        done = run_python(RUN, place / "site", *COMMANDS)
    assert done.returncode == 0, done.stderr
    parts = re.split(r"^\$ (.*)\n", done.stdout, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_every_block_runs_here():
    assert {kind for kind, _ in BLOCKS} == {"toml", "python", "sh", "text"}
    assert all(shlex.split(line)[0] == "sgmkit" for line in COMMANDS)
    assert len(set(COMMANDS)) == len(COMMANDS)
    modules = {"__init__", "sde", "solver", "multistep", "evaluator", "autoencoder"}
    assert set(FILES) == {
        *("pyproject.toml", "tests/test_my_sgms.py"),
        *(f"my_sgms/{name}.py" for name in modules),
    }
    for path in re.findall(r"\]\(([\w/.]+)\)", PAGE):
        assert (ROOT / "plugins" / path).exists(), path


def test_it_is_checked_and_prints_what_the_page_shows(said):
    printed = said["sgmkit check my-sgms"]
    assert printed.endswith(", 0 failed\n")
    (shown,) = (text for kind, text in BLOCKS if kind == "text")
    for line in shown.splitlines():
        words = re.split("  +", line)
        fit = " +".join(map(re.escape, words[:2]))
        # Numbers depend on the machine, in their last digits; the words do not.
        expected = re.sub(r"[\d.]*\d(e-\d+)?", "#", words[2].removesuffix(", ..."))
        (measured,) = re.findall(rf"^{fit} +(.*)$", printed, flags=re.MULTILINE)
        assert re.sub(r"[\d.]*\d(e-\d+)?", "#", measured).startswith(expected)


def test_its_own_tests_pass(place):
    code = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    args = [str(place / "project"), "-p", "no:cacheprovider", "-q"]
    done = run_python(code, place / "site", *args)
    assert done.returncode == 0, done.stdout
    assert " failed" not in done.stdout


def test_all_of_it_is_seen_in_the_report(said):
    report = said["sgmkit report"]
    tables = report.split("\n\n")
    trained = "two-moons · moons@200 · sgm:network=(mlp:depth=2:width=32) · langevin · "
    learned = [each for each in tables if each.startswith(trained)]
    exact = [each for each in tables if each.startswith("eight-gaussians · exact · langevin · ")]
    for group in (learned, exact):
        (radius,) = (each for each in group if "· radius ↓ [data units]" in each)
        assert re.search(r"^kutta +\d", radius, flags=re.MULTILINE)
        assert re.search(r"^floor +\d", radius, flags=re.MULTILINE)
    # As the page says.
    assert errors(tables, "cld", "kutta")[1] < 0.2 * errors(tables, "cld", "ddim")[1]
    assert errors(tables, "langevin", "kutta")[0] > errors(tables, "langevin", "ddim")[0]


def errors(tables, sde, solver):
    """The row of a solver in the table of its own errors on the exact model."""
    title = f"eight-gaussians · exact · {sde} · trajectory "
    (table,) = (each for each in tables if each.startswith(title))
    (row,) = re.findall(rf"^{solver} .*$", table, flags=re.MULTILINE)
    return [float(x) for x in re.findall(r"([\d.]+(?:e-\d+)?) +±", row)]


def test_it_is_measured_and_described(said):
    (orders,) = (text for line, text in said.items() if "--convergence" in line)
    slopes = re.findall(r"^kutta +strong +4 +([\d.]+)", orders, flags=re.MULTILINE)
    assert len(slopes) == 2
    facts = said["sgmkit info solver kutta"]
    assert "citation: Kutta 1901" in facts
    assert "4 calls a step, as counted by the network" in facts
    assert re.search(r"my-sgms +my-sgms +0\.1 +ok +sde langevin, solver", said["sgmkit plugins"])


def test_its_autoencoder_is_trained_with_its_process_as_prior(said, place):
    (line,) = (line for line in said if "autoencoder=dense" in line)
    assert re.search(r"^runs/latent: \d+ steps, loss [\d.]+", said[line], flags=re.MULTILINE)
    recipe = tomllib.loads((place / "runs" / "latent" / "experiment.toml").read_text())
    model = recipe["model"]
    assert model["autoencoder"] == {"name": "my-sgms/dense", "latents": 8, "width": 128}
    assert model["prior"]["sde"]["name"] == "my-sgms/langevin"
    assert (place / "latent.png").read_bytes().startswith(b"\x89PNG")
