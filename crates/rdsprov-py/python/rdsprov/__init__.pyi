import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, TypedDict, Union, final

from typing_extensions import Self, TypeAlias, Unpack

from . import audit as audit

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

__version__: str

_Path: TypeAlias = Union[str, os.PathLike[str]]
_Secrets: TypeAlias = Union[str, Callable[[str], Mapping[str, Any]]]
_AdminAuth: TypeAlias = Literal["password", "iam"]
_Tls: TypeAlias = Literal["verify-full", "require", "disable"]
_SecretStage: TypeAlias = Literal["AWSCURRENT", "AWSPENDING"]
_VerifyPasswords: TypeAlias = Literal["login", "never", "always-set"]
_ModeName: TypeAlias = Union[Mode, Literal["standalone", "coupled"]]
_HazardName: TypeAlias = Union[
    Hazard,
    Literal[
        "revokes_access",
        "changes_owner",
        "resets_password",
        "adopts",
        "closes_to_public",
        "widens_access",
        "reopens_database",
        "moves_database",
        "mixes_environments",
        "adopts_from_environment",
        "changes_secret",
        "changes_application",
        "changes_scope",
        "hands_over_code",
        "reaches_beyond_database",
        "drops_role",
        "drops_database",
        "degrades_blue_green",
    ],
]

class Error(Exception):
    code: ErrorCode | None
    hints: tuple[str, ...]
    outcome: Outcome | None

class UsageError(Error, ValueError): ...

class DefinitionError(Error, ValueError):
    errors: tuple[DefinitionProblem, ...]
    def __init__(self, message: str, errors: Iterable[DefinitionProblem] = ()) -> None: ...

class SecretError(Error): ...
class ConnectError(Error): ...
class ApprovalRequired(Error): ...

class PlanRefused(Error):
    refusals: tuple[Refusal, ...]
    def __init__(self, message: str, refusals: Iterable[Refusal] = ()) -> None: ...

class StalePlan(Error): ...
class Cancelled(Error): ...
class TimedOut(Cancelled, TimeoutError): ...
class ApplyError(Error): ...

class ErrorCode(str, Enum):
    CONFLICTING_KEYS = "conflicting-keys"
    CONFLICTING_MODES = "conflicting-modes"
    CONFLICTING_ROLE_KEYS = "conflicting-role-keys"
    CONFLICTING_VARIABLES = "conflicting-variables"
    DEFINITIONS_DISABLED = "definitions-disabled"
    DUPLICATE_ACCESS = "duplicate-access"
    DUPLICATE_APPLICATION = "duplicate-application"
    DUPLICATE_ITEM = "duplicate-item"
    DUPLICATE_KEY = "duplicate-key"
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
    ROLE_IN_SEVERAL_FILES = "role-in-several-files"
    TERRAFORM_INCOMPATIBLE = "terraform-incompatible"
    TWO_OWNERS = "two-owners"
    UNKNOWN_KEY = "unknown-key"
    WRONG_TYPE = "wrong-type"
    NO_DEFINITIONS = "no-definitions"
    FILE_UNREADABLE = "file-unreadable"
    FILE_GIVEN_TWICE = "file-given-twice"
    FILE_OUTSIDE = "file-outside"
    UNKNOWN_FILE_TYPE = "unknown-file-type"
    INVALID_CONFIG = "invalid-config"
    ENVIRONMENT_MISMATCH = "environment-mismatch"
    NO_ENVIRONMENT = "no-environment"
    UNKNOWN_ENVIRONMENT = "unknown-environment"
    SITE_POLICY_VIOLATED = "site-policy-violated"
    UNKNOWN_APPLICATION = "unknown-application"
    UNKNOWN_DATABASE = "unknown-database"
    UNKNOWN_ROLE = "unknown-role"
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
    WEAK_AUTHENTICATION_REQUESTED = "weak-authentication-requested"
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
    SERVER_IS_READ_ONLY = "server-is-read-only"
    POOLED_CONNECTION = "pooled-connection"
    CATALOG_QUERY_FAILED = "catalog-query-failed"
    UNEXPECTED_CATALOG_RESULT = "unexpected-catalog-result"
    LOCK_TIMEOUT = "lock-timeout"
    LOCK_UNAVAILABLE = "lock-unavailable"
    NO_PASSWORD_TO_ROTATE = "no-password-to-rotate"
    SEVERAL_SECRETS = "several-secrets"
    SHARED_SECRET = "shared-secret"
    ROTATION_NOT_STARTED = "rotation-not-started"
    ROTATION_LOGIN_FAILED = "rotation-login-failed"
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
    DROP_NOT_CONFIRMED = "drop-not-confirmed"
    ENVIRONMENT_NOT_EPHEMERAL = "environment-not-ephemeral"
    STATEMENT_FAILED = "statement-failed"
    BLUE_GREEN_IN_PROGRESS = "blue-green-in-progress"
    LOGIN_PREVENTED = "login-prevented"
    NOT_CONVERGED = "not-converged"
    INTERRUPTED = "interrupted"
    AUDIT_FILE_UNWRITABLE = "audit-file-unwritable"
    CHANGES_NOT_RECORDED = "changes-not-recorded"
    AUDIT_FILE_LOCKED = "audit-file-locked"
    WRONG_AUDIT_FILE = "wrong-audit-file"
    LEDGER_DAMAGED = "ledger-damaged"
    INCOMPLETE_ACCESS_REPORT = "incomplete-access-report"
    OUTPUT_INCOMPLETE = "output-incomplete"
    FILE_UNWRITABLE = "file-unwritable"
    INTERNAL_ERROR = "internal-error"
    def __new__(cls, value: object) -> Self: ...

class AccessLevel(str, Enum):
    OWNER = "owner"
    EDITOR = "editor"
    READER = "reader"
    NONE = "none"
    def __new__(cls, value: object) -> Self: ...

