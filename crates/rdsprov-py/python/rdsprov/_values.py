"""The plain data of the package: enums whose members are strings, and frozen dataclasses.

The extension module makes instances with the functions at the end of this file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum


class _Word(str, Enum):
    """Does the same as ``enum.StrEnum``, which exists since Python 3.11."""

    def __str__(self):
        return str(self.value)

    def __format__(self, spec):
        return format(str(self.value), spec)


class AccessLevel(_Word):
    """How much access an application gets in its database."""

    OWNER = "owner"
    EDITOR = "editor"
    READER = "reader"


class Auth(_Word):
    """How an application authenticates: with a password, or with an IAM token."""

    PASSWORD = "password"
    IAM = "iam"


class Mode(_Word):
    """Where ``application_databases`` is in the definitions: at the top level, or inside ``rds_config``."""

    STANDALONE = "standalone"
    COUPLED = "coupled"


class Action(_Word):
    """The kind of change that a step makes."""

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
    """An effect of a step that can break something for its users."""

    REVOKES_ACCESS = "revokes_access"
    CHANGES_OWNER = "changes_owner"
    RESETS_PASSWORD = "resets_password"
    ADOPTS = "adopts"
    CLOSES_TO_PUBLIC = "closes_to_public"


class RefusalCode(_Word):
    """The rule because of which a plan is refused; ``rdsprov explain CODE`` describes it."""

    ROLE_IS_ADMINISTRATOR = "role-is-administrator"
    ROLE_RENAMED = "role-renamed"
    ROLE_NOT_MANAGED = "role-not-managed"
    ROLE_OF_OTHER_ENVIRONMENT = "role-of-other-environment"
    ROLE_OF_APPLICATION = "role-of-application"
    ROLE_IS_DELEGATE = "role-is-delegate"
    ROLE_ATTRIBUTES_FORBIDDEN = "role-attributes-forbidden"
    ADMIN_OPTION_MISSING = "admin-option-missing"
    ADMINISTRATOR_WITHOUT_INHERIT = "administrator-without-inherit"
    DEPENDENT_MEMBERSHIP = "dependent-membership"
    MEMBERSHIP_NOT_REVOCABLE = "membership-not-revocable"
    RDS_IAM_MISSING = "rds-iam-missing"
    SET_PASSWORD_RESTRICTED = "set-password-restricted"
    PASSWORD_ADMINISTRATION_RESTRICTED = "password-administration-restricted"
    ADMINISTRATOR_DATABASE = "administrator-database"
    DATABASE_RENAMED = "database-renamed"
    DATABASE_NOT_MANAGED = "database-not-managed"
    DATABASE_OF_OTHER_ENVIRONMENT = "database-of-other-environment"
    DATABASE_UNREACHABLE = "database-unreachable"
    DATABASE_OWNER_UNDECLARED = "database-owner-undeclared"
    DATABASE_OWNER_DIFFERS = "database-owner-differs"
    DATABASE_OWNER_INACCESSIBLE = "database-owner-inaccessible"
    OWNER_ENTRY_MISSING = "owner-entry-missing"
    CREATOR_MISSING = "creator-missing"
    SUBSCRIPTION_WOULD_MOVE = "subscription-would-move"
    OBJECT_NOT_TRANSFERABLE = "object-not-transferable"
    OBJECTS_OF_DECLARED_ROLE = "objects-of-declared-role"
    STEP_OF_OTHER_ROLE = "step-of-other-role"
    SCHEMA_USAGE_MISSING = "schema-usage-missing"
    DEPENDENT_GRANT = "dependent-grant"
    SCHEMA_MISSING = "schema-missing"
    SCHEMA_OWNER_DIFFERS = "schema-owner-differs"
    PUBLIC_SCHEMA_INACCESSIBLE = "public-schema-inaccessible"
    SETTING_REJECTED = "setting-rejected"
    SETTING_NOT_RESETTABLE = "setting-not-resettable"
    EXTENSION_UNAVAILABLE = "extension-unavailable"
    EXTENSION_NOT_ALLOWED = "extension-not-allowed"
    EXTENSION_WITHOUT_SCHEMA = "extension-without-schema"
    EXTENSION_NOT_TRUSTED = "extension-not-trusted"
    SECRET_UNAVAILABLE = "secret-unavailable"
    SECRETS_DIFFER = "secrets-differ"
    PASSWORD_TOO_SHORT = "password-too-short"
    SECRET_USERNAME_DIFFERS = "secret-username-differs"
    SECRET_DATABASE_DIFFERS = "secret-database-differs"
    ROTATED_BY_AWS = "rotated-by-aws"
    ROLE_MISSING = "role-missing"
    ROLE_USES_IAM = "role-uses-iam"
    ROLE_CANNOT_LOG_IN = "role-cannot-log-in"
    LOGIN_UNVERIFIED = "login-unverified"


class NoteCode(_Word):
    """What a note reports; ``rdsprov explain CODE`` describes it."""

    PASSWORD_ENCRYPTION_DIFFERS = "password-encryption-differs"
    ADMINISTRATOR_IN_RDS_IAM = "administrator-in-rds-iam"
    DELEGATE_IN_RDS_IAM = "delegate-in-rds-iam"
    IAM_NOT_DELEGABLE = "iam-not-delegable"
    PRIVILEGE_THROUGH_PUBLIC = "privilege-through-public"
    REVOCATION_WITHOUT_EFFECT = "revocation-without-effect"
    PASSWORD_NOT_CHECKED = "password-not-checked"
    SECRET_SHARED = "secret-shared"
    ENDPOINT_DIFFERS = "endpoint-differs"


class Status(_Word):
    """The status of a step or of a run."""

    SUCCESS = "success"
    NO_CHANGE = "no_change"
    DRY_RUN = "dry_run"
    REFUSED = "refused"
    ERROR = "error"
    NOT_RUN = "not_run"


class ErrorCode(_Word):
    """The kind of an error; ``rdsprov explain CODE`` and docs/messages.md explain each."""

    CONFLICTING_KEYS = "conflicting-keys"
    CONFLICTING_MODES = "conflicting-modes"
    CONFLICTING_ROLE_KEYS = "conflicting-role-keys"
    CONFLICTING_VARIABLES = "conflicting-variables"
    DEFINITIONS_DISABLED = "definitions-disabled"
    DUPLICATE_ACCESS = "duplicate-access"
    DUPLICATE_APPLICATION = "duplicate-application"
    DUPLICATE_ITEM = "duplicate-item"
    DUPLICATE_KEY = "duplicate-key"
    EXTENSIONS_WITHOUT_OWNERSHIP = "extensions-without-ownership"
    INVALID_DEFINITIONS = "invalid-definitions"
    INVALID_NAME = "invalid-name"
    INVALID_NAMING_PATTERN = "invalid-naming-pattern"
    INVALID_SYNTAX = "invalid-syntax"
    INVALID_VALUE = "invalid-value"
    MISSPELT_VARIABLE = "misspelt-variable"
    MISSING_KEY = "missing-key"
    NAMING_PATTERN_MISMATCH = "naming-pattern-mismatch"
    NO_APPLICATIONS = "no-applications"
    NOT_A_CONSTANT = "not-a-constant"
    NOT_UTF8 = "not-utf8"
    RESERVED_NAME = "reserved-name"
    TERRAFORM_INCOMPATIBLE = "terraform-incompatible"
    TWO_OWNERS = "two-owners"
    UNKNOWN_KEY = "unknown-key"
    WRONG_TYPE = "wrong-type"
    NO_DEFINITIONS = "no-definitions"
    FILE_UNREADABLE = "file-unreadable"
    FILE_GIVEN_TWICE = "file-given-twice"
    UNKNOWN_FILE_TYPE = "unknown-file-type"
    INVALID_CONFIG = "invalid-config"
    ENVIRONMENT_MISMATCH = "environment-mismatch"
    NO_ENVIRONMENT = "no-environment"
    UNKNOWN_ENVIRONMENT = "unknown-environment"
    UNKNOWN_APPLICATION = "unknown-application"
    UNKNOWN_DATABASE = "unknown-database"
    UNKNOWN_PLACEHOLDER = "unknown-placeholder"
    WRONG_USAGE = "wrong-usage"
    SAVED_PLAN_AS_DEFINITIONS = "saved-plan-as-definitions"
    UNUSED_CA_FILE = "unused-ca-file"
    INCOMPLETE_CLIENT_CERTIFICATE = "incomplete-client-certificate"
    UNUSABLE_CERTIFICATE_FILE = "unusable-certificate-file"
    UNUSABLE_CLIENT_KEY = "unusable-client-key"
    NO_SYSTEM_CERTIFICATES = "no-system-certificates"
    TLS_SETUP_FAILED = "tls-setup-failed"
    NO_AWS_REGION = "no-aws-region"
    NO_AWS_CREDENTIALS = "no-aws-credentials"
    AWS_CREDENTIALS_REJECTED = "aws-credentials-rejected"
    SECRETS_MANAGER_UNREACHABLE = "secrets-manager-unreachable"
    SECRETS_MANAGER_THROTTLED = "secrets-manager-throttled"
    SECRET_SOURCE_FAILED = "secret-source-failed"
    SECRET_NOT_FOUND = "secret-not-found"
    SECRET_WITHOUT_VALUE = "secret-without-value"
    SECRET_IN_OTHER_REGION = "secret-in-other-region"
    SECRET_ACCESS_DENIED = "secret-access-denied"
    SECRET_KEY_DENIED = "secret-key-denied"
    SECRET_DELETED = "secret-deleted"
    INVALID_SECRET = "invalid-secret"
    UNUSABLE_PASSWORD = "unusable-password"
    INVALID_SECRET_ID = "invalid-secret-id"
    SECRET_NOT_CREATED = "secret-not-created"
    SECRET_NOT_CHANGED = "secret-not-changed"
    SECRET_UNREADABLE = "secret-unreadable"
    SECRET_WITHOUT_STAGES = "secret-without-stages"
    ADMIN_SECRET_INCOMPLETE = "admin-secret-incomplete"
    NO_HOST = "no-host"
    NO_RANDOM_BYTES = "no-random-bytes"
    TOKEN_SIGNING_FAILED = "token-signing-failed"
    CANNOT_CONNECT = "cannot-connect"
    AUTHENTICATION_FAILED = "authentication-failed"
    SERVER_NOT_RESPONDING = "server-not-responding"
    CLEARTEXT_PASSWORD_REQUESTED = "cleartext-password-requested"
    TOKEN_NEEDS_TLS = "token-needs-tls"
    TLS_REQUIRED = "tls-required"
    UNTRUSTED_SERVER_CERTIFICATE = "untrusted-server-certificate"
    CERTIFICATE_HOST_MISMATCH = "certificate-host-mismatch"
    SERVER_CERTIFICATE_EXPIRED = "server-certificate-expired"
    SERVER_CERTIFICATE_NOT_YET_VALID = "server-certificate-not-yet-valid"
    INVALID_SERVER_CERTIFICATE = "invalid-server-certificate"
    TLS_NOT_OFFERED = "tls-not-offered"
    TLS_HANDSHAKE_FAILED = "tls-handshake-failed"
    CLIENT_CERTIFICATE_REQUIRED = "client-certificate-required"
    CLIENT_CERTIFICATE_REJECTED = "client-certificate-rejected"
    CATALOG_QUERY_FAILED = "catalog-query-failed"
    UNEXPECTED_CATALOG_RESULT = "unexpected-catalog-result"
    LOCK_UNAVAILABLE = "lock-unavailable"
    NO_PASSWORD_TO_ROTATE = "no-password-to-rotate"
    SEVERAL_SECRETS = "several-secrets"
    SHARED_SECRET = "shared-secret"
    APPROVAL_MISSING = "approval-missing"
    PLAN_APPROVAL_MISSING = "plan-approval-missing"
    INVALID_APPROVAL = "invalid-approval"
    HAZARDS_NOT_ALLOWED = "hazards-not-allowed"
    SECOND_APPROVAL_REQUIRED = "second-approval-required"
    SECOND_PLAN_REQUIRED = "second-plan-required"
    PLAN_STALE = "plan-stale"
    PLAN_REFUSED = "plan-refused"
    NOT_A_SAVED_PLAN = "not-a-saved-plan"
    UNKNOWN_PLAN_FORMAT = "unknown-plan-format"
    PLAN_FILE_CHANGED = "plan-file-changed"
    SERVER_MISMATCH = "server-mismatch"
    NOT_CONFIRMED = "not-confirmed"
    STATEMENT_FAILED = "statement-failed"
    NOT_CONVERGED = "not-converged"
    INTERRUPTED = "interrupted"
    AUDIT_FILE_UNWRITABLE = "audit-file-unwritable"
    AUDIT_FILE_LOCKED = "audit-file-locked"
    WRONG_AUDIT_FILE = "wrong-audit-file"
    LEDGER_DAMAGED = "ledger-damaged"
    INCOMPLETE_ACCESS_REPORT = "incomplete-access-report"
    OUTPUT_INCOMPLETE = "output-incomplete"
    INTERNAL_ERROR = "internal-error"


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
    createdb: bool
    connection_limit: int
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

    ``message`` is the fact, ``hint`` says what to do, ``text`` is the line at the position.
    """

    file: str | None
    line: int | None
    column: int | None
    code: ErrorCode
    message: str
    hint: str
    text: str


