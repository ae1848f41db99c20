from . import (
    AccessLevel as AccessLevel,
    Action as Action,
    Auth as Auth,
    ErrorCode as ErrorCode,
    Hazard as Hazard,
    Mode as Mode,
    NoteCode as NoteCode,
    OrphanKind as OrphanKind,
    RefusalCode as RefusalCode,
    RunSettingName as RunSettingName,
    SourceKind as SourceKind,
    Status as Status,
)