class Auth(str, Enum):
    PASSWORD = "password"
    IAM = "iam"
    def __new__(cls, value: object) -> Self: ...

class Mode(str, Enum):
    STANDALONE = "standalone"
    COUPLED = "coupled"
    def __new__(cls, value: object) -> Self: ...

class Action(str, Enum):
    CREATE_ROLE = "create_role"
    ALTER_ROLE = "alter_role"
    SET_PASSWORD = "set_password"
    END_SESSIONS = "end_sessions"
    CREATE_SECRET = "create_secret"
    DELETE_SECRET = "delete_secret"
    DROP_ROLE = "drop_role"
    CREATE_DATABASE = "create_database"
    ALTER_DATABASE = "alter_database"
    DROP_DATABASE = "drop_database"
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
    def __new__(cls, value: object) -> Self: ...

class Hazard(str, Enum):
    REVOKES_ACCESS = "revokes_access"
    CHANGES_OWNER = "changes_owner"
    RESETS_PASSWORD = "resets_password"
    ADOPTS = "adopts"
    CLOSES_TO_PUBLIC = "closes_to_public"
    WIDENS_ACCESS = "widens_access"
    REOPENS_DATABASE = "reopens_database"
    MOVES_DATABASE = "moves_database"
    MIXES_ENVIRONMENTS = "mixes_environments"
    ADOPTS_FROM_ENVIRONMENT = "adopts_from_environment"
    CHANGES_SECRET = "changes_secret"
    CHANGES_APPLICATION = "changes_application"
    CHANGES_SCOPE = "changes_scope"
    HANDS_OVER_CODE = "hands_over_code"
    REACHES_BEYOND_DATABASE = "reaches_beyond_database"
    DROPS_ROLE = "drops_role"
    DROPS_DATABASE = "drops_database"
    DEGRADES_BLUE_GREEN = "degrades_blue_green"
    def __new__(cls, value: object) -> Self: ...

class RefusalCode(str, Enum):
    BLUE_GREEN_IN_PROGRESS = "blue-green-in-progress"
    ROLE_IS_ADMINISTRATOR = "role-is-administrator"
    ROLE_CONTROLLED_BY_OTHERS = "role-controlled-by-others"
    ROLE_RENAMED = "role-renamed"
    ROLE_NOT_MANAGED = "role-not-managed"
    ROLE_OF_OTHER_ENVIRONMENT = "role-of-other-environment"
    ROLE_OF_APPLICATION = "role-of-application"
    ROLE_OWNER_MISSING = "role-owner-missing"
    ROLE_IS_DELEGATE = "role-is-delegate"
    ROLE_ATTRIBUTES_FORBIDDEN = "role-attributes-forbidden"
    ADMIN_OPTION_MISSING = "admin-option-missing"
    ADMINISTRATOR_WITHOUT_INHERIT = "administrator-without-inherit"
    ADMINISTRATOR_ATTRIBUTE_MISSING = "administrator-attribute-missing"
    COMMENT_UNDECODABLE = "comment-undecodable"
    COMMENT_TOO_LONG = "comment-too-long"
    DEPENDENT_MEMBERSHIP = "dependent-membership"
    MEMBERSHIP_NOT_REVOCABLE = "membership-not-revocable"
    ACCESS_NOT_DECLARED = "access-not-declared"
    RDS_IAM_MISSING = "rds-iam-missing"
    MEMBERSHIP_ROLE_MISSING = "membership-role-missing"
    MEMBERSHIP_FORBIDDEN = "membership-forbidden"
    SET_PASSWORD_RESTRICTED = "set-password-restricted"
    PASSWORD_ADMINISTRATION_RESTRICTED = "password-administration-restricted"
    ADMINISTRATOR_DATABASE = "administrator-database"
    DATABASE_RENAMED = "database-renamed"
    DATABASE_NOT_MANAGED = "database-not-managed"
    DATABASE_OF_OTHER_ENVIRONMENT = "database-of-other-environment"
    DATABASE_UNREACHABLE = "database-unreachable"
    DATABASE_TOO_LARGE = "database-too-large"
    DATABASE_READ_ONLY = "database-read-only"
    DATABASE_OWNER_UNDECLARED = "database-owner-undeclared"
    DATABASE_OWNER_DIFFERS = "database-owner-differs"
    DATABASE_OWNER_INACCESSIBLE = "database-owner-inaccessible"
    OWNER_ENTRY_MISSING = "owner-entry-missing"
    OBJECTS_IN_TEMPLATE = "objects-in-template"
    UNFINISHED_DATABASE_WITH_OBJECTS = "unfinished-database-with-objects"
    CREATOR_MISSING = "creator-missing"
    APPLICATION_NOT_SELECTED = "application-not-selected"
    SUBSCRIPTION_WOULD_MOVE = "subscription-would-move"
    OBJECT_NOT_TRANSFERABLE = "object-not-transferable"
    OBJECTS_OF_DECLARED_ROLE = "objects-of-declared-role"
    OBJECTS_OF_PREDEFINED_ROLE = "objects-of-predefined-role"
    STEP_OF_OTHER_ROLE = "step-of-other-role"
    SCHEMA_USAGE_MISSING = "schema-usage-missing"
    DEPENDENT_GRANT = "dependent-grant"
    SCHEMA_MISSING = "schema-missing"
    SCHEMA_OWNER_DIFFERS = "schema-owner-differs"
    PUBLIC_SCHEMA_INACCESSIBLE = "public-schema-inaccessible"
    SETTING_REJECTED = "setting-rejected"
    SETTINGS_TOO_LONG = "settings-too-long"
    SETTING_NOT_RESETTABLE = "setting-not-resettable"
    EXTENSION_UNAVAILABLE = "extension-unavailable"
    EXTENSION_MISSING = "extension-missing"
    EXTENSION_NOT_ALLOWED = "extension-not-allowed"
    EXTENSION_WITHOUT_SCHEMA = "extension-without-schema"
    EXTENSION_NOT_TRUSTED = "extension-not-trusted"
    EXTENSION_NOT_GRANTABLE = "extension-not-grantable"
    EXTENSION_SCHEMA_SHARED = "extension-schema-shared"
    SECRET_UNAVAILABLE = "secret-unavailable"
    SECRETS_DIFFER = "secrets-differ"
    PASSWORD_TOO_SHORT = "password-too-short"
    SECRET_USERNAME_DIFFERS = "secret-username-differs"
    SECRET_DATABASE_DIFFERS = "secret-database-differs"
    SECRET_OF_OTHER_ROLE = "secret-of-other-role"
    CLONE_MISSING = "clone-missing"
    CLONE_OF_APPLICATION = "clone-of-application"
    CLONE_PASSWORD_WRONG = "clone-password-wrong"
    SECRET_ALTERNATES_USERS = "secret-alternates-users"
    ROTATED_BY_AWS = "rotated-by-aws"
    SECRET_OF_OTHER_SERVER = "secret-of-other-server"
    ROLE_MARKER_DIFFERS = "role-marker-differs"
    ROLE_MISSING = "role-missing"
    ROLE_USES_IAM = "role-uses-iam"
    ROLE_CANNOT_LOG_IN = "role-cannot-log-in"
    LOGIN_UNVERIFIED = "login-unverified"
    AUDIT_TABLE_ALTERED = "audit-table-altered"
    AUDIT_TABLE_NOT_CREATABLE = "audit-table-not-creatable"
    AUDIT_SCHEMA_DECLARED = "audit-schema-declared"
    ROLE_NOT_DROPPABLE = "role-not-droppable"
    DATABASE_NOT_DROPPABLE = "database-not-droppable"
    def __new__(cls, value: object) -> Self: ...

