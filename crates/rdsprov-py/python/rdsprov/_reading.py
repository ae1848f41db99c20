"""The functions that change nothing."""

import inspect

from . import _rdsprov
from ._lists import lists, with_lists
from ._signatures import with_options_of


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
        definitions, environment=environment, config=config, **lists(adopt=adopt)
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
    additive=False,
    config=None,
):
    """Plans without a server: returns the steps from an observed state to the desired state.

    Contacts nothing, and assumes that every secret exists and contains the right password.
    ``apply`` does not accept such a plan.

    - ``observed``: an ``Observed``, or a mapping in the form of ``Observed.to_dict()``.
    - ``environment``, ``build_id``, ``allow``, ``adopt``, ``adopt_from``, ``only``, ``additive``, ``config``: see ``plan``.

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
        additive=additive,
        config=config,
        **lists(allow=allow, adopt=adopt, only=only),
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
    max_connections=None,
    build_id=None,
    allow=(),
    adopt=(),
    adopt_from=None,
    only=(),
    additive=False,
    audit_ledger=None,
    audit_table=None,
    config=None,
    cancellation=None,
    timeout=None,
    on_event=None,
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
    - ``additive``: the plan creates and grants only; what takes access away is in ``pending`` of the plan.
    - ``audit_ledger``: the ledger that says which definitions were applied last: ``notes`` of the plan then tell drift
      from changed definitions.
    - ``audit_table``: the table ``"SCHEMA.TABLE"`` into which ``apply`` writes a row for each step, in its transaction.
    - ``config``: the configuration file; by default the one that the definitions were read with.

    Options for the connection:

    - ``host``, ``port``, ``dbname``: values that take precedence over those in the administrator's secret.
    - ``admin_auth``: ``"password"``, or ``"iam"`` to log in with an IAM token as ``admin_user``.
    - ``connect_to``: the address to which connections go instead of the host, such as ``"127.0.0.1:15432"`` for a tunnel.
      TLS and IAM tokens use the host.
    - ``connect_timeout``: how long a connection may take: seconds, or a text such as ``"60s"``, by default a minute.
    - ``statement_timeout``: how long a statement may take: seconds, or a text such as ``"1h"``, by default an hour.
    - ``observation_timeout``: how long the observation of one database may take: seconds, or a text such as ``"2m"``, by default two minutes.
    - ``max_connections``: how many connections the call has at the same time, at most: from 4, by default 11.
    - ``tls``: ``"verify-full"``, ``"require"`` or ``"disable"``.
    - ``ca_file``: a PEM file with certificates to trust.
    - ``client_cert``, ``client_key``: PEM files with the client certificate and its private key.

    Options for the secrets:

    - ``admin_secret``: the id of the administrator's secret.
    - ``secrets``: ``"aws"``, ``"file:DIR"``, or a callable ``(secret_id) -> Mapping``.
      The callable is called once for each secret; if it raises an exception, ``plan`` raises it.
      What a secret contains raises none: a wrong value is the refusal ``secret-unavailable`` of the
      applications that use the secret.
      A type that JSON does not have, such as ``bytes``, is a mistake of the callable: ``TypeError``.
    - ``secret_stage``: ``"AWSCURRENT"`` or ``"AWSPENDING"``.
    - ``region``: the AWS region of the secrets and of the IAM token.
    - ``verify_passwords``: ``"login"``, ``"never"`` or ``"always-set"``.

    Other options:

    - ``allow``: hazards that the plan may have.
    - ``build_id``: the id of the CI build, for markers and records.
    - ``cancellation``: a ``Cancellation``, with which another thread can stop the call.
    - ``timeout``: how long the call may take, in seconds; by default, it has no limit.
    - ``on_event``: a callable that gets an ``Event`` when the call begins to wait, for example for a server.
      If it raises an exception, the call stops and raises it.

    Raises ``DefinitionError``, ``SecretError``, ``ConnectError`` and ``UsageError``.
    A call that is stopped raises ``Cancelled``, or ``TimedOut`` if its time is over.

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
    return _rdsprov.plan(**with_lists(locals()))


def checked_options_of_plan(**options):
    """Returns options of ``plan``, for ``Plan.from_file``."""
    inspect.signature(plan).bind(None, **options)
    return with_lists(options)


#: The options of ``plan`` that concern the secrets and the privileges of applications.
_OF_APPLICATIONS = (
    "secret_stage",
    "verify_passwords",
    "allow",
    "adopt",
    "adopt_from",
    "only",
    "additive",
    "audit_ledger",
    "audit_table",
)


@with_options_of(plan, without=("additive",), strict=False, fail_on=())
def check(definitions, **options):
    """Returns whether the server matches the definitions.

    Changes nothing.

    - ``strict``: access of a role that the definitions do not declare (the note ``undeclared-access``) is a difference.
    - ``fail_on``: findings on which the result is also ``False``. ``"orphaned"``: a managed role or database is not
      declared any more. ``"undeclared"``: a role that is not declared has access to a declared database, or a declared role
      has a database that is not declared.

    The other options and the exceptions are those of ``plan``.
    Also raises ``PlanRefused`` if the plan has refusals.

    For example::

        definitions = rdsprov.Definitions.from_path("terraform.tfvars")
        if not rdsprov.check(definitions, environment="prod"):
            print("the server has drifted")
    """
    return _rdsprov.check(definitions, **with_lists(options))


@with_options_of(plan, without=("additive",), audit_output=None, lock_timeout=None)
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
    return _rdsprov.preflight(definitions, **with_lists(options))


@with_options_of(plan, without=("adopt_from", "only", "additive", "audit_ledger", "audit_table"))
def observe(definitions, **options):
    """Reads the observed state of a server, from which ``diff`` can plan later.

    Changes nothing.
    The options and exceptions are those of ``plan``.

    For example::

        observed = rdsprov.observe(rdsprov.Definitions.from_path("terraform.tfvars"))
        with open("server.json", "w") as file:
            file.write(observed.to_json())
    """
    return _rdsprov.observe(definitions, **with_lists(options))


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
    return _rdsprov.access(definitions, **with_lists(options))


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
    return _rdsprov.export(**with_lists(options))
