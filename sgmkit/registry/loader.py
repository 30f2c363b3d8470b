"""Loads installed plugins one by one: each entirely or not at all, with the reason of a failure."""

import os
import re
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import PurePath
from typing import Any

import pluggy

from sgmkit.errors import UnknownName, UserError, last_line
from sgmkit.registry import hookspecs
from sgmkit.registry.hookspecs import Component
from sgmkit.registry.options import near

_KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_MACHINERY = ("importlib", "_frozen_importlib", "pluggy", "sgmkit.registry")
"""Modules that call a plugin: their lines say nothing about where it fails."""
_reported: set[str] = set()
"""Broken plugins that standard error has named: once in a process is enough."""


@dataclass(frozen=True)
class PluginInfo:
    """One installed plugin: what it offers, or the stage at which it failed and why.

    Args:
        name: name of its entry point, the first half of qualified component names.
        distribution: name of the installed distribution that declares it.
        version: version of that distribution.
        components: what it offers; empty if it failed.
        stage: ``version``, ``import``, ``hook`` or ``validate`` if it failed there, else empty.
        reason: the failure in one line, empty if there was none.
        traceback: the failure as Python prints it.
    """

    name: str
    distribution: str
    version: str
    components: tuple[Component, ...] = ()
    stage: str = ""
    reason: str = ""
    traceback: str = ""


def load_plugins(kinds: Mapping[str, str]) -> list[PluginInfo]:
    """Every installed plugin, the broken ones too, sorted by name.

    The environment variable ``SGMKIT_PLUGINS=a,b`` restricts loading to those plugins, and
    ``SGMKIT_STRICT=1`` turns the first failure into an error.

    Args:
        kinds: each kind of component, and the base class of its targets as ``"module:Class"``.
    """
    entries = sorted(
        metadata.entry_points(group="sgmkit"),
        key=lambda entry: (entry.name, entry.dist.name if entry.dist else ""),
    )
    installed = {entry.name for entry in entries}
    listed = os.environ.get("SGMKIT_PLUGINS", "").split(",")
    if selected := {name.strip() for name in listed if name.strip()}:
        if unknown := sorted(selected - installed):
            raise UnknownName(
                f"SGMKIT_PLUGINS: no plugin named {unknown[0]!r}{near(unknown[0], installed)} "
                f"(installed: {', '.join(sorted(installed)) or 'none'})"
            )
        entries = [entry for entry in entries if entry.name in selected]
    count = Counter(entry.name for entry in entries)
    return [_admit(entry, kinds, alone=count[entry.name] == 1) for entry in entries]


def _admit(entry: metadata.EntryPoint, kinds: Mapping[str, str], alone: bool) -> PluginInfo:
    """Load one plugin: all of its components, or none and the reason."""
    owner = entry.dist.name if entry.dist else entry.module
    info = PluginInfo(entry.name, owner, entry.dist.version if entry.dist else "")
    stage = "version"
    try:
        _check_version(entry.dist.requires or [] if entry.dist else [])
        stage = "import"
        if not alone:
            raise UserError(f"another distribution also declares a plugin named {entry.name!r}")
        module = entry.load()
        stage = "hook"
        components = _call_hook(module, entry.name)
        stage = "validate"
        _validate(components, kinds)
    except (Exception, SystemExit) as error:
        if os.environ.get("SGMKIT_STRICT", "") not in ("", "0"):
            raise UserError(
                f"plugin {entry.name!r} failed at {stage}: {located_reason(error)}"
            ) from error
        full = "".join(traceback.format_exception(error))
        return replace(info, stage=stage, reason=located_reason(error), traceback=full)
    return replace(info, components=components)


