from . import (
    ApplyError as ApplyError,
    ApprovalRequired as ApprovalRequired,
    ConnectError as ConnectError,
    DefinitionError as DefinitionError,
    Error as Error,
    PlanRefused as PlanRefused,
    SecretError as SecretError,
    StalePlan as StalePlan,
    UsageError as UsageError,
)
