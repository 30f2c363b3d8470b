"""``log.jsonl``: one line of JSON for each interval of steps; each step counts once."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sgmkit._util.files import write_atomic


class Log:
    """The log of a run, open for more lines.

    Args:
        path: of the file, which need not exist.
        step: the step at which the training goes on. Lines of later steps are deleted, because
            these steps will be done again.

    Attributes:
        seconds: training time up to the last line.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path, self.seconds = path, 0.0
        if path.exists():
            kept = [line for line in _lines(path) if line["step"] <= step]
            self.seconds = kept[-1]["seconds"] if kept else 0.0
            write_atomic(path, "".join(map(_text, kept)).encode())

    def write(self, line: dict[str, Any]) -> None:
        """Add one line."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(_text(line))


def _text(line: dict[str, Any]) -> str:
    return json.dumps(line) + "\n"


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The complete lines: a killed process may have left part of one at the end."""
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
            if {"step", "seconds"} <= line.keys():
                yield line
        except (ValueError, AttributeError):
            continue