def report_broken(loaded: list[PluginInfo]) -> None:
    """Print a line on standard error for each newly broken plugin, or one for all of many."""
    fresh = [plugin for plugin in loaded if plugin.stage and plugin.name not in _reported]
    _reported.update(plugin.name for plugin in fresh)
    if len(fresh) > 2:
        print(f"sgmkit: {len(fresh)} plugins failed (sgmkit plugins says why)", file=sys.stderr)
        return
    for plugin in fresh:
        print(
            f"sgmkit: plugin {plugin.name!r} failed at {plugin.stage}: {plugin.reason} "
            f"(sgmkit plugins --traceback {plugin.name})",
            file=sys.stderr,
        )


def reason(error: BaseException) -> str:
    """An error in one line; its type is named unless it is an error of sgmkit."""
    if isinstance(error, UserError) or not str(error).strip():
        return last_line(error)
    return f"{type(error).__name__}: {last_line(error)}"


def located_reason(error: BaseException) -> str:
    """`reason`, with the file and line that raised it: ``ImportError: ... (my_sgms/sde.py:7)``.

    Errors of sgmkit itself say what to do and need no file.
    """
    if isinstance(error, UserError | SystemExit):
        return reason(error)
    place = last_place(error, lambda module: not module.startswith(_MACHINERY))
    return f"{reason(error)} ({place})" if place else reason(error)


def last_place(error: BaseException, counts: Callable[[str], bool]) -> str:
    """The last line of the traceback in a module that counts: ``my_sgms/sde.py:7``; else empty.

    The file is shown from its top-level package on: no text depends on where that is installed.

    Args:
        error: what was raised.
        counts: whether a module, by its name, may be shown.
    """
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        module = str(frame.f_globals.get("__name__", ""))
        if counts(module):
            path = PurePath(frame.f_code.co_filename)
            depth = module.count(".") + (path.stem == "__init__")
            return f"{'/'.join(path.parts[-1 - depth :])}:{line}"
    return ""


def _check_version(requirements: list[str]) -> None:
    """Complain if a distribution requires another version of sgmkit; it is not imported then."""
    stated = [text for text in requirements if re.match(r"sgmkit\b(?![-_.])", text, re.IGNORECASE)]
    if not stated:
        return
    from packaging.requirements import Requirement

    version = metadata.version("sgmkit")
    for requirement in map(Requirement, stated):
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if applies and not requirement.specifier.contains(version, prereleases=True):
            raise UserError(f"needs sgmkit{requirement.specifier}, this is {version}")


def _call_hook(module: Any, name: str) -> tuple[Component, ...]:
    """Call the hook of one plugin, with a plugin manager of its own so that no other interferes."""
    manager = pluggy.PluginManager("sgmkit")
    manager.add_hookspecs(hookspecs)
    manager.register(module, name)
    manager.check_pending()
    results = manager.hook.sgmkit_components()
    if not results:
        raise UserError("it defines no function sgmkit_components marked with @sgmkit.hookimpl")
    return tuple(component for result in results for component in result)


def _validate(components: tuple[Component, ...], kinds: Mapping[str, str]) -> None:
    """Complain about a component of an unknown kind or with a bad name, target or alias."""
    seen: set[tuple[str, str]] = set()
    for item in components:
        if not isinstance(item, Component):
            raise UserError(f"offers {item!r}, which is not a Component")
        if item.kind not in kinds:
            raise UserError(
                f"{item.name!r} is of kind {item.kind!r}, which this sgmkit does not know "
                f"(kinds: {', '.join(kinds)}); a newer sgmkit may"
            )
        if not _TARGET.fullmatch(item.target):
            raise UserError(f"target {item.target!r} of {item.kind} {item.name!r} is not 'a.b:C'")
        if not isinstance(item.aliases, tuple):
            raise UserError(f"aliases of {item.kind} {item.name!r} are not a tuple")
        for name in (item.name, *item.aliases):
            if not _KEBAB.fullmatch(name):
                raise UserError(f"name {name!r} of a {item.kind} is not in kebab-case")
            if (item.kind, name) in seen:
                raise UserError(f"{item.kind} {name!r} is offered twice")
            seen.add((item.kind, name))
