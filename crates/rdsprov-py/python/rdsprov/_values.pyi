from . import (
    Application as Application,
    ChangedSecret as ChangedSecret,
    Code as Code,
    DefinitionProblem as DefinitionProblem,
    ManualFix as ManualFix,
    Note as Note,
    Orphan as Orphan,
    Outcome as Outcome,
    Record as Record,
    Refusal as Refusal,
    Settings as Settings,
    Step as Step,
    StepResult as StepResult,
    Undeclared as Undeclared,
)
from ._enums import (
    AccessLevel as AccessLevel,
    Action as Action,
    Auth as Auth,
    ErrorCode as ErrorCode,
    Hazard as Hazard,
    Mode as Mode,
    NoteCode as NoteCode,
    OrphanKind as OrphanKind,
    RefusalCode as RefusalCode,
    Status as Status,
)
from .audit import Change as Change, Finding as Finding, Verified as Verified
