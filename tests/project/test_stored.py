"""Results and runs of before the rebuild are found, loaded and continued (tests/stored/README.md).

Weights are compared bit for bit where torch and the processor round as they did on the machine that
made the files (`support.arithmetic`), and to a tolerance elsewhere.
"""

import json
import math
import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.arithmetic import arithmetic, digest

from sgmkit.cli.app import main
from sgmkit.training.run import Run

STORED = Path(__file__).parents[1] / "stored"
COMMANDS = tomllib.loads((STORED / "commands.toml").read_text())
WEIGHTS = json.loads((STORED / "weights.json").read_text())
TRAININGS = COMMANDS["train"]
KEPT = [name for name, entry in TRAININGS.items() if entry.get("kept")]
BENCHES = COMMANDS["bench"]
AGAIN = [name for name, entry in BENCHES.items() if entry.get("again")]
DROPPED = {"model/reached", "model/divergence.joined"}
"""Buffers that old checkpoints hold and that may be missing from new ones."""
UNTOUCHED = ("seconds",)
"""Metrics that no two runs of a bench share."""


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """A copy of the stored files as the working directory, and one thread."""
    path = tmp_path / "stored"
    shutil.copytree(STORED, path)
    monkeypatch.chdir(path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield path
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def same_bits():
    """Whether this machine rounds as the one did that made the files."""
    return arithmetic() == WEIGHTS["arithmetic"]


def train(name: str, out: str, *more: str) -> None:
    assert main(["train", *shlex.split(TRAININGS[name]["flags"]), "--out", out, *more]) == 0


def checkpoint(run: str | Path, step: int) -> Path:
    return Path(run) / "checkpoints" / f"step-{step:08d}.safetensors"


def assert_same_tensors(run: str, name: str, same_bits: bool) -> None:
    """The checkpoint of ``run`` after 50 steps holds what the stored one of ``name`` does."""
    stored = load_file(checkpoint(STORED / "runs" / name, 50))
    tensors = load_file(checkpoint(run, 50))
    assert tensors.keys() <= stored.keys()
    assert stored.keys() - tensors.keys() <= DROPPED
    for key, tensor in tensors.items():
        if same_bits:
            assert torch.equal(tensor, stored[key]), key
        elif not key.startswith("optimiser/"):
            torch.testing.assert_close(tensor, stored[key], rtol=1e-5, atol=1e-5, msg=key)


@pytest.mark.parametrize("name", BENCHES)
def test_bench_finds_every_cell(name, directory, capsys):
    before = {path.name: path.read_bytes() for path in directory.glob("results/*")}
    assert main(["bench", *shlex.split(BENCHES[name]["flags"])]) == 0
    assert re.search(r"\b0 computed\b", capsys.readouterr().out)
    assert {path.name: path.read_bytes() for path in directory.glob("results/*")} == before


@pytest.mark.parametrize("name", AGAIN)
def test_bench_computes_the_same_values(name, directory, same_bits):
    assert main(["bench", *shlex.split(BENCHES[name]["flags"]), "--out", "again"]) == 0
    files = sorted(directory.glob("again/*.json"))
    assert files
    for path in files:
        stored = json.loads((directory / "results" / path.name).read_text())
        cell = json.loads(path.read_text())
        assert cell["cell"] == stored["cell"]
        rows = {row["metric"]: row for row in stored["rows"]}
        for row in cell["rows"]:
            if row["metric"] not in UNTOUCHED:
                assert_same_row(row, rows[row["metric"]], same_bits)


def assert_same_row(row: dict, stored: dict, same_bits: bool) -> None:
    label = [row[key] for key in ("model", "sde", "solver", "options", "budget", "metric")]
    assert row["status"] == stored["status"], label
    double = row["dtype"] == "float64"
    tolerance = (1e-10 if double else 1e-6) if same_bits else (1e-6 if double else 1e-2)
    for key in ("value", "ci_low", "ci_high", "nfe"):
        if row[key] is None or stored[key] is None:
            assert row[key] == stored[key], label
        else:
            assert math.isclose(
                float(row[key]), float(stored[key]), rel_tol=tolerance, abs_tol=tolerance
            ), (label, key, row[key], stored[key])


@pytest.mark.parametrize("name", KEPT)
def test_run_loads_under_the_same_hashes(name, directory):
    run = Run(f"runs/{name}")
    assert run.step == 50
    assert run.content == WEIGHTS["contents"][name]
    assert run.experiment.hash == WEIGHTS["experiments"][name]


@pytest.mark.parametrize("name", KEPT)
def test_stopped_run_resumes_in_the_same_bits(name, directory, same_bits):
    checkpoint(f"runs/{name}", 50).unlink()
    assert Run(f"runs/{name}").step == 30
    train(name, f"runs/{name}", "--resume")
    assert_same_tensors(f"runs/{name}", name, same_bits)


@pytest.mark.parametrize("name", TRAININGS)
def test_training_anew_ends_in_the_same_bits(name, directory, same_bits):
    train(name, "runs/anew")
    if name in KEPT:
        assert_same_tensors("runs/anew", name, same_bits)
    elif not same_bits:
        pytest.skip("this torch or processor rounds otherwise than that of the stored digests")
    tensors = load_file(checkpoint("runs/anew", 50))
    digests = {key: digest(tensor) for key, tensor in tensors.items() if key.startswith("model/")}
    stored = WEIGHTS["digests"][name]
    assert stored.keys() - digests.keys() <= DROPPED
    if same_bits:
        assert digests == {key: stored[key] for key in digests}
