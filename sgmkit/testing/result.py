"""Results of checks. A check returns what it measured, or raises one of three exceptions."""

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch

from sgmkit.convergence.outcomes import CheckFailed, NotApplicable, require
from sgmkit.errors import UserError

__all__ = [
    "Check",
    "CheckFailed",
    "CheckResult",
    "Concern",
    "NotApplicable",
    "global_rng_untouched",
    "perform",
    "require",
]

Check = Callable[[Any], str]
"""``check_<property>(component)`` returns what it measured, in a few words, or raises."""


class Concern(Exception):
    """The component has an unusual property that its author should know about: a warning."""


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check.

    Args:
        subject: component that was checked, such as ``sde vp``.
        check: name of the check, such as ``check_semigroup``.
        level: ``ok``, ``warn`` (a concern), ``skip`` (not applicable) or ``fail``.
        message: reason in one line, empty if the level is ``ok``.
        measured: what the check measured, such as ``declared 2, measured 1.98``.
    """

    subject: str
    check: str
    level: Literal["ok", "warn", "skip", "fail"]
    message: str = ""
    measured: str = ""

    @property
    def ok(self) -> bool:
        """Whether the check did not fail; a warning or a skip is no failure."""
        return self.level != "fail"


def perform(check: Check, component: object, subject: str) -> CheckResult:
    """Run one check on a component; any exception that the component raises is a failure."""
    name = check.__name__
    try:
        return CheckResult(subject, name, "ok", measured=check(component))
    except Concern as concern:
        return CheckResult(subject, name, "warn", str(concern))
    except NotApplicable as reason:
        return CheckResult(subject, name, "skip", str(reason))
    except (CheckFailed, UserError) as error:
        return CheckResult(subject, name, "fail", str(error))
    except Exception as error:
        lines = str(error).strip().splitlines()
        reason = f"raised {type(error).__name__}: {lines[0] if lines else 'no message'}"
        return CheckResult(subject, name, "fail", reason)


@contextlib.contextmanager
def global_rng_untouched() -> Iterator[None]:
    """Fail if the body draws from, or seeds, a global generator of torch or of Python."""
    before, python = torch.get_rng_state(), random.getstate()
    yield
    require(
        torch.equal(before, torch.get_rng_state()) and python == random.getstate(),
        "it uses a global random generator: draw from the noise that is passed in",
    )
