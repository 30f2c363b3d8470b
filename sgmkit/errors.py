"""What a user can cause: errors that end in one line, with the way out named."""


class UserError(Exception):
    """A mistake in a name, a value or a path. The CLI prints its one line and exits with 2."""


class UnknownName(UserError, LookupError):
    """No component, option or file of that name; the message names the near miss."""


class BadValue(UserError, ValueError):
    """A value of the wrong type or outside its range; the message names the option."""


class Incompatible(UserError):
    """Two components that do not go together; a bench turns this into an ``n/a`` row."""


class CutShort(UserError):
    """A file that is not whole, or never was of ours: the way out is to make it again."""


class MissingFiles(UserError):
    """Files that cannot be had here; the message says where to put them, or how to name them."""


def last_line(error: BaseException) -> str:
    """The last line of an error's text, or its type where it has none."""
    return next(reversed(str(error).strip().splitlines()), type(error).__name__)
