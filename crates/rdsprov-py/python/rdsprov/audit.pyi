import os
from dataclasses import dataclass
from typing import Union

from typing_extensions import TypeAlias

from . import Hazard, Step, _Value

__all__ = ["Change", "Finding", "Verified", "changes", "verify"]

_Path: TypeAlias = Union[str, os.PathLike[str]]

@dataclass(frozen=True)
class Finding(_Value):
    line: int
    error: str
    message: str

@dataclass(frozen=True)
class Verified(_Value):
    records: int
    runs: int
    head: str | None
    since_expected: int | None
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    @property
    def is_intact(self) -> bool: ...

@dataclass(frozen=True)
class Change(_Value):
    line: int
    timestamp_utc: str
    environment: str
    build_id: str
    run_id: str
    actor: str
    approver: str | None
    request_id: str | None
    os_user: str
    host: str
    server: str | None
    definitions: str | None
    plan: str | None
    approval: str | None
    allowed_hazards: tuple[Hazard, ...]
    step: Step
    found_by: str | None
    result: str
    acknowledged: str | None
    defect: str | None

def verify(path: _Path, *, expect: str | None = None) -> Verified: ...
def changes(
    path: _Path, *, role: str | None = None, database: str | None = None
) -> tuple[Change, ...]: ...
