from . import (
    ApplyError as ApplyError,
    ApprovalRequired as ApprovalRequired,
    Cancelled as Cancelled,
    ConnectError as ConnectError,
    DefinitionError as DefinitionError,
    Error as Error,
    PlanRefused as PlanRefused,
    SecretError as SecretError,
    StalePlan as StalePlan,
    TimedOut as TimedOut,
    UsageError as UsageError,
)
