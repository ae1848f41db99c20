"""The functions that change a server."""

from . import _rdsprov
from ._lists import lists, with_lists
from ._reading import plan
from ._signatures import with_options_of


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
    confirm=(),
    lock_timeout=None,
    dry_run=False,
    fail_fast=True,
    on_step=None,
    cancellation=None,
    timeout=None,
    on_event=None,
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
    - ``confirm``: the names of the databases that a saved plan of ``rdsprov retire --out FILE`` drops.
    - ``lock_timeout``: how long to wait for another run on the server: seconds, or a text such as ``"10m"``.
    - ``dry_run``: records the plan without executing it.
    - ``fail_fast``: stops at the first failure; with ``False``, the other databases continue.
    - ``on_step``: a callable that gets the ``StepResult`` of each step after its transaction has ended.
      If it raises an exception, the run stops and ``apply`` raises it.
    - ``on_event``: a callable that gets an ``Event`` before the steps of each transaction, and when the run begins to
      wait, for example for the lock of another run.
      If it raises an exception, the run stops and ``apply`` raises it.
    - ``cancellation``: a ``Cancellation``, with which another thread can stop the run.
    - ``timeout``: how long the run may take, in seconds, with its waits; by default, it has no limit.
    - ``audit_output``: a CSV file to which the records are appended.
    - ``audit_ledger``: a ledger to which the records are appended.
    - ``build_id``, ``run_id``: ids of the CI build and of the run, for the records.
    - ``actor``, ``approver``, ``request_id``: the user that starts the run, the person that approved it, and the
      ticket that requested it, for the ledger.

    Raises ``ApprovalRequired``, ``PlanRefused``, ``StalePlan`` and ``ApplyError``, and the exceptions of
    ``plan``; each has an ``outcome``.
    A run that is stopped raises ``Cancelled`` or ``TimedOut``; committed transactions are kept.
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
        cancellation=cancellation,
        timeout=timeout,
        on_event=on_event,
        **lists(allow=allow, confirm=confirm),
    )


@with_options_of(plan, apply, without=("only", "additive", "adopt", "adopt_from", "fail_fast", "confirm"))
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
    return _rdsprov.rotate(definitions, **lists(applications=applications), **with_lists(options))


@with_options_of(
    plan,
    apply,
    without=("only", "additive", "adopt", "adopt_from", "fail_fast"),
    end_sessions=False,
    drop_role=False,
    drop_database=False,
    backup=None,
    without_backup=False,
    confirm=(),
    delete_secret=False,
    recovery_window_days=None,
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
    - ``delete_secret``: schedules the deletion of the secrets of the roles in Secrets Manager as well.
    - ``recovery_window_days``: how many days these can be restored, from 7 to 30; by default 30.

    The other options are those of ``plan`` and ``apply``, and the exceptions, too.

    For example::

        definitions = rdsprov.Definitions.from_path("terraform.tfvars")
        outcome = rdsprov.retire(
            definitions, ["shop"], drop_role=True, allow=[rdsprov.Hazard.DROPS_ROLE]
        )
    """
    return _rdsprov.retire(definitions, **lists(applications=applications), **with_lists(options))


@with_options_of(
    plan,
    apply,
    without=("environment", "build_id", "adopt", "adopt_from", "only", "additive", "fail_fast"),
    end_sessions=False,
    backup=None,
    without_backup=False,
    confirm=(),
    delete_secret=False,
    recovery_window_days=None,
)
def teardown(environment, build_id, **options):
    """Drops the roles and databases that a build has created in an ephemeral environment, and returns the outcome of the run.

    ``rdsprov.toml`` declares the environment with ``ephemeral = true``.
    No definitions are read: the markers on the server name the build.
    What the build has adopted stays, and nothing is dropped if a part of it is used otherwise.
    ``allow=["drops_role", "drops_database", "revokes_access"]`` is needed.

    - ``environment``, ``build_id``: the environment and the build.
    - ``end_sessions``: ends the sessions of the roles as well.
    - ``backup``: the dump of the databases that are dropped; the file must exist, and is not read.
    - ``without_backup``: drops databases without a dump.
    - ``confirm``: the names of the databases that are dropped.
    - ``delete_secret``: schedules the deletion of the secrets of the roles in Secrets Manager as well.
    - ``recovery_window_days``: how many days these can be restored, from 7 to 30; by default 30.

    The other options are those of ``plan`` and ``apply``, and the exceptions, too.

    For example::

        outcome = rdsprov.teardown(
            "review",
            "16-01-26-01",
            without_backup=True,
            confirm=["shop"],
            allow=["drops_role", "drops_database", "revokes_access"],
        )
    """
    return _rdsprov.teardown(environment, build_id, **with_lists(options))


@with_options_of(
    plan,
    apply,
    without=("adopt", "only", "additive", "fail_fast", "confirm"),
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
    return _rdsprov.delegate(to, adopt=adopt, **with_lists(options))
