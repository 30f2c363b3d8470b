"""The log goes on where a training does."""

import json
from pathlib import Path

from support.train_fixtures import train


def test_the_log_counts_time(tiny):
    train("--steps", "6")
    train("--resume")
    lines = [json.loads(line) for line in Path("run/log.jsonl").read_text().splitlines()]
    seconds = [line["seconds"] for line in lines]
    assert seconds == sorted(seconds)
    assert all(line["images_per_second"] > 0 for line in lines)
