"""Errors that a user can cause: each ends in one line that says what to do."""

__all__ = [
    "BadValue",
    "Incompatible",
    "IncompleteFile",
    "MissingFiles",
    "MissingPackage",
    "UnknownName",
    "UserError",
    "last_line",
]


class UserError(Exception):
    """A mistake in a name, a value or a path: the command line prints it and exits with 2."""


class UnknownName(UserError, LookupError):
    """No component, option or file has this name; the message names the nearest one."""


class BadValue(UserError, ValueError):
    """A value of the wrong type or outside its range; the message names the option."""


class Incompatible(UserError):
    """Two components that do not go together; a bench records this as an ``n/a`` row."""


class IncompleteFile(UserError):
    """A file that is incomplete, or was not written by sgmkit: it has to be made again."""


class MissingFiles(UserError):
    """Files that cannot be obtained; the message says where to put them or how to name them."""


class MissingPackage(UserError):
    """An optional package that is not installed; the message has the line that installs it."""


def last_line(error: BaseException) -> str:
    """The last line of an error's message, or the name of its type if it has no message."""
    return next(reversed(str(error).strip().splitlines()), type(error).__name__)
