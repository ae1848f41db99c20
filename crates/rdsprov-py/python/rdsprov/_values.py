"""The plain data of the package: frozen dataclasses.

The extension module makes instances with the functions at the end of this file, and finds the enums
here, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum

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


class Settings(Mapping):
    """An immutable mapping from PostgreSQL parameters to their values."""

    __slots__ = ("_items",)

    def __init__(self, items):
        self._items = dict(items)

    def __getitem__(self, name):
        return self._items[name]

    def __iter__(self):
        return iter(self._items)

    def __len__(self):
        return len(self._items)

    def __hash__(self):
        return hash(frozenset(self._items.items()))

    def __repr__(self):
        return repr(self._items)


def _plain(value):
    """Converts a value to types that JSON has."""
    if isinstance(value, _Value):
        return value.to_dict()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return dict(value)
    return value


class _Value:
    """The methods that all dataclasses have."""

    def to_dict(self):
        """Returns plain data, with the keys and values of the JSON text."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    def to_json(self):
        """Returns JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)


@dataclass(frozen=True)
class Application(_Value):
    """One entry of the definitions, with the defaults for the keys that it omits."""

    name: str
    database_name: str
    username: str
    access_level: AccessLevel
    schemas: tuple[str, ...]
    extensions: tuple[str, ...]
    auth: Auth
    secret: str | None
    role_owner: bool
    createdb: bool
    memberships: tuple[str, ...]
    connection_limit: int
    valid_until: str | None
    settings: Settings
    creators: tuple[str, ...]
    plugin_databases: tuple[str, ...]
    adopt: bool

    def to_dict(self):
        """Returns plain data, as ``rdsprov validate --format json`` prints it."""
        values = super().to_dict()
        return {"application": values.pop("name"), **values}


@dataclass(frozen=True)
class DefinitionProblem(_Value):
    """One error in the definitions, with its position; lines and columns count from 1.

    ``message`` is the fact, ``hint`` says what to do, ``text`` is the part of the line around the position.
    """

    file: str | None
    line: int | None
    column: int | None
    code: ErrorCode
    message: str
    hint: str
    text: str


@dataclass(frozen=True)
class ChangedSecret(_Value):
    """The ids of the secrets of a role, before and after a step."""

    old: str | None
    new: str | None


@dataclass(frozen=True)
class Code(_Value):
    """A function, or an object with an expression that calls one, which PostgreSQL executes later."""

    kind: str
    schema: str | None
    name: str


@dataclass(frozen=True)
class Step(_Value):
    """One change of a plan. Its statements contain the name of a secret instead of a password.

    ``locked_out`` names the roles that can then no longer connect to the database, and
    ``without_temporary`` the others that can then no longer create temporary tables in it.
    ``changed_secret`` contains the secrets of the role before and after a step with the hazard
    ``changes_secret``.
    ``code`` lists the code that the new owner gets, in a step with the hazard ``hands_over_code``.
    """

    action: Action
    application: str
    role: str | None
    database: str | None
    summary: str
    statements: tuple[str, ...]
    hazards: tuple[Hazard, ...]
    locked_out: tuple[str, ...]
    without_temporary: tuple[str, ...]
    changed_secret: ChangedSecret | None
    code: tuple[Code, ...]


@dataclass(frozen=True)
class ManualFix(_Value):
    """SQL after which a plan is no longer refused.

    ``executor`` says who can execute it: ``administrator``, ``master-user`` (the RDS master user),
    ``superuser`` (not possible on RDS), or ``role NAME``.
    ``database`` is ``None`` if the SQL can be executed in any database.
    """

    executor: str
    database: str | None
    sql: str


@dataclass(frozen=True)
class Refusal(_Value):
    """A reason why a plan must not be applied: the fact as ``message``, and what to do as ``hint``."""

    application: str
    code: RefusalCode
    message: str
    hint: str
    manual_fix: ManualFix | None


@dataclass(frozen=True)
class Note(_Value):
    """A fact that a plan reports and that does not stop it, and what to do about it; as a string, the message."""

    code: NoteCode
    message: str
    hints: tuple[str, ...]

    def __str__(self):
        return self.message


@dataclass(frozen=True)
class Orphan(_Value):
    """A managed role or database that is no longer declared, with the privileges it still has."""

    kind: OrphanKind
    name: str
    application: str
    holds: tuple[str, ...]


@dataclass(frozen=True)
class RunSetting(_Value):
    """A value that decides how a run reaches its server or which approval it needs.

    ``location`` is the option, variable, path or secret that sets the value; ``None`` for a default.
    """

    name: RunSettingName
    value: str
    source: SourceKind
    location: str | None


@dataclass(frozen=True)
class UndeclaredDatabase(_Value):
    """A database that belongs to a declared role, and that no entry declares.

    ``closed`` is true if it matches ``plugin_databases``, so that PUBLIC gets no privileges on it.
    """

    database: str
    owner: str
    application: str
    closed: bool


@dataclass(frozen=True)
class EndOfAccess(_Value):
    """SQL that ends a part of the access of a role that is not declared.

    ``executor`` and ``database`` are those of a ``ManualFix``.
    """

    executor: str
    database: str | None
    sql: str


@dataclass(frozen=True)
class UndeclaredRoleAccess(_Value):
    """The access of a role that is not declared to a declared database.

    ``means`` says in words what the role has. ``connects`` is what gives it CONNECT or allows it to grant it,
    ``schemas`` where it has privileges on relations, ``owns`` the schemas that it owns, or in which it owns relations
    or routines, ``through`` the roles whose privileges on relations it uses, and ``used_by`` the roles that log in and use what it
    has. ``statements`` end the access.
    """

    role: str
    database: str
    login: bool
    means: str
    connects: tuple[str, ...]
    schemas: tuple[str, ...]
    owns: tuple[str, ...]
    through: tuple[str, ...]
    used_by: tuple[str, ...]
    statements: tuple[EndOfAccess, ...]


@dataclass(frozen=True)
class StepResult(_Value):
    """The result of a step; ``error`` is the error message, or ``None``."""

    step: Step
    status: Status
    error: str | None
    duration_ms: int


@dataclass(frozen=True)
class Event(_Value):
    """What a call begins to do or to wait for.

    ``message`` is one line, as the command prints it; ``steps`` are the steps of the transaction that begins.
    """

    kind: EventKind
    message: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Record(_Value):
    """A record, with the columns of the CSV file."""

    timestamp_utc: str
    environment: str
    build_id: str
    run_id: str
    database: str
    username: str
    action: str
    status: Status
    duration_ms: int
    message: str


@dataclass(frozen=True)
class Outcome(_Value):
    """The outcome of a run that changes a server. Iterating over it gives the result of each step.

    ``digest`` is that of the plan, or ``None`` if the run ended before it had one.
    ``converged`` is true if the last plan of the run has no steps.
    ``committed`` is true if the run has committed any change.
    ``notes`` are those of the plan, such as ``nothing-to-retire`` for a name that nothing on the server has.
    ``ledger_head`` is the hash of the last record of the ledger; keep it in another place.
    """

    environment: str
    build_id: str
    run_id: str
    digest: str | None
    converged: bool
    committed: bool
    steps: tuple[StepResult, ...]
    notes: tuple[Note, ...]
    records: tuple[Record, ...]
    ledger_head: str | None
    error: str | None

    def __iter__(self):
        return iter(self.steps)


@dataclass(frozen=True)
class Check(_Value):
    """One line of the report of ``preflight``.

    ``subject`` is the secret, application, file or host that was checked, or ``None``.
    ``code`` is the stable code of the error, refusal or note; ``rdsprov explain CODE`` describes it.
    ``hints`` say what to do next.
    """

    name: CheckName
    status: CheckStatus
    subject: str | None
    message: str
    code: str | None
    hints: tuple[str, ...]


@dataclass(frozen=True)
class Preflight(_Value):
    """The report of ``preflight``. Iterating over it gives each ``Check``.

    ``status`` is the worst result of all checks.
    ``text`` is the text that ``rdsprov preflight`` prints.
    """

    environment: str | None
    server: str | None
    status: CheckStatus
    checks: tuple[Check, ...]
    text: str

    @property
    def is_ready(self):
        """Whether no check was refused or has failed."""
        return self.status not in (CheckStatus.REFUSED, CheckStatus.FAILED)

    def __iter__(self):
        return iter(self.checks)

    def __str__(self):
        return self.text


@dataclass(frozen=True)
class Finding(_Value):
    """A defect of a ledger, with its line."""

    line: int
    error: str
    message: str


@dataclass(frozen=True)
class Verified(_Value):
    """The result of verifying a ledger.

    ``head`` is the hash of the last record.
    ``since_expected`` is the number of records after the expected one, if ``expect`` was given.
    ``notes`` are observations that are not defects.
    """

    records: int
    runs: int
    head: str | None
    since_expected: int | None
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def is_intact(self):
        """Whether the ledger has no findings."""
        return not self.findings


@dataclass(frozen=True)
class Change(_Value):
    """A change that took effect, or that may have, as a ledger records it.

    ``approval`` is the digest that was approved, ``"true"``, ``"not_required"``, or ``None`` in old records.
    ``found_by`` is the run that has found the change, if the run that made it has not recorded it.
    ``acknowledged`` says who has stated what became of the change, and why, if no run has found it out.
    ``result`` is ``"committed"``, or ``"unknown"`` if no record contains the result of the change: it may have been
    committed.
    ``defect`` says why the record cannot be trusted, for example because it was changed later.
    """

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
    """A row of an audit table. ``table_database`` is the database whose audit table contains it."""

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
    """The audit table of one database.

    ``defects`` lists what differs from the documented definition: such a table is not read.
    ``error`` says why the table could not be read.
    """

    database: str
    exists: bool
    rows: int
    defects: tuple[str, ...]
    error: str | None


@dataclass(frozen=True)
class AnnouncedStep(_Value):
    """The identity of a step, as a ledger contains it."""

    action: str
    application: str
    role: str | None
    database: str | None
    summary: str


@dataclass(frozen=True)
class TableDifference(_Value):
    """A difference between the audit tables and a ledger.

    ``kind`` is ``"row_without_record"``, ``"record_without_row"`` or ``"row_differs"``.
    ``row`` is ``None`` if the row is missing; ``table_database`` and ``step`` then say which one.
    ``announced`` says of a row without a record whether the ledger contains the intent of its run.
    ``columns`` lists the columns in which a row differs.
    The other fields are those of the record in the ledger, and ``None`` without a record.
    """

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
    """Committed changes of a ledger that were not compared, because their runs have used another audit table.

    ``table`` is ``None`` if they have used none.
    """

    table: str | None
    changes: int


@dataclass(frozen=True)
class TableReport(_Value):
    """The rows of the audit tables of a server. Iterating over it gives each ``TableRow``.

    ``differences`` is ``None`` if no ledger was compared.
    ``compared_records`` is the number of committed changes of the ledger that were compared, and ``not_compared``
    contains those of other audit tables.
    ``is_consistent`` says whether all tables could be read and are as documented, and whether nothing differs from the
    ledger.
    ``text`` is the text that ``rdsprov audit report --from-tables`` prints.
    """

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

    def __iter__(self):
        return iter(self.rows)

    def __str__(self):
        return self.text


def _make(cls, values):
    """Makes a frozen dataclass from all its fields.

    This is several times as fast as ``__init__``, which calls ``object.__setattr__`` for each field.
    """
    made = object.__new__(cls)
    made.__dict__.update(values)
    return made


# The extension module calls the following functions, with the serde form of a type of the core.


def _application(values):
    return _make(
        Application,
        {
            "name": values["application"],
            "database_name": values["database_name"],
            "username": values["username"],
            "access_level": AccessLevel(values["access_level"]),
            "schemas": tuple(values["schemas"]),
            "extensions": tuple(values["extensions"]),
            "auth": Auth(values["auth"]),
            "secret": values["secret"],
            "role_owner": values["role_owner"],
            "createdb": values["createdb"],
            "memberships": tuple(values["memberships"]),
            "connection_limit": values["connection_limit"],
            "valid_until": values["valid_until"],
            "settings": Settings(values["settings"]),
            "creators": tuple(values["creators"]),
            "plugin_databases": tuple(values["plugin_databases"]),
            "adopt": values["adopt"],
        },
    )


def _definition_problem(values):
    return _make(DefinitionProblem, {**values, "code": ErrorCode(values["code"])})


_ACTIONS = {action.value: action for action in Action}


def _step(values):
    return _make(
        Step,
        {
            "action": _ACTIONS[values["action"]],
            "application": values["application"],
            "role": values["role"],
            "database": values["database"],
            "summary": values["summary"],
            "statements": tuple(values["statements"]),
            "hazards": tuple(map(Hazard, values["hazards"])),
            "locked_out": tuple(values.get("locked_out", ())),
            "without_temporary": tuple(values.get("without_temporary", ())),
            "changed_secret": _changed_secret(values.get("changed_secret")),
            "code": tuple(_make(Code, one) for one in values.get("code", ())),
        },
    )


def _changed_secret(values):
    return values and _make(ChangedSecret, values)


def _executable(kind, values):
    executor = values["executor"]
    if not isinstance(executor, str):
        executor = f"role {executor['role']}"
    return _make(kind, {**values, "executor": executor})


def _refusal(values):
    manual_fix = values["manual_fix"]
    changed = {
        "code": RefusalCode(values["code"]),
        "manual_fix": manual_fix and _executable(ManualFix, manual_fix),
    }
    return _make(Refusal, {**values, **changed})


def _note(values):
    changed = {"code": NoteCode(values["code"]), "hints": tuple(values["hints"])}
    return _make(Note, {**values, **changed})


def _orphan(values):
    changed = {"kind": OrphanKind(values["kind"]), "holds": tuple(values["holds"])}
    return _make(Orphan, {**values, **changed})


def _run_setting(values):
    return _make(
        RunSetting,
        {
            "name": RunSettingName(values["name"]),
            "value": values["value"],
            "source": SourceKind(values["source"]),
            "location": values.get("location"),
        },
    )


def _undeclared_database(values):
    return _make(UndeclaredDatabase, values)


def _undeclared_access(values):
    names = ("connects", "schemas", "owns", "through", "used_by")
    changed = {name: tuple(values[name]) for name in names}
    statements = tuple(_executable(EndOfAccess, one) for one in values["statements"])
    return _make(UndeclaredRoleAccess, {**values, **changed, "statements": statements})


def _step_result(values):
    changed = {"step": _step(values["step"]), "status": Status(values["status"])}
    return _make(StepResult, {**values, **changed})


def _event(values):
    return _make(
        Event,
        {
            "kind": EventKind(values["kind"]),
            "message": values["message"],
            "steps": tuple(map(_step, values["steps"])),
        },
    )


def _record(values):
    return _make(Record, {**values, "status": Status(values["status"])})


def _outcome(values):
    changed = {
        "steps": tuple(map(_step_result, values["steps"])),
        "notes": tuple(map(_note, values["notes"])),
        "records": tuple(map(_record, values["records"])),
    }
    return _make(Outcome, {**values, **changed})


def _check(values):
    changed = {
        "name": CheckName(values["name"]),
        "status": CheckStatus(values["status"]),
        "hints": tuple(values["hints"]),
    }
    return _make(Check, {**values, **changed})


def _preflight(values):
    changed = {
        "status": CheckStatus(values["status"]),
        "checks": tuple(map(_check, values["checks"])),
    }
    return _make(Preflight, {**values, **changed})


def _verified(values):
    changed = {
        "findings": tuple(_make(Finding, finding) for finding in values["findings"]),
        "notes": tuple(values["notes"]),
    }
    return _make(Verified, {**values, **changed})


def _change(values):
    changed = {
        "step": _step(values["step"]),
        "allowed_hazards": tuple(map(Hazard, values["allowed_hazards"])),
    }
    return _make(Change, {**values, **changed})


def _table_difference(values):
    row, step = values.get("row"), values.get("step")
    optional = ("announced", "line", "timestamp_utc", "run_id", "actor", "build_id", "table_database")
    changed = {
        "kind": values["kind"],
        "row": row and _make(TableRow, row),
        "columns": tuple(values.get("columns", ())),
        "step": step and _make(AnnouncedStep, step),
    }
    return _make(TableDifference, {**{name: values.get(name) for name in optional}, **changed})


def _table_report(values):
    report = values["report"]
    differences = report["differences"]
    states = ({**one, "defects": tuple(one["defects"])} for one in report["tables"])
    return _make(
        TableReport,
        {
            "server": report["server"],
            "environment": report["environment"],
            "table": report["table"],
            "tables": tuple(_make(TableState, one) for one in states),
            "rows": tuple(_make(TableRow, one) for one in report["rows"]),
            "differences": None if differences is None else tuple(map(_table_difference, differences)),
            "compared_records": report["compared_records"],
            "not_compared": tuple(_make(NotCompared, one) for one in report["not_compared"]),
            "is_consistent": values["is_consistent"],
            "text": values["text"],
        },
    )
