import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, Union, final

from typing_extensions import TypeAlias

from ._errors import ApplyError as ApplyError
from ._errors import ApprovalRequired as ApprovalRequired
from ._errors import ConnectError as ConnectError
from ._errors import DefinitionError as DefinitionError
from ._errors import Error as Error
from ._errors import PlanRefused as PlanRefused
from ._errors import SecretError as SecretError
from ._errors import StalePlan as StalePlan
from ._errors import UsageError as UsageError
from ._values import AccessLevel as AccessLevel
from ._values import Action as Action
from ._values import Application as Application
from ._values import Auth as Auth
from ._values import DefinitionProblem as DefinitionProblem
from ._values import Hazard as Hazard
from ._values import Mode as Mode
from ._values import Opening as Opening
from ._values import Orphan as Orphan
from ._values import Outcome as Outcome
from ._values import Record as Record
from ._values import Refusal as Refusal
from ._values import Settings as Settings
from ._values import Status as Status
from ._values import Step as Step
from ._values import StepResult as StepResult
from ._values import Undeclared as Undeclared

__all__ = [
    "AccessLevel",
    "Action",
    "Application",
    "ApplyError",
    "ApprovalRequired",
    "Auth",
    "ConnectError",
    "DefinitionError",
    "DefinitionProblem",
    "Definitions",
    "Error",
    "Hazard",
    "Mode",
    "Observed",
    "Opening",
    "Orphan",
    "Outcome",
    "Plan",
    "PlanRefused",
    "Record",
    "Refusal",
    "SecretError",
    "Settings",
    "StalePlan",
    "Status",
    "Step",
    "StepResult",
    "Undeclared",
    "UsageError",
    "__version__",
    "apply",
    "check",
    "diff",
    "observe",
    "plan",
    "validate",
]

__version__: str

_Path: TypeAlias = Union[str, os.PathLike[str]]
_Secrets: TypeAlias = Union[str, Callable[[str], Mapping[str, Any]]]
_AdminAuth: TypeAlias = Literal["password", "iam"]
_Tls: TypeAlias = Literal["verify-full", "require", "disable"]
_VerifyPasswords: TypeAlias = Literal["login", "never", "always-set"]
_ModeName: TypeAlias = Union[Mode, Literal["standalone", "coupled"]]
_HazardName: TypeAlias = Union[
    Hazard,
    Literal["revokes_access", "changes_owner", "resets_password", "adopts", "closes_to_public"],
]

@final
class Definitions:
    @staticmethod
    def from_path(
        *paths: _Path,
        environment: str | None = None,
        mode: _ModeName | None = None,
        adopt: Iterable[str] = [],
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
        adopt: Iterable[str] = [],
        config: _Path | None = None,
    ) -> Definitions: ...
    @staticmethod
    def from_mapping(
        mapping: object,
        *,
        environment: str | None = None,
        mode: _ModeName | None = None,
        adopt: Iterable[str] = [],
        config: _Path | None = None,
    ) -> Definitions: ...
    @staticmethod
    def from_applications(
        applications: Iterable[object],
        *,
        environment: str | None = None,
        aws_region: str | None = None,
        adopt: Iterable[str] = [],
        config: _Path | None = None,
    ) -> Definitions: ...
    @property
    def environment(self) -> str | None: ...
    @property
    def aws_region(self) -> str | None: ...
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
    def digest(self) -> str: ...
    @property
    def server_major(self) -> int: ...
    @property
    def changes(self) -> tuple[Step, ...]: ...
    @property
    def refusals(self) -> tuple[Refusal, ...]: ...
    @property
    def hazards(self) -> tuple[Hazard, ...]: ...
    @property
    def orphaned(self) -> tuple[Orphan, ...]: ...
    @property
    def undeclared(self) -> tuple[Undeclared, ...]: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def unseen(self) -> tuple[str, ...]: ...
    @property
    def observed(self) -> Observed: ...
    @property
    def definitions(self) -> Definitions: ...
    def to_dict(self) -> dict[str, Any]: ...
    def to_json(self) -> str: ...
    def to_sql(self) -> str: ...
    def __iter__(self) -> Iterator[Step]: ...
    def __len__(self) -> int: ...
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
    region: str | None = None,
    host: str | None = None,
    port: int | None = None,
    dbname: str | None = None,
    tls: _Tls | None = None,
    ca_file: _Path | None = None,
    client_cert: _Path | None = None,
    client_key: _Path | None = None,
    verify_passwords: _VerifyPasswords | None = None,
    build_id: str | None = None,
    allow: Iterable[_HazardName] = (),
    adopt: Iterable[str] = (),
    config: _Path | None = None,
) -> Plan: ...
def check(
    definitions: Definitions,
    *,
    environment: str | None = None,
    admin_secret: str | None = None,
    admin_auth: _AdminAuth | None = None,
    admin_user: str | None = None,
    secrets: _Secrets | None = None,
    region: str | None = None,
    host: str | None = None,
    port: int | None = None,
    dbname: str | None = None,
    tls: _Tls | None = None,
    ca_file: _Path | None = None,
    client_cert: _Path | None = None,
    client_key: _Path | None = None,
    verify_passwords: _VerifyPasswords | None = None,
    build_id: str | None = None,
    allow: Iterable[_HazardName] = (),
    adopt: Iterable[str] = (),
    config: _Path | None = None,
) -> bool: ...
def observe(
    definitions: Definitions,
    *,
    environment: str | None = None,
    admin_secret: str | None = None,
    admin_auth: _AdminAuth | None = None,
    admin_user: str | None = None,
    secrets: _Secrets | None = None,
    region: str | None = None,
    host: str | None = None,
    port: int | None = None,
    dbname: str | None = None,
    tls: _Tls | None = None,
    ca_file: _Path | None = None,
    client_cert: _Path | None = None,
    client_key: _Path | None = None,
    verify_passwords: _VerifyPasswords | None = None,
    build_id: str | None = None,
    allow: Iterable[_HazardName] = (),
    adopt: Iterable[str] = (),
    config: _Path | None = None,
) -> Observed: ...
def apply(
    plan: Plan,
    *,
    build_id: str | None = None,
    run_id: str | None = None,
    audit_output: _Path | None = None,
    allow: Iterable[_HazardName] = (),
    approval: str | None = None,
    dry_run: bool = False,
    fail_fast: bool = True,
    on_step: Callable[[StepResult], object] | None = None,
) -> Outcome: ...
