"""Each package that may be missing disables what needs it, in one line, and nothing else."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = {
    "sklearn": "digits",
    "torch_fidelity": "inception",
    "matplotlib": "pictures",
    "torchdiffeq": "torchdiffeq",
    "torchsde": "torchsde",
}
"""Each such package, by the name that is imported, and its group in pyproject.toml."""

COMMANDS = """
import sys
from sgmkit.cli.app import main

for line in sys.argv[1:]:
    print("$", main(line.split()), flush=True)
"""

TOYS = "bench --samples 8 --seeds 1 --sde vp --nfe 2 --solvers euler"
CASES = {
    "sklearn": (
        ["list", "info extractor classifier", TOYS],
        ["info dataset digits", "train --steps 1", f"{TOYS} --data digits"],
    ),
    "torch_fidelity": (
        ["list", f"{TOYS} --data digits --evaluators fid:extractor=(classifier:images=1)"],
        [
            "info extractor inception",
            "info evaluator prc",
            f"{TOYS} --data digits --evaluators fid",
        ],
    ),
    "matplotlib": (
        [
            "list",
            TOYS,
            "report",
            "train --data two-moons --steps 2 --out runs/a --set train.samples_every=1",
            "sample runs/a --num 2 --out a.npz --steps 2",
        ],
        ["report --out report.png", "sample runs/a --num 2 --out a.png --steps 2"],
    ),
    "torchdiffeq": (["list", TOYS], [f"{TOYS},torchdiffeq", "info solver torchdiffeq"]),
    "torchsde": (["list", TOYS], [f"{TOYS},torchsde", "info solver torchsde"]),
}
"""For each package, commands that work without it, and commands that need it."""


@pytest.mark.parametrize("package", CASES)
def test_a_missing_package_disables_only_what_needs_it(package, tmp_path):
    stub = tmp_path / "stub" / package
    stub.mkdir(parents=True)
    line = f"raise ModuleNotFoundError({f'No module named {package!r}'!r}, name={package!r})\n"
    (stub / "__init__.py").write_text(line)
    path = os.pathsep.join([str(stub.parent), str(ROOT), str(ROOT / "plugins")])
    work, fail = CASES[package]
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, *work, *fail],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path, "SGMKIT_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    codes = [row for row in done.stdout.splitlines() if row.startswith("$")]
    assert codes == ["$ 0"] * len(work) + ["$ 2"] * len(fail), done.stderr
    errors = [row for row in done.stderr.splitlines() if row.startswith("sgmkit: ")]
    assert len(errors) == len(fail)
    for row in errors:
        assert f"pip install 'sgmkit[{EXTRAS[package]}]'" in row
        assert package in row
    assert "Traceback" not in done.stderr


def test_each_group_repeats_a_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra in EXTRAS.values():
        assert set(project["optional-dependencies"][extra]) <= set(project["dependencies"])
