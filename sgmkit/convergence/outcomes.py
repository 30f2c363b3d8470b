"""How a measurement ends that gives no number: the solver is wrong, or the question is."""


class CheckFailed(AssertionError):
    """The component does not do what it declares; the message says what it does instead."""


class NotApplicable(Exception):
    """The property cannot be measured for this component; the message says why."""


def require(condition: bool, message: str) -> None:
    """Raise `CheckFailed` with ``message`` unless ``condition``."""
    if not condition:
        raise CheckFailed(message)
