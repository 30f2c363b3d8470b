"""`sgmkit check`: components held against the conformance suite."""

from typing import Annotated

import typer

from sgmkit.errors import UserError


def check(
    target: Annotated[str, typer.Argument(help="A component, a plugin, or package.module:Class.")],
) -> None:
    """Hold a component, or all of a plugin, against the conformance suite."""
    from sgmkit.testing import check_target

    results = check_target(target)
    width = max(len(result.subject) + len(result.check) for result in results) + 1
    for result in results:
        where = f"{result.subject} {result.check.removeprefix('check_')}".ljust(width)
        print(f"{result.level:<5} {where}  {result.message or result.measured}".rstrip())
    levels = [result.level for result in results]
    words = (("ok", "ok"), ("warn", "to note"), ("skip", "not applicable"), ("fail", "failed"))
    counts = ", ".join(f"{levels.count(level)} {word}" for level, word in words)
    print(f"{len(results)} checks: {counts}")
    if "fail" in levels:
        raise UserError(f"{target}: {levels.count('fail')} of {len(results)} checks failed")
