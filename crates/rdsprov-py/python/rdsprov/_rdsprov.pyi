from collections.abc import Sequence
from typing import Any

from . import Definitions as Definitions
from . import Observed as Observed
from . import Outcome
from . import Plan as Plan

__all__ = [
    "Definitions",
    "Observed",
    "Plan",
    "VERSION",
    "apply",
    "check",
    "closed_sets",
    "diff",
    "main",
    "observe",
    "plan",
    "restore_definitions",
    "restore_observed",
    "restore_plan",
    "validate",
]

VERSION: str

def apply(plan: Plan, **keywords: Any) -> Outcome: ...
def check(definitions: Definitions, **keywords: Any) -> bool: ...
def closed_sets() -> dict[str, Sequence[str]]: ...
def diff(definitions: Definitions, observed: object, **keywords: Any) -> Plan: ...
def main(arguments: Sequence[str]) -> int: ...
def observe(definitions: Definitions, **keywords: Any) -> Observed: ...
def plan(definitions: Definitions, **keywords: Any) -> Plan: ...
def restore_definitions(
    sources: Any, environment: Any, mode: Any, adopt: Any, config: Any
) -> Definitions: ...
def restore_observed(text: str) -> Observed: ...
def restore_plan(
    definitions: Definitions,
    keywords: Any,
    server: str | None,
    observed: str,
    findings: str,
    text: str,
) -> Plan: ...
def validate(definitions: Definitions, **keywords: Any) -> Definitions: ...
