"""Roles, databases and grants inside PostgreSQL on Amazon RDS, as declared: the ``rdsprov`` command, in Python.

Definitions become a plan, a plan becomes an outcome::

    definitions = rdsprov.Definitions.from_path("terraform.tfvars")
    plan = rdsprov.plan(definitions)
    print(plan)
    outcome = rdsprov.apply(plan, build_id="16-01-26-01")

``diff`` plans without a server. Options that are not given are what the command would take: the variable
``RDSPROV_…``, then ``rdsprov.toml``, then the default. All that goes wrong is an ``Error``.
"""

from ._errors import (
    ApplyError,
    ApprovalRequired,
    ConnectError,
    DefinitionError,
    Error,
    PlanRefused,
    SecretError,
    StalePlan,
    UsageError,
)
from . import _rdsprov, audit
from ._rdsprov import VERSION as __version__
from ._rdsprov import AccessReport, Definitions, Observed, Plan
from ._values import (
    AccessLevel,
    Action,
    Application,
    Auth,
    DefinitionProblem,
    Hazard,
    Mode,
    ManualFix,
    Orphan,
    Outcome,
    Record,
    Refusal,
    Settings,
    Status,
    Step,
    StepResult,
    Undeclared,
)

__all__ = [
    "AccessLevel",
    "AccessReport",
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
    "ManualFix",
    "Mode",
    "Observed",
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
    "access",
    "apply",
    "audit",
    "check",
    "diff",
    "observe",
    "plan",
    "validate",
]


def validate(definitions, *, environment=None, adopt=(), config=None):
    """Read definitions, for an environment if one is named, and say what they mean; contacts nothing.

    Raises ``DefinitionError`` where they are for another environment, ``UsageError`` where the environment is
    not known.
    """
    return _rdsprov.validate(
        definitions, environment=environment, config=config, **_several(adopt=adopt)
    )


def diff(
    definitions,
    observed,
    *,
    environment=None,
    build_id=None,
    allow=(),
    adopt=(),
    config=None,
):
    """Plan without a server: the pure difference of what is declared and what is ``observed``.

    ``observed`` is an ``Observed``, or a mapping of its shape. Secrets are taken to be right.
    """
    return _rdsprov.diff(
        definitions,
        observed,
        environment=environment,
        build_id=build_id,
        config=config,
        **_several(allow=allow, adopt=adopt),
    )


def plan(
    definitions,
    *,
    environment=None,
    admin_secret=None,
    admin_auth=None,
    admin_user=None,
    secrets=None,
    secret_stage=None,
    region=None,
    host=None,
    port=None,
    dbname=None,
    tls=None,
    ca_file=None,
    client_cert=None,
    client_key=None,
    verify_passwords=None,
    build_id=None,
    allow=(),
    adopt=(),
    config=None,
):
    """Look at the server and say what ``apply`` would do. Nothing is changed.

    ``secrets`` is ``"aws"``, ``"file:DIR"``, or a callable ``(secret_id) -> Mapping``, which is called once for
    each secret; what it raises is raised here. Every other option is that of the command.

    Guardrails are in ``refusals``. Raises ``DefinitionError``, ``SecretError``, ``ConnectError`` and
    ``UsageError``.
    """
    return _rdsprov.plan(**_contacting(locals()))


def check(
    definitions,
    *,
    environment=None,
    admin_secret=None,
    admin_auth=None,
    admin_user=None,
    secrets=None,
    secret_stage=None,
    region=None,
    host=None,
    port=None,
    dbname=None,
    tls=None,
    ca_file=None,
    client_cert=None,
    client_key=None,
    verify_passwords=None,
    build_id=None,
    allow=(),
    adopt=(),
    config=None,
):
    """Whether the server is as declared. Nothing is changed.

    Takes the options of ``plan`` and raises what that raises, and ``PlanRefused`` where guardrails forbid to
    change what is not.
    """
    return _rdsprov.check(**_contacting(locals()))


def observe(
    definitions,
    *,
    environment=None,
    admin_secret=None,
    admin_auth=None,
    admin_user=None,
    secrets=None,
    secret_stage=None,
    region=None,
    host=None,
    port=None,
    dbname=None,
    tls=None,
    ca_file=None,
    client_cert=None,
    client_key=None,
    verify_passwords=None,
    build_id=None,
    allow=(),
    adopt=(),
    config=None,
):
    """Look at the server as ``plan`` does, and give what was seen: ``diff`` plans from it.

    Takes the options of ``plan`` and raises what that raises.
    """
    return _rdsprov.observe(**_contacting(locals()))


def access(
    definitions,
    *,
    database=None,
    role=None,
    environment=None,
    admin_secret=None,
    admin_auth=None,
    admin_user=None,
    secrets=None,
    region=None,
    host=None,
    port=None,
    dbname=None,
    tls=None,
    ca_file=None,
    client_cert=None,
    client_key=None,
    build_id=None,
    config=None,
):
    """Who can do what in the managed databases, as PostgreSQL says; of one ``database`` or ``role``, if named.

    Takes the options of ``plan`` and raises what that raises; only the administrator's secret is fetched.
    """
    return _rdsprov.access(**locals())


def apply(
    plan,
    *,
    build_id=None,
    run_id=None,
    audit_output=None,
    audit_ledger=None,
    actor=None,
    approver=None,
    request_id=None,
    allow=(),
    approval=None,
    dry_run=False,
    fail_fast=True,
    on_step=None,
):
    """Make the server as declared: lock, look again, ask the gates, record, execute, look again.

    The plan is carried out as it is, or not at all: where another would be made now, ``StalePlan`` is raised.
    Server and secrets are those of the plan. ``approval`` is what ``ALLOW_DB_PROVISION`` says: ``"true"``, or a
    plan's digest. ``on_step`` is called with the ``StepResult`` of each step once its transaction has ended;
    what it raises ends the run where it stands and is raised here. ``audit_output`` is appended rows of CSV,
    ``audit_ledger`` records that hang together, with ``actor``, ``approver`` and ``request_id``.

    Raises ``ApprovalRequired``, ``PlanRefused``, ``StalePlan``, ``ApplyError``, and what ``plan`` raises; each
    has its ``outcome``. A ``KeyboardInterrupt`` has an ``ApplyError`` as its ``__context__``.
    """
    return _rdsprov.apply(
        plan,
        build_id=build_id,
        run_id=run_id,
        audit_output=audit_output,
        audit_ledger=audit_ledger,
        actor=actor,
        approver=approver,
        request_id=request_id,
        approval=approval,
        dry_run=dry_run,
        fail_fast=fail_fast,
        on_step=on_step,
        **_several(allow=allow),
    )


for _name in __all__:
    # Where people find them, and where pickle does.
    _public = globals()[_name]
    if isinstance(_public, type):
        _public.__module__ = __name__


def _several(**keywords):
    """Lists of what takes several, of which one string would be its letters."""
    for name, value in keywords.items():
        if isinstance(value, str):
            raise TypeError(f"{name}: it takes several, write {name}=[{value!r}]")
    return {name: list(value) for name, value in keywords.items()}


def _contacting(keywords):
    return {**keywords, **_several(allow=keywords["allow"], adopt=keywords["adopt"])}
