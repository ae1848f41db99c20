from . import (
    AccessLevel as AccessLevel,
    Action as Action,
    Auth as Auth,
    ErrorCode as ErrorCode,
    Hazard as Hazard,
    Mode as Mode,
    NoteCode as NoteCode,
    RefusalCode as RefusalCode,
    Status as Status,
)
