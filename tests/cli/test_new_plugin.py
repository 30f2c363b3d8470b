"""`sgmkit new-plugin`: a project that installs, conforms, passes its tests and is on every axis."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support.throwaway import install_project, run_python, run_sgmkit

from sgmkit.cli.app import main
from sgmkit.registry import KINDS


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def tree(place="."):
    return sorted(str(path) for path in Path(place).rglob("*") if path.is_file())


def test_what_is_written_and_said(capsys):
    assert main(["new-plugin", "my-rule"]) == 0
    files = [
        "my-rule/README.md",
        "my-rule/my_rule/__init__.py",
        "my-rule/my_rule/solver.py",
        "my-rule/pyproject.toml",
        "my-rule/tests/test_solver.py",
    ]
    assert tree() == files
    *written, following = capsys.readouterr().out.splitlines()
    assert sorted(written) == files
    assert following == "next: pip install -e my-rule && sgmkit check my-rule && pytest my-rule"
    project = tomllib.loads(Path("my-rule/pyproject.toml").read_text())["project"]
    assert project["dependencies"] == ["sgmkit>=0.1,<0.2"]
    assert project["entry-points"]["sgmkit"] == {"my-rule": "my_rule"}
    page = Path("my-rule/README.md").read_text()
    for command in ("pip install -e", "sgmkit check my-rule", "\npytest\n", "sgmkit bench"):
        assert command in page


@pytest.mark.parametrize("kinds", ["solver", ",".join(KINDS)], ids=["one", "all"])
def test_each_kind_conforms_and_passes_its_own_tests(tmp_path, kinds):
    """One kind alone, and all of them in one project: a process then serves nine suites."""
    assert main(["new-plugin", "np-each", "--kind", kinds]) == 0
    install_project(tmp_path / "np-each", tmp_path / "site")
    done = run_sgmkit(tmp_path / "site", "check", "np-each")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    checked = done.stdout.splitlines()[:-1]
    every = kinds.split(",")
    assert all(any(f"{kind} np-each" in line for line in checked) for kind in every)
    assert all(any(f"{kind} np-each" in line for kind in every) for line in checked)
    # A model need not know the law of u_T, nor an extractor any classes.
    skipped = len({"model", "extractor"} & set(every))
    assert done.stdout.endswith(f" 0 to note, {skipped} not applicable, 0 failed\n")
    code = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    done = run_python(code, tmp_path / "site", str(tmp_path / "np-each"), "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout
    assert int(done.stdout.rsplit(" passed", 1)[0].rsplit(" ", 1)[1]) > 8 * len(every)


def commands(page, which):
    """The lines of a page that run one command of sgmkit, as words."""
    words = [line.split() for line in Path(page).read_text().splitlines()]
    return [each[1:] for each in words if each[:2] == ["sgmkit", which]]


def test_all_kinds_at_once_are_trained_and_benched_as_the_page_says(tmp_path):
    kinds = ",".join(KINDS)
    assert main(["new-plugin", "np-all", "--kind", "sde,solver", "--kind", kinds]) == 0
    install_project(tmp_path / "np-all", tmp_path / "site")
    trainings, benches = (commands("np-all/README.md", verb) for verb in ("train", "bench"))
    # A process for all of a kind: torch is imported once in each.
    code = "import sys; from sgmkit.cli.app import main\n"
    code += "for line in sys.argv[1:]:\n    assert main(line.split()) == 0, line"
    done = run_python(code, tmp_path / "site", *(f"{' '.join(x)} --steps 20" for x in trainings))
    assert done.returncode == 0, done.stderr
    recipe = tomllib.loads(Path("runs/np-all/experiment.toml").read_text())
    assert recipe["data"]["name"] == "np-all/np-all"
    assert recipe["model"]["name"] == "np-all/np-all"
    assert recipe["model"]["network"]["name"] == "np-all/np-all"
    assert recipe["model"]["sde"]["name"] == "np-all/np-all"
    recipe = tomllib.loads(Path("runs/np-all-latent/experiment.toml").read_text())
    assert recipe["model"]["autoencoder"] == {"name": "np-all/np-all", "groups": 2}
    assert recipe["model"]["prior"]["sde"]["name"] == "np-all/np-all"
    quick = "--nfe 10 --samples 64 --seeds 1"
    done = run_python(code, tmp_path / "site", *(f"{' '.join(x)} {quick}" for x in benches))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count(", 0 failed") == len(benches) == 4
    report = run_sgmkit(tmp_path / "site", "report").stdout
    assert "lsgm:autoencoder=np-all:prior=(network=mlp) · np-all · log-spread" in report
    assert "exact · np-all · log-spread" in report
    assert "np-all:network=np-all · np-all · log-spread" in report
    assert "fid" in report
    assert any(row.startswith("np-all  ") for row in report.splitlines())


PAGES = {
    "sde": ["bench --solvers heun,ddim --sde np-one,vp"],
    "network": [
        "train --network np-one --data two-moons --steps 1000 --out runs/np-one",
        "bench runs/np-one --solvers heun,ddim",
    ],
    "model": [
        "train --model np-one --network mlp --data two-moons --steps 1000 --out runs/np-one",
        "bench runs/np-one --solvers heun,ddim",
    ],
    "autoencoder": [
        "train --model lsgm:autoencoder=np-one --network mlp --data digits --steps 1000 "
        "--out runs/np-one-latent",
        "bench runs/np-one-latent --solvers heun,ddim --evaluators energy-distance,nll",
    ],
    "solver": ["bench --solvers np-one,heun --sde vp,cld"],
    "grid": ["bench --solvers heun,ddim --grid np-one,logsnr --sde vp,cld"],
    "dataset": [
        "train --network mlp --data np-one --steps 1000 --out runs/np-one",
        "bench runs/np-one --solvers heun,ddim",
    ],
    "evaluator": ["bench --solvers heun,ddim --sde vp,cld --evaluators np-one,energy-distance"],
    "extractor": [
        "bench --solvers heun,ddim --model exact --sde vp --data digits "
        "--evaluators fid:extractor=np-one",
    ],
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_of_one_kind_names_it_in_its_commands(kind):
    assert main(["new-plugin", "np-one", "--kind", kind, "--out", "new"]) == 0
    lines = [*commands("new/README.md", "train"), *commands("new/README.md", "bench")]
    assert [" ".join(words) for words in lines] == PAGES[kind]


# The shortest name, the longest, and one between: where lines break depends on it.
@pytest.mark.parametrize("name", ["q", "np-lines", "n" + "-p2345678" * 4 + "-34"])
@pytest.mark.parametrize("kinds", [*KINDS, ",".join(KINDS)])
def test_the_code_is_in_order(name, kinds):
    assert main(["new-plugin", name, "--kind", kinds, "--out", "new"]) == 0
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", "."]
        done = subprocess.run(ruff, cwd="new", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


NAME = (
    " cannot name a plugin: at most 40 lowercase letters, digits and single hyphens, "
    "beginning with a letter"
)
TAKES = (
    "--kind takes sde, network, model, autoencoder, solver, grid, dataset, evaluator or extractor"
)
WRONG = {
    "My_Plugin": f"'My_Plugin'{NAME}; did you mean 'my-plugin'?",
    "a--b": f"'a--b'{NAME}; did you mean 'a-b'?",
    "3rd-order": f"'3rd-order'{NAME}; did you mean 'rd-order'?",
    "../up": f"'../up'{NAME}; did you mean 'up'?",
    "é": f"'é'{NAME}",
    "n" * 41: f"'{'n' * 41}'{NAME}; did you mean '{'n' * 40}'?",
    "class": (
        "'class' is a keyword of Python and cannot be a package; "
        "choose another name, such as 'my-class'"
    ),
    "tests": (
        "'tests' is the folder of the tests and cannot be a package; "
        "choose another name, such as 'my-tests'"
    ),
    "solvers": (
        "a plugin named 'solvers' is installed already; choose another name, such as 'my-solvers'"
    ),
    "heun": "plugin 'solvers' offers solver 'heun' already; choose another name, such as 'my-heun'",
    "sscs": "plugin 'solvers' offers solver 'sscs' already; choose another name, such as 'my-sscs'",
    "cld": "plugin 'sdes' offers sde 'cld' already; choose another name, such as 'my-cld'",
    "sgmkit": (
        "a distribution named 'sgmkit' is installed already; "
        "choose another name, such as 'my-sgmkit'"
    ),
    "sgmkit-sdes": (
        "a module named 'sgmkit_sdes' exists already; choose another name, such as 'my-sgmkit-sdes'"
    ),
    "random": "a module named 'random' exists already; choose another name, such as 'my-random'",
    "ok --kind solvr": f"{TAKES}, not 'solvr'; did you mean 'solver'?",
    "ok --kind importer": f"{TAKES}, not 'importer'",
    "ok --kind solver,": f"{TAKES}, not ''",
    "ok --out full": "'full' is not empty; choose another --out",
    "ok --out full/notes.txt": "'full/notes.txt' is a file; choose another --out",
    "ok --out full/notes.txt/new": (
        "cannot write in 'full/notes.txt/new': Not a directory; choose another --out"
    ),
}


@pytest.mark.parametrize("words", WRONG)
def test_a_mistake_is_one_line_and_nothing_is_written(words, capsys):
    Path("full").mkdir()
    Path("full/notes.txt").write_text("mine")
    assert main(["new-plugin", *words.split()]) == 2
    assert capsys.readouterr() == ("", f"sgmkit: {WRONG[words]}\n")
    assert tree() == ["full/notes.txt"]
    assert Path("full/notes.txt").read_text() == "mine"


def test_an_empty_directory_is_taken_even_the_working_one(tmp_path, monkeypatch):
    Path("empty").mkdir()
    monkeypatch.chdir("empty")
    assert main(["new-plugin", "np-empty", "--out", "."]) == 0
    assert sorted(os.listdir(tmp_path / "empty")) == [
        *("README.md", "np_empty", "pyproject.toml", "tests"),
    ]


def test_a_disk_that_fills_up_leaves_nothing(monkeypatch, capsys):
    write, calls = Path.write_text, []

    def full(path, *args, **kwargs):
        calls.append(path)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        return write(path, *args, **kwargs)

    monkeypatch.setattr(Path, "write_text", full)
    assert main(["new-plugin", "np-full"]) == 2
    assert capsys.readouterr().err == (
        "sgmkit: cannot write in 'np-full': No space left on device; choose another --out\n"
    )
    assert os.listdir() == []


def test_nothing_heavy_is_imported(tmp_path):
    code = (
        "import sys; from sgmkit.cli.app import main; done = main(['new-plugin', 'np-light']);"
        "heavy = {'torch', 'numpy', 'pandas', 'matplotlib'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else done)"
    )
    done = run_python(code, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert Path("np-light/pyproject.toml").exists()