@dataclass(frozen=True)
class Step(_Value):
    """One change of a plan. Its statements contain the name of a secret instead of a password."""

    action: Action
    application: str
    role: str | None
    database: str | None
    summary: str
    statements: tuple[str, ...]
    hazards: tuple[Hazard, ...]


@dataclass(frozen=True)
class ManualFix(_Value):
    """SQL that a role with more privileges can execute, so that a plan is no longer refused.

    ``database`` is ``None`` if the SQL can be executed in any database.
    """

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
    """A fact that a plan reports and that does not stop it; as a string, the message."""

    code: NoteCode
    message: str

    def __str__(self):
        return self.message


@dataclass(frozen=True)
class Orphan(_Value):
    """A managed role or database that is no longer declared, with the privileges it still has."""

    kind: str
    name: str
    application: str
    holds: tuple[str, ...]


@dataclass(frozen=True)
class Undeclared(_Value):
    """A database that belongs to a declared role, and that no entry declares.

    ``closed`` is true if it matches ``plugin_databases``, so that PUBLIC gets no privileges on it.
    """

    database: str
    owner: str
    application: str
    closed: bool


@dataclass(frozen=True)
class StepResult(_Value):
    """The result of a step; ``error`` is the error message, or ``None``."""

    step: Step
    status: Status
    error: str | None
    duration_ms: int


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
    """The outcome of ``apply``. Iterating over it gives the result of each step.

    ``converged`` is true if the last plan of the run has no steps.
    ``committed`` is true if the run has committed any change.
    ``ledger_head`` is the hash of the last record of the ledger; keep it in another place.
    """

    environment: str
    build_id: str
    run_id: str
    digest: str
    converged: bool
    committed: bool
    steps: tuple[StepResult, ...]
    records: tuple[Record, ...]
    ledger_head: str | None
    error: str | None

    def __iter__(self):
        return iter(self.steps)


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
    """A change that took effect, as a ledger records it."""

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
            "createdb": values["createdb"],
            "connection_limit": values["connection_limit"],
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
        },
    )


def _refusal(values):
    manual_fix = values["manual_fix"]
    changed = {
        "code": RefusalCode(values["code"]),
        "manual_fix": manual_fix and _make(ManualFix, manual_fix),
    }
    return _make(Refusal, {**values, **changed})


def _note(values):
    return _make(Note, {**values, "code": NoteCode(values["code"])})


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
