import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Union

from typing_extensions import TypeAlias

from . import Cancellation, Event, Hazard, Step, _AdminAuth, _Secrets, _Tls, _Value

__all__ = [
    "AnnouncedStep",
    "Change",
    "Finding",
    "NotCompared",
    "TableDifference",
    "TableReport",
    "TableRow",
    "TableState",
    "Verified",
    "changes",
    "tables",
    "verify",
]

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

@dataclass(frozen=True)
class TableRow(_Value):
    table_database: str
    timestamp_utc: str
    environment: str
    build_id: str
    run_id: str
    database: str
    username: str
    action: str
    status: str
    message: str
    plan: str
    actor: str

@dataclass(frozen=True)
class TableState(_Value):
    database: str
    exists: bool
    rows: int
    defects: tuple[str, ...]
    error: str | None

@dataclass(frozen=True)
class AnnouncedStep(_Value):
    action: str
    application: str
    role: str | None
    database: str | None
    summary: str

@dataclass(frozen=True)
class TableDifference(_Value):
    kind: str
    row: TableRow | None
    announced: bool | None
    columns: tuple[str, ...]
    line: int | None
    timestamp_utc: str | None
    run_id: str | None
    actor: str | None
    build_id: str | None
    table_database: str | None
    step: AnnouncedStep | None

@dataclass(frozen=True)
class NotCompared(_Value):
    table: str | None
    changes: int

@dataclass(frozen=True)
class TableReport(_Value):
    server: str
    environment: str
    table: str
    tables: tuple[TableState, ...]
    rows: tuple[TableRow, ...]
    differences: tuple[TableDifference, ...] | None
    compared_records: int
    not_compared: tuple[NotCompared, ...]
    is_consistent: bool
    text: str
    def __iter__(self) -> Iterator[TableRow]: ...

def verify(path: _Path, *, expect: str | None = None) -> Verified: ...
def changes(
    path: _Path, *, role: str | None = None, database: str | None = None
) -> tuple[Change, ...]: ...
def tables(
    *,
    role: str | None = None,
    database: str | None = None,
    environment: str | None = None,
    admin_secret: str | None = None,
    admin_auth: _AdminAuth | None = None,
    admin_user: str | None = None,
    secrets: _Secrets | None = None,
    region: str | None = None,
    host: str | None = None,
    port: int | None = None,
    connect_to: str | None = None,
    dbname: str | None = None,
    tls: _Tls | None = None,
    ca_file: _Path | None = None,
    client_cert: _Path | None = None,
    client_key: _Path | None = None,
    connect_timeout: str | int | None = None,
    statement_timeout: str | int | None = None,
    observation_timeout: str | int | None = None,
    max_connections: int | None = None,
    build_id: str | None = None,
    audit_ledger: _Path | None = None,
    audit_table: str | None = None,
    config: _Path | None = None,
    cancellation: Cancellation | None = None,
    timeout: float | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> TableReport: ...
