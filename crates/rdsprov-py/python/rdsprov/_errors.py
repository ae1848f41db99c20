"""What goes wrong, one class per kind."""


class Error(Exception):
    """Whatever goes wrong in rdsprov; its text says what happened, to what, and what to do next.

    ``outcome`` is what became of the run, where it was an ``apply``; else ``None``.
    """

    outcome = None


class UsageError(Error, ValueError):
    """What was asked for means nothing, or does not go together; the command exits with 64."""


class DefinitionError(Error, ValueError):
    """The definitions are wrong. ``errors`` has every error of every file."""

    def __init__(self, message, errors=()):
        super().__init__(message)
        self.errors = tuple(errors)


class SecretError(Error):
    """The secrets are not to be had, or the administrator's is of no use."""


class ConnectError(Error):
    """The server is not to be had."""


class ApprovalRequired(Error):
    """The environment asks for an approval, or for hazards that are allowed by name."""


class PlanRefused(Error):
    """Guardrails forbid the plan. ``refusals`` has each reason, and what to do about it."""

    def __init__(self, message, refusals=()):
        super().__init__(message)
        self.refusals = tuple(refusals)


class StalePlan(Error):
    """What would be done now is not what the plan says; nothing was changed."""


class ApplyError(Error):
    """The plan was begun and not brought to its end. ``outcome`` has what became of each step."""
