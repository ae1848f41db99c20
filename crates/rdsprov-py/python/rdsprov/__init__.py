"""Manages roles, databases and grants in PostgreSQL on Amazon RDS.

The package does the same as the ``rdsprov`` command.
``plan`` compares definitions with a server, and ``apply`` applies the plan::

    definitions = rdsprov.Definitions.from_path("terraform.tfvars")
    plan = rdsprov.plan(definitions)
    print(plan)
    if plan.changes:
        outcome = rdsprov.apply(plan, build_id="16-01-26-01")
        assert outcome.converged

``diff`` plans without a server, for example in a test.
``rotate``, ``retire``, ``teardown`` and ``delegate`` are the other operations that change a server.
A ``Session`` holds the options that several calls have in common.

If an option is not given, its value comes from the environment variable (``RDSPROV_…``), then from
``rdsprov.toml``, then from the default.
All exceptions of the package are subclasses of ``Error``.
Sentences (``summary``, ``message``, ``hint``, ``hints``, ``notes``, ``error``, ``defect``) can be printed: hidden
characters in them are escaped. Names and statements are data, and remain as they are.
"""

from ._errors import (
    ApplyError,
    ApprovalRequired,
    Cancelled,
    ConnectError,
    DefinitionError,
    Error,
    PlanRefused,
    SecretError,
    StalePlan,
    TimedOut,
    UsageError,
)
from . import audit
from ._rdsprov import VERSION as __version__
from ._rdsprov import AccessReport, Cancellation, Definitions, Observed, Plan, SavedPlan
from ._changing import apply, delegate, retire, rotate, teardown
from ._enums import (
    AccessLevel,
    Action,
    Auth,
    CheckName,
    CheckStatus,
    ErrorCode,
    EventKind,
    Hazard,
    Mode,
    NoteCode,
    OrphanKind,
    RefusalCode,
    RunSettingName,
    SourceKind,
    Status,
)
from ._reading import access, check, diff, export, observe, plan, preflight, validate
from ._session import Session
from ._values import (
    Application,
    ChangedSecret,
    Check,
    Code,
    DefinitionProblem,
    EndOfAccess,
    Event,
    ManualFix,
    Note,
    Orphan,
    Outcome,
    Preflight,
    Record,
    Refusal,
    RunSetting,
    Settings,
    Step,
    StepResult,
    UndeclaredDatabase,
    UndeclaredRoleAccess,
)

__all__ = [
    "AccessLevel",
    "AccessReport",
    "Action",
    "Application",
    "ApplyError",
    "ApprovalRequired",
    "Auth",
    "Cancellation",
    "Cancelled",
    "ChangedSecret",
    "Check",
    "CheckName",
    "CheckStatus",
    "Code",
    "ConnectError",
    "DefinitionError",
    "DefinitionProblem",
    "Definitions",
    "EndOfAccess",
    "Error",
    "ErrorCode",
    "Event",
    "EventKind",
    "Hazard",
    "ManualFix",
    "Mode",
    "Note",
    "NoteCode",
    "Observed",
    "Orphan",
    "OrphanKind",
    "Outcome",
    "Plan",
    "PlanRefused",
    "Preflight",
    "Record",
    "Refusal",
    "RefusalCode",
    "RunSetting",
    "RunSettingName",
    "SavedPlan",
    "SecretError",
    "Session",
    "Settings",
    "SourceKind",
    "StalePlan",
    "Status",
    "Step",
    "StepResult",
    "TimedOut",
    "UndeclaredDatabase",
    "UndeclaredRoleAccess",
    "UsageError",
    "__version__",
    "access",
    "apply",
    "audit",
    "check",
    "delegate",
    "diff",
    "export",
    "observe",
    "plan",
    "preflight",
    "retire",
    "rotate",
    "teardown",
    "validate",
]


for _name in __all__:
    # Tracebacks, help() and pickle then show the public name.
    _public = globals()[_name]
    if hasattr(_public, "__qualname__"):
        _public.__module__ = __name__
