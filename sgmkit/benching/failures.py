"""What is kept of a component that raised: one line for the row, and the traceback in full."""

import traceback
from pathlib import PurePath
from types import FrameType

from sgmkit import registry
from sgmkit.errors import UserError
from sgmkit.registry.loader import reason


def one_line(error: BaseException) -> str:
    """The error in one line: ``RuntimeError: no luck (my_plugin/solver.py:41)``.

    The file and the line are where the code of a plugin was last, on the way to what raised. The
    errors of sgmkit itself say what is wrong and what to do; they name no file.
    """
    text = reason(error)
    if isinstance(error, UserError):
        return text
    frames = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    for packages in (_plugin_packages(), {"sgmkit"}):
        for frame, line in reversed(frames):
            if _package(frame) in packages:
                return f"{text} ({_file(frame)}:{line})"
    return text


def in_full(error: BaseException) -> str:
    """The traceback as Python prints it."""
    return "".join(traceback.format_exception(error))


def _plugin_packages() -> set[str]:
    """Top-level packages that hold components of plugins."""
    components = (c for plugin in registry.plugins() for c in plugin.components)
    return {component.target.partition(":")[0].partition(".")[0] for component in components}


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _file(frame: FrameType) -> str:
    """The file, from its top-level package on: rows must not depend on where that is installed."""
    path = PurePath(frame.f_code.co_filename)
    depth = str(frame.f_globals.get("__name__", "")).count(".")
    depth += path.stem == "__init__"
    return "/".join(path.parts[-1 - depth :])