class NoteCode(str, Enum):
    PASSWORD_ENCRYPTION_DIFFERS = "password-encryption-differs"
    ADMINISTRATOR_IN_RDS_IAM = "administrator-in-rds-iam"
    DELEGATE_IN_RDS_IAM = "delegate-in-rds-iam"
    IAM_NOT_DELEGABLE = "iam-not-delegable"
    PRIVILEGE_THROUGH_PUBLIC = "privilege-through-public"
    EXTENSION_NOT_USABLE = "extension-not-usable"
    REVOCATION_WITHOUT_EFFECT = "revocation-without-effect"
    LARGE_OBJECTS_OWNED = "large-objects-owned"
    LARGE_OBJECT_SHARED = "large-object-shared"
    DEFAULT_PRIVILEGES_SHARED = "default-privileges-shared"
    PASSWORD_NOT_CHECKED = "password-not-checked"
    PASSWORD_CHECKS_OFF = "password-checks-off"
    SECRET_SHARED = "secret-shared"
    OBJECTS_OF_ADMINISTRATOR = "objects-of-administrator"
    OTHER_ENVIRONMENTS = "other-environments"
    ENDPOINT_DIFFERS = "endpoint-differs"
    PERMISSIONS_NOT_CHECKED = "permissions-not-checked"
    BLUE_GREEN_NOT_CHECKED = "blue-green-not-checked"
    UNDECLARED_DATABASE_UNREADABLE = "undeclared-database-unreadable"
    UNDECLARED_ACCESS = "undeclared-access"
    MEMBERSHIP_BY_OTHER = "membership-by-other"
    NOTHING_TO_RETIRE = "nothing-to-retire"
    MARKER_NOT_PROVEN = "marker-not-proven"
    LEFT_BY_TEARDOWN = "left-by-teardown"
    SECRET_KEPT = "secret-kept"
    AUDIT_TABLE_CREATED = "audit-table-created"
    AUDIT_TABLE_PREVENTS_CHANGES = "audit-table-prevents-changes"
    ROLE_NOT_DROPPED = "role-not-dropped"
    DRIFT = "drift"
    DEFINITION_CHANGED = "definition-changed"
    def __new__(cls, value: object) -> Self: ...

class OrphanKind(str, Enum):
    ROLE = "role"
    DATABASE = "database"
    def __new__(cls, value: object) -> Self: ...

class RunSettingName(str, Enum):
    HOST = "host"
    PORT = "port"
    CONNECT_TO = "connect_to"
    ADMIN_SECRET = "admin_secret"
    ADMIN_USER = "admin_user"
    AWS_REGION = "aws_region"
    ASSUME_ROLE = "assume_role"
    SECRET_KMS_KEY = "secret_kms_key"
    SECRET_TAG = "secret_tag"
    TLS_MODE = "tls_mode"
    CA_FILE = "ca_file"
    VERIFY_PASSWORDS = "verify_passwords"
    AUDIT_TABLE = "audit_table"
    APPROVAL = "approval"
    def __new__(cls, value: object) -> Self: ...

class SourceKind(str, Enum):
    OPTION = "option"
    VARIABLE = "variable"
    DEFINITIONS = "definitions"
    CONFIG_FILE = "config_file"
    SITE_POLICY = "site_policy"
    SECRET = "secret"
    RDS_API = "rds_api"
    AWS_SDK = "aws_sdk"
    DEFAULT = "default"
    def __new__(cls, value: object) -> Self: ...

class CheckName(str, Enum):
    DEFINITIONS = "definitions"
    RECORDS = "records"
    ADMIN_CREDENTIALS = "admin-credentials"
    SECRETS = "secrets"
    ROTATION = "rotation"
    DNS = "dns"
    PORT = "port"
    TLS = "tls"
    LOGIN = "login"
    SESSION = "session"
    WRITER = "writer"
    SERVER = "server"
    BLUE_GREEN = "blue-green"
    CHANGES = "changes"
    TEMPLATE = "template"
    CONNECTIONS = "connections"
    LOCK = "lock"
    def __new__(cls, value: object) -> Self: ...

