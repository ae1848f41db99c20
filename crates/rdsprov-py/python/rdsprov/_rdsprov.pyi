from collections.abc import Sequence
from typing import Any

from . import AccessReport as AccessReport
from . import Cancellation as Cancellation
from . import Definitions as Definitions
from . import Observed as Observed
from . import Outcome
from . import Plan as Plan
from . import Preflight
from . import SavedPlan as SavedPlan
from .audit import Change, TableReport, Verified

__all__ = [
    "AccessReport",
    "Cancellation",
    "Definitions",
    "Observed",
    "Plan",
    "SavedPlan",
    "VERSION",
    "access",
    "apply",
    "audit_tables",
    "check",
    "closed_sets",
    "delegate",
    "diff",
    "example_messages",
    "export",
    "ledger_changes",
    "main",
    "observe",
    "plan",
    "preflight",
    "restore_access",
    "restore_definitions",
    "restore_observed",
    "restore_plan",
    "retire",
    "rotate",
    "shown",
    "teardown",
    "validate",
    "verify_ledger",
]

VERSION: str

def access(definitions: Definitions, **keywords: Any) -> AccessReport: ...
def apply(plan: Plan | SavedPlan, **keywords: Any) -> Outcome: ...
def audit_tables(**keywords: Any) -> TableReport: ...
def check(definitions: Definitions, **keywords: Any) -> bool: ...
def closed_sets() -> dict[str, Sequence[str]]: ...
def example_messages() -> Sequence[str]: ...
def delegate(to: str, **keywords: Any) -> Outcome: ...
def diff(definitions: Definitions, observed: object, **keywords: Any) -> Plan: ...
def export(**keywords: Any) -> str: ...
def main(arguments: Sequence[str]) -> int: ...
def observe(definitions: Definitions, **keywords: Any) -> Observed: ...
def plan(definitions: Definitions, **keywords: Any) -> Plan: ...
def preflight(definitions: Definitions, **keywords: Any) -> Preflight: ...
def ledger_changes(path: Any, role: str | None, database: str | None) -> tuple[Change, ...]: ...
def verify_ledger(path: Any, expect: str | None) -> Verified: ...
def restore_access(json: str) -> AccessReport: ...
def restore_definitions(
    sources: Any, environment: Any, mode: Any, adopt: Any, config: Any
) -> Definitions: ...
def restore_observed(text: str) -> Observed: ...
def restore_plan(
    definitions: Definitions,
    keywords: Any,
    made_by_plan: bool,
    observed: str,
    findings: str,
    last_applied: str,
    text: str,
) -> Plan: ...
def retire(
    definitions: Definitions, applications: Sequence[str], **keywords: Any
) -> Outcome: ...
def rotate(
    definitions: Definitions, applications: Sequence[str], **keywords: Any
) -> Outcome: ...
def teardown(environment: str, build_id: str, **keywords: Any) -> Outcome: ...
def validate(definitions: Definitions, **keywords: Any) -> Definitions: ...
def shown(message: str) -> str: ...
