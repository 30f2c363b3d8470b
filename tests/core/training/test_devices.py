"""Two processes on one batch are one process: losses, gradients, weights. They stop together."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.throwaway import ROOT
from support.train_fixtures import TINY, Job, log, tensors, train

from sgmkit.training.run import Run

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core")
EXACT = ["--precision", "64", "--network", "line", "--set", "train.batch=12"]


def pair(*args, nodes=1):
    """`sgmkit train` on two CPU processes, on one machine or two, started as by torchrun."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": str(2 // nodes)}
    world |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test"}
    command = [*TINY, *EXACT, "--out", "run", "--devices", str(2 // nodes), *args]
    command += ["--nodes", str(nodes)]
    places = [(0, 0), (0, 1)] if nodes == 1 else [(0, 0), (1, 0)]
    return [
        Job(
            command,
            environment={
                **world,
                **{"RANK": str(rank), "GROUP_RANK": str(node), "LOCAL_RANK": str(local)},
            },
        )
        for rank, (node, local) in enumerate(places)
    ]


def numbers(line):
    return {**{k: v for k, v in line.items() if k != "parts"}, **line["parts"]}


def assert_same(one, two):
    """Two runs agree to rounding in weights, averages, moments, and in their logs."""
    mine, other = tensors(one), tensors(two)
    assert mine.keys() == other.keys()
    for name, value in mine.items():
        if name != "model/network.seen":  # a buffer: each process counts its own rows
            assert value.sub(other[name]).abs().max() <= 1e-12 * max(1, value.abs().max()), name
    # The first moment is a sum of all gradients; it is not small.
    assert mine["optimiser/network.layers.0.weight/exp_avg"].abs().max() > 1e-4
    for left, right in zip(log(one), log(two), strict=True):
        assert numbers(left) == pytest.approx(numbers(right), rel=1e-6)


@pytest.mark.parametrize(("nodes", "accumulate"), [(1, 1), (1, 3), (2, 1)])
def test_two_processes_are_one(tiny, nodes, accumulate):
    args = ["--set", f"train.accumulate={accumulate}"]
    jobs = pair(*args, nodes=nodes)
    assert [job.end() for job in jobs] == [(0, ""), (0, "")]
    assert Path("job0.out").read_text().startswith("run: 12 steps, loss 0.")
    assert Path("job1.out").read_text() == ""
    assert_same(train(*EXACT, *args, out="whole"), Run("run"))


def test_parameters_that_come_in_later(tiny):
    """As a prior does once its autoencoder has learned alone: steps without them are none to it."""
    args = ["--model", "tiny:late=0.5"]
    jobs = pair(*args)
    assert [job.end()[0] for job in jobs] == [0, 0]
    assert_same(train(*EXACT, *args, out="whole"), Run("run"))


def test_two_processes_begin_by_themselves(tiny):
    path = os.pathsep.join(map(str, (Path(tiny.__file__).parent.parent, ROOT, ROOT / "plugins")))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-m", "sgmkit.cli", *TINY, *EXACT, "--out", "run"]
    done = subprocess.run(
        [*command, "--devices", "2"],
        env={**environment, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("run: 12 steps, loss 0.")
    assert_same(train(*EXACT, out="whole"), Run("run"))


def test_what_one_process_began_two_go_on_with(tiny):
    train(*EXACT, "--steps", "6")
    assert [job.end() for job in pair("--resume")] == [(0, ""), (0, "")]
    assert_same(train(*EXACT, out="whole"), Run("run"))


def test_they_stop_together_and_one_of_them_says_why(tiny):
    ends = [job.end() for job in pair("--model", "tiny:spoil=0.5:what=gradient")]
    assert ends == [
        (
            2,
            "sgmkit: step 7: the gradient is nan; the last good checkpoint is "
            "run/checkpoints/step-00000004.safetensors; try a smaller train.lr in a new run\n",
        ),
        (0, ""),
    ]


def test_a_full_disk_stops_both(tiny):
    train(*EXACT, "--steps", "2")
    shutil.rmtree("run/checkpoints")
    Path("run/checkpoints").write_text("in the way")
    ends = [job.end() for job in pair("--resume")]
    assert ends == [
        (
            2,
            "sgmkit: cannot write in 'run': File exists; once there is room, "
            "sgmkit train --resume --out run goes on\n",
        ),
        (0, ""),
    ]


def test_interrupted_they_stop_together(tiny):
    jobs = pair("--steps", "100000", "--set", "train.checkpoint_every=100000")
    while not Path("run/log.jsonl").exists() and jobs[0].process.is_alive():
        time.sleep(0.01)
    os.kill(jobs[0].process.pid, signal.SIGINT)  # one of them is enough
    ends = [job.end() for job in jobs]
    (newest,) = Run("run").checkpoints()
    step = int(newest.stem[5:])
    assert ends == [
        (
            2,
            f"sgmkit: interrupted: step {step} of 100000 is in 'run'; "
            "sgmkit train --resume --out run continues it\n",
        ),
        (0, ""),
    ]
