"""The exceptions of the package."""


class Error(Exception):
    """The base class of all exceptions of rdsprov.

    ``str()`` gives what happened, and lines with ``hint:`` that say what to do next. ``code`` is the kind of the
    error, an ``ErrorCode``; ``hints`` are the hints alone. ``outcome`` is the ``Outcome`` of the run if it was an
    ``apply``, else ``None``.
    """

    code = None
    hints = ()
    outcome = None


class UsageError(Error, ValueError):
    """An argument is invalid, or contradicts another one. The command exits with 64."""


class DefinitionError(Error, ValueError):
    """The definitions are invalid. ``errors`` has a ``DefinitionProblem`` for each error in each file."""

    def __init__(self, message, errors=()):
        super().__init__(message)
        self.errors = tuple(errors)


class SecretError(Error):
    """The secrets cannot be read, or that of the administrator is invalid."""


class ConnectError(Error):
    """The server cannot be reached, or it rejects the connection."""


class ApprovalRequired(Error):
    """The environment requires an approval, or a hazard of the plan is not allowed."""


class PlanRefused(Error):
    """The plan has refusals. ``refusals`` has each reason, with what to do about it."""

    def __init__(self, message, refusals=()):
        super().__init__(message)
        self.refusals = tuple(refusals)


class StalePlan(Error):
    """The current plan differs from the given or approved one; nothing was changed."""


class Cancelled(Error):
    """A ``Cancellation`` stopped the call. If it was a run, committed transactions are kept: see ``outcome``."""


class TimedOut(Cancelled, TimeoutError):
    """The call was stopped because it took longer than its ``timeout``."""


class ApplyError(Error):
    """The run failed before the plan was complete. ``outcome`` has the result of each step."""
