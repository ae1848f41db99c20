"""Plain data: enums that are strings, and frozen dataclasses that know themselves as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum


class _Word(str, Enum):
    """A string of a closed set, as ``enum.StrEnum`` is from Python 3.11 on."""

    def __str__(self):
        return str(self.value)

    def __format__(self, spec):
        return format(str(self.value), spec)


class AccessLevel(_Word):
    """How much access an application asks for."""

    OWNER = "owner"
    EDITOR = "editor"
    READER = "reader"


class Auth(_Word):
    """How an application proves who it is."""

    PASSWORD = "password"
    IAM = "iam"


class Mode(_Word):
    """Where the applications stand in a file: at its top, or inside ``rds_config``."""

    STANDALONE = "standalone"
    COUPLED = "coupled"


class Action(_Word):
    """What a step does."""

    CREATE_ROLE = "create_role"
    ALTER_ROLE = "alter_role"
    SET_PASSWORD = "set_password"
    CREATE_SECRET = "create_secret"
    CREATE_DATABASE = "create_database"
    ALTER_DATABASE = "alter_database"
    CREATE_SCHEMA = "create_schema"
    ALTER_SCHEMA = "alter_schema"
    CREATE_EXTENSION = "create_extension"
    REASSIGN_OWNED = "reassign_owned"
    GRANT = "grant"
    REVOKE = "revoke"
    DEFAULT_PRIVILEGES = "default_privileges"
    SET_PARAMETER = "set_parameter"
    ADOPT = "adopt"
    CREATE_PENDING = "create_pending"
    TEST_PASSWORD = "test_password"
    FINISH_ROTATION = "finish_rotation"
    RESTORE_PASSWORD = "restore_password"


class Hazard(_Word):
    """What a step may break for somebody."""

    REVOKES_ACCESS = "revokes_access"
    CHANGES_OWNER = "changes_owner"
    RESETS_PASSWORD = "resets_password"
    ADOPTS = "adopts"
    CLOSES_TO_PUBLIC = "closes_to_public"


class Status(_Word):
    """How something ended."""

    SUCCESS = "success"
    NO_CHANGE = "no_change"
    DRY_RUN = "dry_run"
    REFUSED = "refused"
    ERROR = "error"
    NOT_RUN = "not_run"


class Settings(Mapping):
    """An immutable mapping of parameters to their values."""

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
    """Only what JSON knows."""
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
    """What all the dataclasses can do."""

    def to_dict(self):
        """Plain data, as JSON has it."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    def to_json(self):
        """The same as JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)


@dataclass(frozen=True)
class Application(_Value):
    """One application's entry in the definitions, with what holds where it leaves a key out."""

    name: str
    database_name: str
    username: str
    access_level: AccessLevel
    schemas: tuple[str, ...]
    extensions: tuple[str, ...]
    auth: Auth
    secret: str | None
    createdb: bool
    connection_limit: int
    settings: Settings
    creators: tuple[str, ...]
    plugin_databases: tuple[str, ...]
    adopt: bool

    def to_dict(self):
        """Plain data, as ``rdsprov validate --format json`` prints it."""
        values = super().to_dict()
        return {"application": values.pop("name"), **values}


@dataclass(frozen=True)
class DefinitionProblem(_Value):
    """One thing that is wrong with definitions, and where; lines and columns count from 1."""

    file: str | None
    line: int | None
    column: int | None
    message: str
    help: str
    text: str


@dataclass(frozen=True)
class Step(_Value):
    """One thing that a plan changes. Passwords are in no statement: it names their secret."""

    action: Action
    application: str
    role: str | None
    database: str | None
    summary: str
    statements: tuple[str, ...]
    hazards: tuple[Hazard, ...]


@dataclass(frozen=True)
class ManualFix(_Value):
    """A statement that somebody with more power can run; in any database where none is named."""

    database: str | None
    sql: str


@dataclass(frozen=True)
class Refusal(_Value):
    """Why nothing may be done, and what to do about it."""

    application: str
    message: str
    remedy: str
    manual_fix: ManualFix | None


@dataclass(frozen=True)
class Orphan(_Value):
    """A managed role or database that has left the definitions, and what it still holds."""

    kind: str
    name: str
    application: str
    holds: tuple[str, ...]


@dataclass(frozen=True)
class Undeclared(_Value):
    """A database that a declared role made for itself."""

    database: str
    owner: str
    application: str
    closed: bool


@dataclass(frozen=True)
class StepResult(_Value):
    """What became of a step; ``error`` is what the server said."""

    step: Step
    status: Status
    error: str | None
    duration_ms: int


@dataclass(frozen=True)
class Record(_Value):
    """A row of the records, as the CSV file has it."""

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
    """What became of an ``apply``; iterating gives the result of each step."""

    environment: str
    build_id: str
    run_id: str
    digest: str
    #: Whether a second look found the server as declared.
    converged: bool
    #: Whether anything was committed.
    committed: bool
    steps: tuple[StepResult, ...]
    records: tuple[Record, ...]
    #: The hash of the ledger's last record, where there is one: keep it elsewhere.
    ledger_head: str | None
    error: str | None

    def __iter__(self):
        return iter(self.steps)


@dataclass(frozen=True)
class Finding(_Value):
    """Something that is wrong with a ledger, and in which line."""

    line: int
    error: str
    message: str


@dataclass(frozen=True)
class Verified(_Value):
    """What a look at a ledger has shown; ``head`` is the hash of its last record."""

    records: int
    runs: int
    head: str | None
    since_expected: int | None
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def is_intact(self):
        """Whether the ledger is as it was written, as far as can be seen."""
        return not self.findings


@dataclass(frozen=True)
class Change(_Value):
    """A change that took effect, as a ledger tells it."""

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
    step: Step


def _make(cls, values):
    """A frozen dataclass from all its fields: many are made at once, and ``__init__`` sets one by one."""
    made = object.__new__(cls)
    made.__dict__.update(values)
    return made


# What follows is called from the Rust side, with what serde makes of the core's types.


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
            "createdb": values["createdb"],
            "connection_limit": values["connection_limit"],
            "settings": Settings(values["settings"]),
            "creators": tuple(values["creators"]),
            "plugin_databases": tuple(values["plugin_databases"]),
            "adopt": values["adopt"],
        },
    )


def _definition_problem(values):
    return _make(DefinitionProblem, values)


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
        },
    )


def _refusal(values):
    manual_fix = values["manual_fix"]
    return _make(Refusal, {**values, "manual_fix": manual_fix and _make(ManualFix, manual_fix)})


def _orphan(values):
    return _make(Orphan, {**values, "holds": tuple(values["holds"])})


def _undeclared(values):
    return _make(Undeclared, values)


def _step_result(values):
    changed = {"step": _step(values["step"]), "status": Status(values["status"])}
    return _make(StepResult, {**values, **changed})


def _record(values):
    return _make(Record, {**values, "status": Status(values["status"])})


def _outcome(values):
    changed = {
        "steps": tuple(map(_step_result, values["steps"])),
        "records": tuple(map(_record, values["records"])),
    }
    return _make(Outcome, {**values, **changed})


def _verified(values):
    changed = {
        "findings": tuple(_make(Finding, finding) for finding in values["findings"]),
        "notes": tuple(values["notes"]),
    }
    return _make(Verified, {**values, **changed})


def _change(values):
    return _make(Change, {**values, "step": _step(values["step"])})