class CheckStatus(str, Enum):
    PASSED = "passed"
    SKIPPED = "skipped"
    WARNING = "warning"
    REFUSED = "refused"
    FAILED = "failed"
    def __new__(cls, value: object) -> Self: ...

class EventKind(str, Enum):
    STEPS_BEGIN = "steps_begin"
    WAITING_FOR_LOCK = "waiting_for_lock"
    WAITING_FOR_SERVER = "waiting_for_server"
    WAITING_FOR_LOGIN = "waiting_for_login"
    WAITING_FOR_STATEMENT = "waiting_for_statement"
    NOTICE = "notice"
    def __new__(cls, value: object) -> Self: ...

class Status(str, Enum):
    SUCCESS = "success"
    NO_CHANGE = "no_change"
    DRY_RUN = "dry_run"
    REFUSED = "refused"
    ERROR = "error"
    ROLLED_BACK = "rolled_back"
    UNKNOWN = "unknown"
    NOT_RUN = "not_run"
    INTENT = "intent"
    FOUND_DONE = "found_done"
    FOUND_NOT_DONE = "found_not_done"
    FOUND_UNKNOWN = "found_unknown"
    def __new__(cls, value: object) -> Self: ...

class Settings(Mapping[str, str]):
    def __init__(self, items: Mapping[str, str]) -> None: ...
    def __getitem__(self, name: str) -> str: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...
    def __hash__(self) -> int: ...

class _Value:
    def to_dict(self) -> dict[str, Any]: ...
    def to_json(self) -> str: ...

@dataclass(frozen=True)
class Application(_Value):
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

@dataclass(frozen=True)
class DefinitionProblem(_Value):
    file: str | None
    line: int | None
    column: int | None
    code: ErrorCode
    message: str
    hint: str
    text: str

@dataclass(frozen=True)
class ChangedSecret(_Value):
    old: str | None
    new: str | None

@dataclass(frozen=True)
class Code(_Value):
    kind: str
    schema: str | None
    name: str

@dataclass(frozen=True)
class Step(_Value):
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
    executor: str
    database: str | None
    sql: str

@dataclass(frozen=True)
class Refusal(_Value):
    application: str
    code: RefusalCode
    message: str
    hint: str
    manual_fix: ManualFix | None

@dataclass(frozen=True)
class Note(_Value):
    code: NoteCode
    message: str
    hints: tuple[str, ...]
    def __str__(self) -> str: ...

@dataclass(frozen=True)
class Orphan(_Value):
    kind: OrphanKind
    name: str
    application: str
    holds: tuple[str, ...]

@dataclass(frozen=True)
class RunSetting(_Value):
    name: RunSettingName
    value: str
    source: SourceKind
    location: str | None

@dataclass(frozen=True)
class UndeclaredDatabase(_Value):
    database: str
    owner: str
    application: str
    closed: bool

@dataclass(frozen=True)
class EndOfAccess(_Value):
    executor: str
    database: str | None
    sql: str

@dataclass(frozen=True)
class UndeclaredRoleAccess(_Value):
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
    step: Step
    status: Status
    error: str | None
    duration_ms: int

@dataclass(frozen=True)
class Event(_Value):
    kind: EventKind
    message: str
    steps: tuple[Step, ...]

@dataclass(frozen=True)
class Record(_Value):
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
class Check(_Value):
    name: CheckName
    status: CheckStatus
    subject: str | None
    message: str
    code: str | None
    hints: tuple[str, ...]

@dataclass(frozen=True)
class Preflight(_Value):
    environment: str | None
    server: str | None
    status: CheckStatus
    checks: tuple[Check, ...]
    text: str
    @property
    def is_ready(self) -> bool: ...
    def __iter__(self) -> Iterator[Check]: ...

@dataclass(frozen=True)
class Outcome(_Value):
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
    def __iter__(self) -> Iterator[StepResult]: ...

@final
class Definitions:
    @staticmethod
    def from_path(
        *paths: _Path,
        environment: str | None = None,
        mode: _ModeName | None = None,
        adopt: Sequence[str] = ...,
        config: _Path | None = None,
    ) -> Definitions: ...
    @staticmethod
    def from_text(
        text: str,
        *,
        syntax: Literal["hcl", "json", "toml"] = "hcl",
        path: str = "<text>",
        environment: str | None = None,
        mode: _ModeName | None = None,
        adopt: Sequence[str] = ...,
        config: _Path | None = None,
    ) -> Definitions: ...
    @staticmethod
    def from_mapping(
        mapping: object,
        *,
        environment: str | None = None,
        mode: _ModeName | None = None,
        adopt: Sequence[str] = ...,
        config: _Path | None = None,
    ) -> Definitions: ...
    @staticmethod
    def from_applications(
        applications: Iterable[object],
        *,
        environment: str | None = None,
        aws_region: str | None = None,
        scope: str | None = None,
        adopt: Sequence[str] = ...,
        config: _Path | None = None,
    ) -> Definitions: ...
    @property
    def environment(self) -> str | None: ...
    @property
    def aws_region(self) -> str | None: ...
    @property
    def scope(self) -> str | None: ...
    @property
    def mode(self) -> Mode: ...
    @property
    def applications(self) -> tuple[Application, ...]: ...
    def to_dict(self) -> dict[str, Any]: ...
    def to_json(self) -> str: ...
    def __iter__(self) -> Iterator[Application]: ...
    def __len__(self) -> int: ...
    def __contains__(self, name: object, /) -> bool: ...
    def __getitem__(self, name: str, /) -> Application: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Cancellation:
    def __new__(cls) -> Self: ...
    @property
    def cancelled(self) -> bool: ...
    def cancel(self) -> None: ...

