"""Manages roles, databases and grants in PostgreSQL on Amazon RDS.

The package does the same as the ``rdsprov`` command.
``plan`` compares definitions with a server, and ``apply`` applies the plan::

    definitions = rdsprov.Definitions.from_path("terraform.tfvars")
    plan = rdsprov.plan(definitions)
    print(plan)
    if plan.changes:
        outcome = rdsprov.apply(plan, build_id="16-01-26-01")
        assert outcome.converged

``diff`` plans without a server, for example in a test.
``rotate``, ``retire`` and ``delegate`` are the other operations that change a server.
A ``Session`` holds the options that several calls have in common.

If an option is not given, its value comes from the environment variable (``RDSPROV_…``), then from
``rdsprov.toml``, then from the default.
All exceptions of the package are subclasses of ``Error``.
"""

import inspect

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
from ._rdsprov import AccessReport, Definitions, Observed, Plan, SavedPlan
from ._signatures import options_of, session_method, with_options_of
from ._enums import (
    AccessLevel,
    Action,
    Auth,
    CheckName,
    CheckStatus,
    ErrorCode,
    Hazard,
    Mode,
    NoteCode,
    OrphanKind,
    RefusalCode,
    RunSettingName,
    SourceKind,
    Status,
)
from ._values import (
    Application,
    ChangedSecret,
    Check,
    Code,
    DefinitionProblem,
    ManualFix,
    Note,
    Orphan,
    Outcome,
    Preflight,
    Record,
    Refusal,
    RunSetting,
    Settings,
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
    "ChangedSecret",
    "Check",
    "CheckName",
    "CheckStatus",
    "Code",
    "ConnectError",
    "DefinitionError",
    "DefinitionProblem",
    "Definitions",
    "Error",
    "ErrorCode",
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
    "Undeclared",
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
    "validate",
]


def validate(definitions, *, environment=None, adopt=(), config=None):
    """Validates definitions for an environment, and returns them with the defaults of that environment.

    Contacts nothing.

    - ``environment``: the environment; by default that of the definitions.
    - ``adopt``: applications that may take over a role and database that are not managed yet.
    - ``config``: the configuration file; by default the one that the definitions were read with.

    Raises ``DefinitionError`` if the definitions are for another environment, and ``UsageError`` if the
    environment is not known.

    For example::

        >>> definitions = rdsprov.Definitions.from_text('''
        ... application_databases = {
        ...   shop = { database_name = "shop", username = "shop_owner" }
        ... }
        ... ''')
        >>> rdsprov.validate(definitions, environment="dev").environment
        'dev'
    """
    return _rdsprov.validate(
        definitions, environment=environment, config=config, **_lists(adopt=adopt)
    )