@final
class AccessReport:
    @staticmethod
    def from_json(text: str) -> AccessReport: ...
    @property
    def complete(self) -> bool: ...
    def to_dict(self) -> dict[str, Any]: ...
    def to_json(self) -> str: ...
    def to_markdown(self, *, all: bool = False) -> str: ...
    def to_csv(self) -> str: ...
    def to_html(self) -> str: ...
    def changes_since(self, older: AccessReport) -> dict[str, Any]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Observed:
    @staticmethod
    def from_mapping(mapping: Mapping[str, Any]) -> Observed: ...
    @staticmethod
    def from_json(text: str) -> Observed: ...
    @property
    def server_version(self) -> int: ...
    def to_dict(self) -> dict[str, Any]: ...
    def to_json(self) -> str: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Plan:
    @property
    def environment(self) -> str: ...
    @property
    def scope(self) -> str | None: ...
    @property
    def only(self) -> tuple[str, ...]: ...
    @property
    def digest(self) -> str: ...
    @property
    def run_settings(self) -> tuple[RunSetting, ...]: ...
    @property
    def server(self) -> str | None: ...
    @property
    def server_major(self) -> int: ...
    @property
    def changes(self) -> tuple[Step, ...]: ...
    @property
    def pending(self) -> tuple[Step, ...]: ...
    @property
    def refusals(self) -> tuple[Refusal, ...]: ...
    @property
    def hazards(self) -> tuple[Hazard, ...]: ...
    @property
    def orphaned(self) -> tuple[Orphan, ...]: ...
    @property
    def in_other_scopes(self) -> int: ...
    @property
    def undeclared_databases(self) -> tuple[UndeclaredDatabase, ...]: ...
    @property
    def undeclared_access(self) -> tuple[UndeclaredRoleAccess, ...]: ...
    @property
    def notes(self) -> tuple[Note, ...]: ...
    @property
    def deferred(self) -> tuple[str, ...]: ...
    @property
    def observed(self) -> Observed: ...
    @property
    def definitions(self) -> Definitions: ...
    @property
    def summary(self) -> str: ...
    @staticmethod
    def from_file(
        path: _Path,
        definitions: Definitions | None = None,
        *,
        environment: str | None = None,
        admin_secret: str | None = None,
        admin_auth: _AdminAuth | None = None,
        admin_user: str | None = None,
        secrets: _Secrets | None = None,
        secret_stage: _SecretStage | None = None,
        region: str | None = None,
        host: str | None = None,
        port: int | None = None,
        connect_to: str | None = None,
        dbname: str | None = None,
        tls: _Tls | None = None,
        ca_file: _Path | None = None,
        client_cert: _Path | None = None,
        client_key: _Path | None = None,
        verify_passwords: _VerifyPasswords | None = None,
        connect_timeout: str | int | None = None,
        statement_timeout: str | int | None = None,
        observation_timeout: str | int | None = None,
        max_connections: int | None = None,
        build_id: str | None = None,
        allow: Iterable[_HazardName] = (),
        adopt: Iterable[str] = (),
        adopt_from: str | None = None,
        only: Iterable[str] = (),
        additive: bool = False,
        audit_table: str | None = None,
        config: _Path | None = None,
    ) -> SavedPlan: ...
    def save(self, path: _Path) -> None: ...
    def to_dict(self) -> dict[str, Any]: ...
    def to_json(self) -> str: ...
    def to_sql(self) -> str: ...
    def __iter__(self) -> Iterator[Step]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class SavedPlan:
    @property
    def environment(self) -> str: ...
    @property
    def only(self) -> tuple[str, ...]: ...
    @property
    def digest(self) -> str: ...
    @property
    def server(self) -> str | None: ...
    @property
    def changes(self) -> tuple[Step, ...]: ...
    @property
    def pending(self) -> tuple[Step, ...]: ...
    @property
    def hazards(self) -> tuple[Hazard, ...]: ...
    @property
    def definitions(self) -> Definitions | None: ...
    def to_json(self) -> str: ...
    def __iter__(self) -> Iterator[Step]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