def diff(
    definitions,
    observed,
    *,
    environment=None,
    build_id=None,
    allow=(),
    adopt=(),
    adopt_from=None,
    only=(),
    config=None,
):
    """Plans without a server: returns the steps from an observed state to the desired state.

    Contacts nothing, and assumes that every secret exists and contains the right password.
    ``apply`` does not accept such a plan.

    - ``observed``: an ``Observed``, or a mapping in the form of ``Observed.to_dict()``.
    - ``environment``, ``build_id``, ``allow``, ``adopt``, ``adopt_from``, ``only``, ``config``: see ``plan``.

    Raises ``DefinitionError``, and ``UsageError`` if ``observed`` has another form.

    For example::

        >>> definitions = rdsprov.Definitions.from_mapping({
        ...     "environment": "dev",
        ...     "application_databases": {
        ...         "shop": {"database_name": "shop", "username": "shop_owner"},
        ...     },
        ... })
        >>> empty_server = {
        ...     "server_version": 170002,
        ...     "admin_database": "postgres",
        ...     "administrator": {
        ...         "name": "platform_admin",
        ...         "superuser": False,
        ...         "create_role": True,
        ...         "create_database": True,
        ...         "rds_superuser": True,
        ...     },
        ... }
        >>> plan = rdsprov.diff(definitions, empty_server)
        >>> plan.changes[0].action == rdsprov.Action.CREATE_ROLE
        True
    """
    return _rdsprov.diff(
        definitions,
        observed,
        environment=environment,
        build_id=build_id,
        adopt_from=adopt_from,
        config=config,
        **_lists(allow=allow, adopt=adopt, only=only),
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
    connect_to=None,
    dbname=None,
    tls=None,
    ca_file=None,
    client_cert=None,
    client_key=None,
    verify_passwords=None,
    connect_timeout=None,
    statement_timeout=None,
    observation_timeout=None,
    build_id=None,
    allow=(),
    adopt=(),
    adopt_from=None,
    only=(),
    config=None,
):
    """Compares a server with the definitions, and returns the plan that ``apply`` can apply.

    Changes nothing.
    A plan that must not be applied has ``refusals``; they do not raise an exception here.

    Options for the definitions:

    - ``environment``: the environment; it must agree with the definitions.
    - ``adopt``: applications that may take over a role and database that are not managed yet.
    - ``adopt_from``: the environment whose roles and databases are taken over, because the server was restored from its snapshot.
    - ``only``: applications; the plan covers only their roles, databases and privileges.
      Other applications stay declared, but are neither compared nor changed, and their secrets are not read.
    - ``config``: the configuration file; by default the one that the definitions were read with.

    Options for the connection:

    - ``host``, ``port``, ``dbname``: values that take precedence over those in the administrator's secret.
    - ``admin_auth``: ``"password"``, or ``"iam"`` to log in with an IAM token as ``admin_user``.
    - ``connect_to``: the address to which connections go instead of the host, such as ``"127.0.0.1:15432"`` for a tunnel.
      TLS and IAM tokens use the host.
    - ``connect_timeout``: how long a connection may take: seconds, or a text such as ``"60s"``, by default a minute.
    - ``statement_timeout``: how long a statement may take: seconds, or a text such as ``"1h"``, by default an hour.
    - ``observation_timeout``: how long the observation of one database may take: seconds, or a text such as ``"2m"``, by default two minutes.
    - ``tls``: ``"verify-full"``, ``"require"`` or ``"disable"``.
    - ``ca_file``: a PEM file with certificates to trust.
    - ``client_cert``, ``client_key``: PEM files with the client certificate and its private key.

    Options for the secrets:

    - ``admin_secret``: the id of the administrator's secret.
    - ``secrets``: ``"aws"``, ``"file:DIR"``, or a callable ``(secret_id) -> Mapping``.
      The callable is called once for each secret; if it raises an exception, ``plan`` raises it.
    - ``secret_stage``: ``"AWSCURRENT"`` or ``"AWSPENDING"``.
    - ``region``: the AWS region of the secrets and of the IAM token.
    - ``verify_passwords``: ``"login"``, ``"never"`` or ``"always-set"``.

    Other options:

    - ``allow``: hazards that the plan may have.
    - ``build_id``: the id of the CI build, for markers and records.

    Raises ``DefinitionError``, ``SecretError``, ``ConnectError`` and ``UsageError``.

    For example::

        plan = rdsprov.plan(
            rdsprov.Definitions.from_path("terraform.tfvars"),
            secrets=lambda secret_id: {"username": "platform_admin", "password": "…"},
            host="db.example.com",
            allow=[rdsprov.Hazard.ADOPTS],
        )
        for refusal in plan.refusals:
            print(refusal.message)
    """
    return _rdsprov.plan(**_with_lists(locals()))


#: The options of ``plan`` that concern the secrets and the privileges of applications.
_OF_APPLICATIONS = ("secret_stage", "verify_passwords", "allow", "adopt", "adopt_from", "only")