def validate(
    definitions: Definitions,
    *,
    environment: str | None = None,
    adopt: Iterable[str] = (),
    config: _Path | None = None,
) -> Definitions: ...
def diff(
    definitions: Definitions,
    observed: Observed | Mapping[str, Any],
    *,
    environment: str | None = None,
    build_id: str | None = None,
    allow: Iterable[_HazardName] = (),
    adopt: Iterable[str] = (),
    adopt_from: str | None = None,
    only: Iterable[str] = (),
    additive: bool = False,
    config: _Path | None = None,
) -> Plan: ...
def plan(
    definitions: Definitions,
    *,
    environment: str | None = None,
    admin_secret: str | None = None,
    admin_auth: _AdminAuth | None = None,
    admin_user: str | None = None,
    secrets: _Secrets | None = None,
    secret_stage: _SecretStage | None = None,
    region: str | None = None,
    host: str | None = None,
    port: int | None = None,
    connect_to: str | None = None,
    dbname: str | None = None,
    tls: _Tls | None = None,
    ca_file: _Path | None = None,
    client_cert: _Path | None = None,
    client_key: _Path | None = None,
    verify_passwords: _VerifyPasswords | None = None,
    connect_timeout: str | int | None = None,
    statement_timeout: str | int | None = None,
    observation_timeout: str | int | None = None,
    max_connections: int | None = None,
    build_id: str | None = None,
    allow: Iterable[_HazardName] = (),
    adopt: Iterable[str] = (),
    adopt_from: str | None = None,
    only: Iterable[str] = (),
    additive: bool = False,
    audit_ledger: _Path | None = None,
    audit_table: str | None = None,
    config: _Path | None = None,
    cancellation: Cancellation | None = None,
    timeout: float | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> Plan: ...
def check(
    definitions: Definitions,
    *,
    environment: str | None = None,
    admin_secret: str | None = None,
    admin_auth: _AdminAuth | None = None,
    admin_user: str | None = None,
    secrets: _Secrets | None = None,
    secret_stage: _SecretStage | None = None,
    region: str | None = None,
    host: str | None = None,
    port: int | None = None,
    connect_to: str | None = None,
    dbname: str | None = None,
    tls: _Tls | None = None,
    ca_file: _Path | None = None,
    client_cert: _Path | None = None,
    client_key: _Path | None = None,
    verify_passwords: _VerifyPasswords | None = None,
    connect_timeout: str | int | None = None,
    statement_timeout: str | int | None = None,
    observation_timeout: str | int | None = None,
    max_connections: int | None = None,
    build_id: str | None = None,
    allow: Iterable[_HazardName] = (),
    adopt: Iterable[str] = (),
    adopt_from: str | None = None,
    only: Iterable[str] = (),
    strict: bool = False,
    audit_ledger: _Path | None = None,
    audit_table: str | None = None,
    config: _Path | None = None,
    fail_on: Iterable[Literal["orphaned", "undeclared"]] = (),
    cancellation: Cancellation | None = None,
    timeout: float | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> bool: ...
def preflight(
    definitions: Definitions,
    *,
    environment: str | None = None,
    admin_secret: str | None = None,
    admin_auth: _AdminAuth | None = None,
    admin_user: str | None = None,
    secrets: _Secrets | None = None,
    secret_stage: _SecretStage | None = None,
    region: str | None = None,
    host: str | None = None,
    port: int | None = None,
    connect_to: str | None = None,
    dbname: str | None = None,
    tls: _Tls | None = None,
    ca_file: _Path | None = None,
    client_cert: _Path | None = None,
    client_key: _Path | None = None,
    verify_passwords: _VerifyPasswords | None = None,
    connect_timeout: str | int | None = None,
    statement_timeout: str | int | None = None,
    observation_timeout: str | int | None = None,
    max_connections: int | None = None,
    build_id: str | None = None,
    allow: Iterable[_HazardName] = (),
    adopt: Iterable[str] = (),
    adopt_from: str | None = None,
    only: Iterable[str] = (),
    audit_output: _Path | None = None,
    audit_ledger: _Path | None = None,
    audit_table: str | None = None,
    lock_timeout: str | int | None = None,
    config: _Path | None = None,
    cancellation: Cancellation | None = None,
    timeout: float | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> Preflight: ...
def observe(
    definitions: Definitions,
    *,
    environment: str | None = None,
    admin_secret: str | None = None,
    admin_auth: _AdminAuth | None = None,
    admin_user: str | None = None,
    secrets: _Secrets | None = None,
    secret_stage: _SecretStage | None = None,
    region: str | None = None,
    host: str | None = None,
    port: int | None = None,
    connect_to: str | None = None,
    dbname: str | None = None,
    tls: _Tls | None = None,
    ca_file: _Path | None = None,
    client_cert: _Path | None = None,
    client_key: _Path | None = None,
    verify_passwords: _VerifyPasswords | None = None,
    connect_timeout: str | int | None = None,
    statement_timeout: str | int | None = None,
    observation_timeout: str | int | None = None,
    max_connections: int | None = None,
    build_id: str | None = None,
    allow: Iterable[_HazardName] = (),
    adopt: Iterable[str] = (),
    config: _Path | None = None,
    cancellation: Cancellation | None = None,
    timeout: float | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> Observed: ...
def access(
    definitions: Definitions,
    *,
    database: str | None = None,
    role: str | None = None,
    actor: str | None = None,
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
    config: _Path | None = None,
    cancellation: Cancellation | None = None,
    timeout: float | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> AccessReport: ...
def export(
    *,
    databases: Iterable[str] = (),
    owners: Iterable[str] = (),
    exclude: Iterable[str] = (),
    format: Literal["tfvars", "toml"] = "tfvars",
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
    config: _Path | None = None,
    cancellation: Cancellation | None = None,
    timeout: float | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> str: ...
def apply(
    plan: Plan | SavedPlan,
    *,
    build_id: str | None = None,
    run_id: str | None = None,
    audit_output: _Path | None = None,
    audit_ledger: _Path | None = None,
    actor: str | None = None,
    approver: str | None = None,
    request_id: str | None = None,
    allow: Iterable[_HazardName] = (),
    approval: str | None = None,
    confirm: Iterable[str] = (),
    lock_timeout: str | int | None = None,
    dry_run: bool = False,
    fail_fast: bool = True,
    on_step: Callable[[StepResult], object] | None = None,
    cancellation: Cancellation | None = None,
    timeout: float | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> Outcome: ...
def rotate(
    definitions: Definitions,
    applications: Iterable[str],
    *,
    environment: str | None = None,
    admin_secret: str | None = None,
    admin_auth: _AdminAuth | None = None,
    admin_user: str | None = None,
    secrets: _Secrets | None = None,
    secret_stage: _SecretStage | None = None,
    region: str | None = None,
    host: str | None = None,
    port: int | None = None,
    connect_to: str | None = None,
    dbname: str | None = None,
    tls: _Tls | None = None,
    ca_file: _Path | None = None,
    client_cert: _Path | None = None,
    client_key: _Path | None = None,
    verify_passwords: _VerifyPasswords | None = None,
    connect_timeout: str | int | None = None,
    statement_timeout: str | int | None = None,
    observation_timeout: str | int | None = None,
    max_connections: int | None = None,
    build_id: str | None = None,
    allow: Iterable[_HazardName] = (),
    config: _Path | None = None,
    run_id: str | None = None,
    audit_output: _Path | None = None,
    audit_ledger: _Path | None = None,
    audit_table: str | None = None,
    actor: str | None = None,
    approver: str | None = None,
    request_id: str | None = None,
    approval: str | None = None,
    lock_timeout: str | int | None = None,
    dry_run: bool = False,
    on_step: Callable[[StepResult], object] | None = None,
    cancellation: Cancellation | None = None,
    timeout: float | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> Outcome: ...
def retire(
    definitions: Definitions,
    applications: Iterable[str],
    *,
    end_sessions: bool = False,
    drop_role: bool = False,
    drop_database: bool = False,
    backup: _Path | None = None,
    without_backup: bool = False,
    confirm: Iterable[str] = (),
    delete_secret: bool = False,
    recovery_window_days: int | None = None,
    environment: str | None = None,
    admin_secret: str | None = None,
    admin_auth: _AdminAuth | None = None,
    admin_user: str | None = None,
    secrets: _Secrets | None = None,
    secret_stage: _SecretStage | None = None,
    region: str | None = None,
    host: str | None = None,
    port: int | None = None,
    connect_to: str | None = None,
    dbname: str | None = None,
    tls: _Tls | None = None,
    ca_file: _Path | None = None,
    client_cert: _Path | None = None,
    client_key: _Path | None = None,
    verify_passwords: _VerifyPasswords | None = None,
    connect_timeout: str | int | None = None,
    statement_timeout: str | int | None = None,
    observation_timeout: str | int | None = None,
    max_connections: int | None = None,
    build_id: str | None = None,
    allow: Iterable[_HazardName] = (),
    config: _Path | None = None,
    run_id: str | None = None,
    audit_output: _Path | None = None,
    audit_ledger: _Path | None = None,
    audit_table: str | None = None,
    actor: str | None = None,
    approver: str | None = None,
    request_id: str | None = None,
    approval: str | None = None,
    lock_timeout: str | int | None = None,
    dry_run: bool = False,
    on_step: Callable[[StepResult], object] | None = None,
    cancellation: Cancellation | None = None,
    timeout: float | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> Outcome: ...
def teardown(
    environment: str,
    build_id: str,
    *,
    end_sessions: bool = False,
    backup: _Path | None = None,
    without_backup: bool = False,
    confirm: Iterable[str] = (),
    delete_secret: bool = False,
    recovery_window_days: int | None = None,
    admin_secret: str | None = None,
    admin_auth: _AdminAuth | None = None,
    admin_user: str | None = None,
    secrets: _Secrets | None = None,
    secret_stage: _SecretStage | None = None,
    region: str | None = None,
    host: str | None = None,
    port: int | None = None,
    connect_to: str | None = None,
    dbname: str | None = None,
    tls: _Tls | None = None,
    ca_file: _Path | None = None,
    client_cert: _Path | None = None,
    client_key: _Path | None = None,
    verify_passwords: _VerifyPasswords | None = None,
    connect_timeout: str | int | None = None,
    statement_timeout: str | int | None = None,
    observation_timeout: str | int | None = None,
    max_connections: int | None = None,
    allow: Iterable[_HazardName] = (),
    config: _Path | None = None,
    run_id: str | None = None,
    audit_output: _Path | None = None,
    audit_ledger: _Path | None = None,
    audit_table: str | None = None,
    actor: str | None = None,
    approver: str | None = None,
    request_id: str | None = None,
    approval: str | None = None,
    lock_timeout: str | int | None = None,
    dry_run: bool = False,
    on_step: Callable[[StepResult], object] | None = None,
    cancellation: Cancellation | None = None,
    timeout: float | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> Outcome: ...
def delegate(
    to: str,
    *,
    to_secret: str | None = None,
    auth: _AdminAuth = "password",
    secret_kms_key: str | None = None,
    secret_tags: Mapping[str, str] | None = None,
    adopt: bool = False,
    environment: str | None = None,
    admin_secret: str | None = None,
    admin_auth: _AdminAuth | None = None,
    admin_user: str | None = None,
    secrets: _Secrets | None = None,
    secret_stage: _SecretStage | None = None,
    region: str | None = None,
    host: str | None = None,
    port: int | None = None,
    connect_to: str | None = None,
    dbname: str | None = None,
    tls: _Tls | None = None,
    ca_file: _Path | None = None,
    client_cert: _Path | None = None,
    client_key: _Path | None = None,
    verify_passwords: _VerifyPasswords | None = None,
    connect_timeout: str | int | None = None,
    statement_timeout: str | int | None = None,
    observation_timeout: str | int | None = None,
    max_connections: int | None = None,
    build_id: str | None = None,
    allow: Iterable[_HazardName] = (),
    adopt_from: str | None = None,
    config: _Path | None = None,
    run_id: str | None = None,
    audit_output: _Path | None = None,
    audit_ledger: _Path | None = None,
    audit_table: str | None = None,
    actor: str | None = None,
    approver: str | None = None,
    request_id: str | None = None,
    approval: str | None = None,
    lock_timeout: str | int | None = None,
    dry_run: bool = False,
    on_step: Callable[[StepResult], object] | None = None,
    cancellation: Cancellation | None = None,
    timeout: float | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> Outcome: ...

class _ConnectionOptions(TypedDict, total=False):
    environment: str | None
    admin_secret: str | None
    admin_auth: _AdminAuth | None
    admin_user: str | None
    secrets: _Secrets | None
    region: str | None
    host: str | None
    port: int | None
    connect_to: str | None
    dbname: str | None
    tls: _Tls | None
    ca_file: _Path | None
    client_cert: _Path | None
    client_key: _Path | None
    connect_timeout: str | int | None
    statement_timeout: str | int | None
    observation_timeout: str | int | None
    max_connections: int | None
    build_id: str | None
    config: _Path | None
    cancellation: Cancellation | None
    timeout: float | None
    on_event: Callable[[Event], object] | None

class _AccessOptions(_ConnectionOptions, total=False):
    database: str | None
    role: str | None
    actor: str | None

class _ExportOptions(_ConnectionOptions, total=False):
    databases: Iterable[str]
    owners: Iterable[str]
    exclude: Iterable[str]
    format: Literal["tfvars", "toml"]

class _ObserveOptions(_ConnectionOptions, total=False):
    secret_stage: _SecretStage | None
    verify_passwords: _VerifyPasswords | None
    allow: Iterable[_HazardName]
    adopt: Iterable[str]

class _SelectionOptions(_ObserveOptions, total=False):
    adopt_from: str | None
    only: Iterable[str]
    audit_ledger: _Path | None
    audit_table: str | None

class _PlanOptions(_SelectionOptions, total=False):
    additive: bool

class _CheckOptions(_SelectionOptions, total=False):
    strict: bool
    fail_on: Iterable[Literal["orphaned", "undeclared"]]

class _PreflightOptions(_SelectionOptions, total=False):
    audit_output: _Path | None
    lock_timeout: str | int | None

class _ApplyOptions(TypedDict, total=False):
    build_id: str | None
    run_id: str | None
    audit_output: _Path | None
    audit_ledger: _Path | None
    actor: str | None
    approver: str | None
    request_id: str | None
    allow: Iterable[_HazardName]
    approval: str | None
    confirm: Iterable[str]
    lock_timeout: str | int | None
    dry_run: bool
    fail_fast: bool
    on_step: Callable[[StepResult], object] | None
    cancellation: Cancellation | None
    timeout: float | None
    on_event: Callable[[Event], object] | None

class _SessionOptions(_PlanOptions, total=False):
    run_id: str | None
    audit_output: _Path | None
    actor: str | None
    approver: str | None
    request_id: str | None
    approval: str | None
    confirm: Iterable[str]
    lock_timeout: str | int | None
    dry_run: bool
    fail_fast: bool
    on_step: Callable[[StepResult], object] | None

class _RotateOptions(_ConnectionOptions, total=False):
    secret_stage: _SecretStage | None
    verify_passwords: _VerifyPasswords | None
    allow: Iterable[_HazardName]
    run_id: str | None
    audit_output: _Path | None
    audit_ledger: _Path | None
    audit_table: str | None
    actor: str | None
    approver: str | None
    request_id: str | None
    approval: str | None
    lock_timeout: str | int | None
    dry_run: bool
    on_step: Callable[[StepResult], object] | None

class _TeardownOptions(TypedDict, total=False):
    admin_secret: str | None
    admin_auth: _AdminAuth | None
    admin_user: str | None
    secrets: _Secrets | None
    region: str | None
    host: str | None
    port: int | None
    connect_to: str | None
    dbname: str | None
    tls: _Tls | None
    ca_file: _Path | None
    client_cert: _Path | None
    client_key: _Path | None
    connect_timeout: str | int | None
    statement_timeout: str | int | None
    observation_timeout: str | int | None
    max_connections: int | None
    config: _Path | None
    end_sessions: bool
    backup: _Path | None
    without_backup: bool
    confirm: Iterable[str]
    delete_secret: bool
    recovery_window_days: int | None
    secret_stage: _SecretStage | None
    verify_passwords: _VerifyPasswords | None
    allow: Iterable[_HazardName]
    run_id: str | None
    audit_output: _Path | None
    audit_ledger: _Path | None
    audit_table: str | None
    actor: str | None
    approver: str | None
    request_id: str | None
    approval: str | None
    lock_timeout: str | int | None
    dry_run: bool
    on_step: Callable[[StepResult], object] | None
    cancellation: Cancellation | None
    timeout: float | None
    on_event: Callable[[Event], object] | None

class _RetireOptions(_RotateOptions, total=False):
    end_sessions: bool
    drop_role: bool
    drop_database: bool
    backup: _Path | None
    without_backup: bool
    confirm: Iterable[str]
    delete_secret: bool
    recovery_window_days: int | None

class _DelegateOptions(_ConnectionOptions, total=False):
    to_secret: str | None
    auth: _AdminAuth
    secret_kms_key: str | None
    secret_tags: Mapping[str, str] | None
    adopt: bool
    secret_stage: _SecretStage | None
    verify_passwords: _VerifyPasswords | None
    allow: Iterable[_HazardName]
    adopt_from: str | None
    run_id: str | None
    audit_output: _Path | None
    audit_ledger: _Path | None
    audit_table: str | None
    actor: str | None
    approver: str | None
    request_id: str | None
    approval: str | None
    lock_timeout: str | int | None
    dry_run: bool
    on_step: Callable[[StepResult], object] | None

class Session:
    def __init__(self, **options: Unpack[_SessionOptions]) -> None: ...
    def replace(self, **options: Unpack[_SessionOptions]) -> Session: ...
    def read_plan(
        self, path: _Path, definitions: Definitions, **options: Unpack[_PlanOptions]
    ) -> SavedPlan: ...
    def plan(self, definitions: Definitions, **options: Unpack[_PlanOptions]) -> Plan: ...
    def check(self, definitions: Definitions, **options: Unpack[_CheckOptions]) -> bool: ...
    def preflight(
        self, definitions: Definitions, **options: Unpack[_PreflightOptions]
    ) -> Preflight: ...
    def observe(self, definitions: Definitions, **options: Unpack[_ObserveOptions]) -> Observed: ...
    def access(
        self, definitions: Definitions, **options: Unpack[_AccessOptions]
    ) -> AccessReport: ...
    def export(self, **options: Unpack[_ExportOptions]) -> str: ...
    def apply(self, plan: Plan | SavedPlan, **options: Unpack[_ApplyOptions]) -> Outcome: ...
    def rotate(
        self,
        definitions: Definitions,
        applications: Iterable[str],
        **options: Unpack[_RotateOptions],
    ) -> Outcome: ...
    def retire(
        self,
        definitions: Definitions,
        applications: Iterable[str],
        **options: Unpack[_RetireOptions],
    ) -> Outcome: ...
    def teardown(
        self, environment: str, build_id: str, **options: Unpack[_TeardownOptions]
    ) -> Outcome: ...
    def delegate(self, to: str, **options: Unpack[_DelegateOptions]) -> Outcome: ...