@with_options_of(plan, strict=False, fail_on=())
def check(definitions, **options):
    """Returns whether the server matches the definitions.

    Changes nothing.

    - ``strict``: access of a role that the definitions do not declare (the note ``undeclared-access``) is a difference.
    - ``fail_on``: findings on which the result is also ``False``. ``"orphaned"``: a managed role or database is not
      declared any more.

    The other options and the exceptions are those of ``plan``.
    Also raises ``PlanRefused`` if the plan has refusals.

    For example::

        definitions = rdsprov.Definitions.from_path("terraform.tfvars")
        if not rdsprov.check(definitions, environment="prod"):
            print("the server has drifted")
    """
    return _rdsprov.check(definitions, **_with_lists(options))


@with_options_of(plan, audit_output=None, audit_ledger=None, lock_timeout=None)
def preflight(definitions, **options):
    """Checks everything that ``apply`` needs, and returns the report.

    Changes nothing, takes no lock, and does not raise an exception for a check that fails.

    - ``audit_output``, ``audit_ledger``: the files for records that are checked, and not created.
    - ``lock_timeout``: how long ``apply`` would wait for another run on the server.

    The other options are those of ``plan``.
    Raises ``UsageError`` if the configuration file cannot be used.

    For example::

        report = rdsprov.preflight(rdsprov.Definitions.from_path("terraform.tfvars"))
        if not report.is_ready:
            print(report)
    """
    return _rdsprov.preflight(definitions, **_with_lists(options))


@with_options_of(plan, without=("adopt_from", "only"))
def observe(definitions, **options):
    """Reads the observed state of a server, from which ``diff`` can plan later.

    Changes nothing.
    The options and exceptions are those of ``plan``.

    For example::

        observed = rdsprov.observe(rdsprov.Definitions.from_path("terraform.tfvars"))
        with open("server.json", "w") as file:
            file.write(observed.to_json())
    """
    return _rdsprov.observe(definitions, **_with_lists(options))


@with_options_of(plan, without=_OF_APPLICATIONS, database=None, role=None, actor=None)
def access(definitions, **options):
    """Returns the privileges that each role has in the managed databases.

    Changes nothing, and reads no secret except that of the administrator.

    - ``database``: limits the report to one database.
    - ``role``: limits the report to one role and PUBLIC.
    - ``actor``: the user that requests the report, for its heading.

    The other options and the exceptions are those of ``plan``.
    Also raises ``Error`` if the database or the role does not exist.

    For example::

        report = rdsprov.access(
            rdsprov.Definitions.from_path("terraform.tfvars"), database="shop"
        )
        print(report.to_markdown())
    """
    return _rdsprov.access(definitions, **_with_lists(options))


@with_options_of(
    plan,
    without=_OF_APPLICATIONS,
    databases=(),
    owners=(),
    exclude=(),
    format="tfvars",
)
def export(**options):
    """Returns definitions of what a server has, as text: the first step of an adoption.

    Changes nothing, and reads no secret except that of the administrator.
    Comments in the text say what a plan of the definitions would change.

    - ``databases``: patterns for the names of databases; by default all are exported.
    - ``owners``: patterns for the owners of databases.
    - ``exclude``: patterns for the names of databases and roles that are left out.
    - ``format``: ``"tfvars"`` or ``"toml"``.

    In a pattern, ``*`` stands for any characters.
    The other options and the exceptions are those of ``plan``; ``environment`` is required.

    For example::

        text = rdsprov.export(environment="dev", databases=["shop*"])
        with open("dev.tfvars", "w") as file:
            file.write(text)
    """
    return _rdsprov.export(**_with_lists(options))


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
    lock_timeout=None,
    dry_run=False,
    fail_fast=True,
    on_step=None,
):
    """Applies a plan, and returns the outcome of the run.

    Locks the server, plans again, checks the approval and the hazards, executes the steps, and plans once more
    to verify that nothing remains to be done.
    Server, secrets and selected applications are those of the plan.
    A plan of ``Plan.from_file`` is applied with the definitions and options that it was read with.
    If the current plan differs from the given one, nothing is changed and ``StalePlan`` is raised.
    A plan that was applied in part can be applied again: what is left of it is applied.

    - ``approval``: ``"true"``, or the digest of the plan; by default the variable ``ALLOW_DB_PROVISION``.
    - ``allow``: hazards that are allowed, in addition to those of the plan.
    - ``lock_timeout``: how long to wait for another run on the server: seconds, or a text such as ``"10m"``.
    - ``dry_run``: records the plan without executing it.
    - ``fail_fast``: stops at the first failure; with ``False``, the other databases continue.
    - ``on_step``: a callable that gets the ``StepResult`` of each step after its transaction has ended.
      If it raises an exception, the run stops and ``apply`` raises it.
    - ``audit_output``: a CSV file to which the records are appended.
    - ``audit_ledger``: a ledger to which the records are appended.
    - ``build_id``, ``run_id``: ids of the CI build and of the run, for the records.
    - ``actor``, ``approver``, ``request_id``: the user that starts the run, the person that approved it, and the
      ticket that requested it, for the ledger.

    Raises ``ApprovalRequired``, ``PlanRefused``, ``StalePlan`` and ``ApplyError``, and the exceptions of
    ``plan``; each has an ``outcome``.
    A ``KeyboardInterrupt`` has an ``ApplyError`` as its ``__context__``.

    For example::

        plan = rdsprov.plan(rdsprov.Definitions.from_path("terraform.tfvars"))
        try:
            outcome = rdsprov.apply(
                plan,
                build_id="16-01-26-01",
                audit_output="audit.csv",
                on_step=lambda result: print(result.status, result.step.summary),
            )
        except rdsprov.ApplyError as error:
            print(error, error.outcome)
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
        lock_timeout=lock_timeout,
        dry_run=dry_run,
        fail_fast=fail_fast,
        on_step=on_step,
        **_lists(allow=allow),
    )


@with_options_of(plan, apply, without=("only", "adopt_from", "fail_fast"))
def rotate(definitions, applications, **options):
    """Replaces the passwords of applications, one after another, and returns the outcome of the run.

    Each new password is a version of the secret in Secrets Manager, and becomes ``AWSCURRENT`` after a login with it.
    If a step fails, the old password is restored.

    - ``applications``: the names of the applications.

    The other options are those of ``plan`` and ``apply``, and the exceptions, too.
    Raises ``Error`` if the secrets are not in Secrets Manager.
    With ``dry_run=True``, the outcome has the digest of the plan, which can be approved.

    For example::

        definitions = rdsprov.Definitions.from_path("terraform.tfvars")
        outcome = rdsprov.rotate(definitions, ["shop"], build_id="16-01-26-01")
        assert outcome.converged
    """
    return _rdsprov.rotate(definitions, **_lists(applications=applications), **_with_lists(options))


@with_options_of(
    plan,
    apply,
    without=("only", "adopt_from", "fail_fast"),
    end_sessions=False,
    drop_role=False,
    drop_database=False,
    backup=None,
    without_backup=False,
    confirm=(),
)
def retire(definitions, applications, **options):
    """Ends the access of applications, and returns the outcome of the run.

    Their roles lose all privileges in managed databases and all memberships, and can no longer log in.
    Each application has the access level ``none``, or the definitions do not declare it any more.

    - ``applications``: the names of the applications.
    - ``end_sessions``: ends the sessions of their roles as well.
    - ``drop_role``: drops their roles as well; needs ``allow=["drops_role"]`` in every environment.
    - ``drop_database``: drops the databases that their roles own as well; needs ``backup`` or ``without_backup``,
      ``confirm``, and ``allow=["drops_database"]`` in every environment.
    - ``backup``: the dump of the databases that are dropped; the file must exist, and is not read.
    - ``without_backup``: drops databases without a dump.
    - ``confirm``: the names of the databases that are dropped.

    The other options are those of ``plan`` and ``apply``, and the exceptions, too.

    For example::

        definitions = rdsprov.Definitions.from_path("terraform.tfvars")
        outcome = rdsprov.retire(
            definitions, ["shop"], drop_role=True, allow=[rdsprov.Hazard.DROPS_ROLE]
        )
    """
    return _rdsprov.retire(definitions, **_lists(applications=applications), **_with_lists(options))


@with_options_of(
    plan,
    apply,
    without=("adopt", "only", "fail_fast"),
    to_secret=None,
    auth="password",
    secret_kms_key=None,
    secret_tags=None,
    adopt=False,
)
def delegate(to, **options):
    """Creates or updates a role that can administer the server for one environment, and returns the outcome of the run.

    The options for the connection are those of the current administrator.
    ``environment`` is required.

    - ``to``: the name of the role, the delegate.
    - ``to_secret``: the secret with its password; if it does not exist, it is created with a new password.
    - ``auth``: ``"password"``, or ``"iam"`` for a role that logs in with IAM tokens and has no secret.
    - ``secret_kms_key``: the KMS key that encrypts a new secret.
    - ``secret_tags``: a mapping with the tags of a new secret.
    - ``adopt``: takes over an existing role with this name that is not managed.

    The other options are those of ``plan`` and ``apply``, and the exceptions, too.

    For example::

        rdsprov.delegate(
            "dev_admin", environment="dev", to_secret="goldenpath/dev/rds/delegate"
        )
        session = rdsprov.Session(environment="dev", admin_secret="goldenpath/dev/rds/delegate")
    """
    adopt = options.pop("adopt", False)
    return _rdsprov.delegate(to, adopt=adopt, **_with_lists(options))


class Session:
    """Options that several calls have in common.

    A session has a method for each function that contacts a server.
    The method adds those options of the session that its function has.
    An option of the call takes precedence.
    The options are those of ``plan`` and ``apply``.
    A session holds no connection, and threads can share it.

    For example::

        session = rdsprov.Session(environment="prod", admin_secret="goldenpath/prod/rds/master")
        plan = session.plan(rdsprov.Definitions.from_path("terraform.tfvars"))
        outcome = session.apply(plan, approval=plan.digest)
    """

    #: The options that a session can hold.
    _known = {**options_of(plan), **options_of(apply)}

    def __init__(self, **options):
        for name in options:
            if name not in self._known:
                raise TypeError(f"Session() got an unexpected keyword argument {name!r}")
        self._options = _with_lists(options)

    def __repr__(self):
        # A secret source can be an object with a long representation.
        return f"<Session options={sorted(self._options)}>"

    def _options_for(self, function):
        """Returns the options of the session that a function has in the same form."""
        own = options_of(function)
        return {
            name: value
            for name, value in self._options.items()
            if own.get(name) == self._known[name]
        }

    def replace(self, **options):
        """Returns a session with other values for these options."""
        return Session(**{**self._options, **options})

    def read_plan(self, path, definitions, **options):
        """Calls ``Plan.from_file`` with the options of the session."""
        return Plan.from_file(path, definitions, **{**self._options_for(plan), **options})

    plan = session_method(plan)
    check = session_method(check)
    preflight = session_method(preflight)
    observe = session_method(observe)
    access = session_method(access)
    export = session_method(export)
    apply = session_method(apply)
    rotate = session_method(rotate)
    retire = session_method(retire)
    delegate = session_method(delegate)


for _name in __all__:
    # Tracebacks, help() and pickle then show the public name.
    _public = globals()[_name]
    if isinstance(_public, type):
        _public.__module__ = __name__


def _lists(**keywords):
    """Converts iterables to lists, and rejects a string, which would be a list of its letters."""
    for name, value in keywords.items():
        if isinstance(value, str):
            raise TypeError(f"{name} must be a list of strings: write {name}=[{value!r}]")
    return {name: list(value) for name, value in keywords.items()}


#: The options that are lists.
_LISTS = ("allow", "adopt", "only", "fail_on", "confirm")


def _with_lists(options):
    """Converts the options that are lists."""
    return {**options, **_lists(**{name: options[name] for name in _LISTS if name in options})}


def _options_of_plan(**options):
    """Checks the options of ``plan``, for ``Plan.from_file``."""
    inspect.signature(plan).bind(None, **options)
    return _with_lists(options)
