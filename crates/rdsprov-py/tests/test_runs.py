"""Saved plans, rotations, retirements, delegates and sessions, next to the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rdsprov
from conftest import CANARY, Server, Workspace, password, versions

ENTRIES: dict[str, dict[str, Any]] = {
    "shop": {"database_name": "shop", "username": "shop_owner"},
    "reports": {"database_name": "shop", "username": "shop_reader", "access_level": "reader"},
}


def declare(workspace: Workspace, **entries: dict[str, Any]) -> rdsprov.Definitions:
    """Writes the definitions to `own.json`, for the command as well."""
    for application, entry in ENTRIES.items():
        workspace.app(application, entry["username"])
    path = workspace.directory / "own.json"
    own = {"environment": "dev", "application_databases": {**ENTRIES, **entries}}
    path.write_text(json.dumps(own))
    return rdsprov.Definitions.from_path(path)


def test_saved_plans_are_those_of_the_command(workspace: Workspace) -> None:
    definitions = declare(workspace)
    plan = rdsprov.plan(definitions, **workspace.options)
    ours, theirs = workspace.directory / "ours.plan", workspace.directory / "theirs.plan"
    plan.save(ours)
    done = workspace.command("plan", "-d", "own.json", "--out", "theirs.plan")
    assert done.returncode == 0, done.stderr
    # How a run reached its server is not in the file, so that the files are equal.
    assert ours.read_text() == theirs.read_text()
    assert ours.stat().st_mode & 0o077 == 0
    assert CANARY not in ours.read_text()
    # The summary is a line of the text of the plan.
    server = f"{workspace.server.host}:{workspace.server.port}"
    assert plan.summary.startswith("Plan: ") and f" on {server} (dev). " in plan.summary
    assert plan.summary.endswith(plan.digest) and plan.summary in str(plan).splitlines()
    saved = rdsprov.Plan.from_file(theirs, definitions, **workspace.options)
    assert saved == rdsprov.Plan.from_file(ours) and saved.to_json() == theirs.read_text()
    assert (saved.digest, saved.environment, saved.server) == (plan.digest, "dev", plan.server)
    assert saved.changes == plan.changes and saved.hazards == plan.hazards
    # The command applies a plan that Python has saved, and the other way round.
    dry = workspace.command("apply", "ours.plan", "-d", "own.json", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    outcome = rdsprov.apply(saved)
    assert outcome.converged and outcome.committed and outcome.digest == plan.digest
    # It is already applied.
    assert rdsprov.apply(saved).committed is False
    assert workspace.command("apply", "ours.plan", "-d", "own.json").returncode == 0


def test_saved_plans_are_verified(shared_workspace: Workspace) -> None:
    definitions = declare(shared_workspace)
    options = shared_workspace.options
    plan = rdsprov.plan(definitions, **options)
    path = shared_workspace.directory / "a.plan"
    plan.save(path)
    with pytest.raises(rdsprov.UsageError, match="read without definitions"):
        rdsprov.apply(rdsprov.Plan.from_file(path))
    with pytest.raises(TypeError, match="hots"):
        rdsprov.Plan.from_file(path, definitions, hots="x")  # type: ignore[call-arg]
    with pytest.raises(rdsprov.DefinitionError, match="the definitions are for `dev`"):
        rdsprov.Plan.from_file(path, definitions, environment="prod", **options)
    # The plan was read before: the file does not matter any more.
    saved = rdsprov.Plan.from_file(path, definitions, **options)
    path.write_text(path.read_text().replace("shop_owner", "shop_other"))
    with pytest.raises(rdsprov.Error) as caught:
        rdsprov.Plan.from_file(path)
    assert caught.value.code is rdsprov.ErrorCode.PLAN_FILE_CHANGED
    assert caught.value.hints == (
        "save a new plan with `rdsprov.plan(...)` and `Plan.save(...)`",
    )
    assert rdsprov.apply(saved, dry_run=True).records[0].status == "dry_run"
    more = declare(shared_workspace, more={"database_name": "more", "username": "more_owner"})
    shared_workspace.app("more", "more_owner")
    path.write_text(saved.to_json())
    with pytest.raises(rdsprov.StalePlan):
        rdsprov.apply(rdsprov.Plan.from_file(path, more, **options))
    with pytest.raises(rdsprov.Error, match="cannot be written") as unwritable:
        plan.save("/proc/none/a.plan")
    assert unwritable.value.code is rdsprov.ErrorCode.FILE_UNWRITABLE
    pure = rdsprov.diff(definitions, plan.observed)
    with pytest.raises(rdsprov.UsageError, match="without a server"):
        pure.save(path)
    (shared_workspace.directory / "goldenpath/dev/shop/postgres.json").unlink()
    refused = rdsprov.plan(definitions, **options)
    with pytest.raises(rdsprov.PlanRefused) as refusals:
        refused.save(path)
    assert refusals.value.refusals == refused.refusals
    assert path.read_text() == saved.to_json()


def test_retire(workspace: Workspace) -> None:
    options = workspace.options
    definitions = declare(workspace)
    assert rdsprov.apply(rdsprov.plan(definitions, **options)).converged
    with pytest.raises(rdsprov.UsageError, match="no application is named"):
        rdsprov.retire(definitions, [], **options)
    with pytest.raises(TypeError, match=r"applications=\['reports'\]"):
        rdsprov.retire(definitions, "reports", **options)
    with pytest.raises(rdsprov.UsageError, match="reports"):
        # It is still declared with access.
        rdsprov.retire(definitions, ["reports"], **options)
    unknown = rdsprov.retire(definitions, ["payments"], **options)
    assert unknown.converged and not unknown.committed
    assert [note.code for note in unknown.notes] == [rdsprov.NoteCode.NOTHING_TO_RETIRE]
    assert "payments" in unknown.notes[0].message
    with pytest.raises(TypeError, match="adopt"):
        rdsprov.retire(definitions, ["payments"], adopt=["shop"], **options)  # type: ignore[call-arg]
    ended = declare(workspace, reports={**ENTRIES["reports"], "access_level": "none"})
    audit = workspace.directory / "audit.csv"
    words: dict[str, Any] = {**options, "audit_output": audit, "drop_role": True}
    allow = [rdsprov.Hazard.DROPS_ROLE]
    with pytest.raises(rdsprov.UsageError, match="it would drop no database"):
        rdsprov.retire(ended, ["reports"], without_backup=True, **words)
    dry = rdsprov.retire(ended, ["reports"], dry_run=True, **words)
    assert dry.digest and not dry.committed
    assert "drop_role" in [record.action for record in dry.records]
    with pytest.raises(rdsprov.ApprovalRequired, match="drops_role") as caught:
        rdsprov.retire(ended, ["reports"], **words)
    assert caught.value.outcome and not caught.value.outcome.committed
    seen: list[str] = []
    outcome = rdsprov.retire(
        ended,
        ["reports"],
        allow=allow,
        on_step=lambda result: seen.append(result.step.action.value),
        **words,
    )
    assert outcome.converged and outcome.committed and "drop_role" in seen
    assert workspace.server.sql("SELECT count(*) FROM pg_roles WHERE rolname ~ '^shop'") == "1"
    assert ",drop_role,success" in audit.read_text()


def test_retire_drops_databases(workspace: Workspace) -> None:
    options = workspace.options
    assert rdsprov.apply(rdsprov.plan(declare(workspace), **options)).converged
    none = {name: {**entry, "access_level": "none"} for name, entry in ENTRIES.items()}
    ended = declare(workspace, **none)
    words: dict[str, Any] = {**options, "drop_database": True, "drop_role": True}
    words["allow"] = ["drops_database", "drops_role"]
    with pytest.raises(rdsprov.UsageError, match="`backup=`"):
        rdsprov.retire(ended, ENTRIES, **words)
    with pytest.raises(rdsprov.UsageError, match="contradict"):
        rdsprov.retire(ended, ENTRIES, backup="x", without_backup=True, **words)
    with pytest.raises(rdsprov.ApprovalRequired, match='`confirm=\\["shop"\\]`'):
        rdsprov.retire(ended, ENTRIES, without_backup=True, **words)
    count = "SELECT count(*) FROM pg_database WHERE datname = 'shop'"
    assert workspace.server.sql(count) == "1"
    # The command saves a plan, which keeps its options.
    retire = ["retire", "shop,reports", "-d", "own.json", "--out", "retire.plan"]
    done = workspace.command(*retire, "--drop-database", "--drop-role", "--without-backup")
    assert done.returncode == 0, done.stderr
    saved = rdsprov.Plan.from_file(workspace.directory / "retire.plan", ended, **options)
    assert rdsprov.Action.DROP_DATABASE in [step.action for step in saved.changes]
    with pytest.raises(rdsprov.ApprovalRequired, match='`confirm=\\["shop"\\]`'):
        rdsprov.apply(saved, allow=["drops_database", "drops_role"])
    allowed = rdsprov.apply(saved, allow=["drops_database", "drops_role"], confirm=["shop"])
    assert allowed.converged
    assert workspace.server.sql(count) == "0"
    again = rdsprov.retire(ended, ENTRIES, without_backup=True, confirm=["shop"], **words)
    assert again.converged and not again.committed


def test_teardown(workspace: Workspace) -> None:
    config = workspace.directory / "ephemeral.toml"
    config.write_text("[environments.dev]\nephemeral = true\n")
    definitions = declare(workspace)
    built = rdsprov.apply(rdsprov.plan(definitions, **workspace.options), build_id="b1")
    assert built.converged
    environment = "dev"
    words: dict[str, Any] = {**workspace.options}
    words.update(without_backup=True, confirm=["shop"], allow=["drops_role", "drops_database"])
    with pytest.raises(rdsprov.ApprovalRequired, match="ephemeral") as caught:
        rdsprov.teardown(environment, "b1", **words)
    assert caught.value.code == "environment-not-ephemeral"
    words["config"] = config
    with pytest.raises(rdsprov.UsageError, match="build_id"):
        rdsprov.teardown(environment, "", **words)
    with pytest.raises(rdsprov.ApprovalRequired, match="does not drop database shop"):
        rdsprov.teardown(environment, "b2", **words)
    assert not rdsprov.teardown(environment, "b2", **{**words, "confirm": []}).committed
    outcome = rdsprov.Session(environment=environment).teardown(environment, "b1", **words)
    assert outcome.converged and outcome.committed
    names = "SELECT count(*) FROM pg_roles WHERE rolname ~ '^shop'"
    assert workspace.server.sql(names) == "0"


@pytest.fixture(scope="module")
def manager() -> Iterator[Server]:
    """A server with a Secrets Manager."""
    server = Server(versions()[0], secrets=True)
    server.put("goldenpath/dev/rds/master", server.admin)
    secret = {"username": "shop_owner", "password": password("shop")}
    server.put("goldenpath/dev/shop/postgres", secret)
    yield server
    server.stop()


@pytest.mark.xdist_group("runs with a secrets manager")
def test_rotate_and_delegate(manager: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in manager.environment.items():
        monkeypatch.setenv(name, value)
    definitions = rdsprov.Definitions.from_mapping(
        {"environment": "dev", "application_databases": {"shop": ENTRIES["shop"]}}
    )
    session = rdsprov.Session(environment="dev", ca_file=manager.ca_file)
    assert session.apply(session.plan(definitions)).converged
    manager.sql_as("shop_owner", password("shop"), "shop", "SELECT 1")
    dry = session.rotate(definitions, ["shop"], dry_run=True)
    assert not dry.committed and dry.digest
    outcome = session.rotate(definitions, ["shop"], build_id="7", approval="true")
    assert outcome.converged and outcome.build_id == "7"
    assert [result.step.action for result in outcome][-1] is rdsprov.Action.FINISH_ROTATION
    with pytest.raises(AssertionError, match="28P01|password authentication failed"):
        manager.sql_as("shop_owner", password("shop"), "shop", "SELECT 1")
    # The new password is the one of the secret.
    assert not session.plan(definitions).changes
    with pytest.raises(rdsprov.Error, match="reports"):
        session.rotate(definitions, ["reports"])

    with pytest.raises(rdsprov.UsageError, match="`to_secret="):
        session.delegate("dev_admin")
    with pytest.raises(rdsprov.UsageError, match="auth: the values are"):
        session.delegate("dev_admin", auth="kerberos")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="adopt"):
        session.delegate("dev_admin", adopt=["shop"])  # type: ignore[arg-type]
    secret = "goldenpath/dev/rds/delegate"
    outcome = session.delegate("dev_admin", to_secret=secret, secret_tags={"team": "data"})
    assert outcome.converged and outcome.environment == "dev"
    assert rdsprov.Action.CREATE_SECRET in [result.step.action for result in outcome]
    as_delegate = session.replace(admin_secret=secret)
    assert not as_delegate.plan(definitions).refusals


def test_rotate_needs_secrets_manager(shared_workspace: Workspace) -> None:
    definitions = declare(shared_workspace)
    with pytest.raises(rdsprov.Error, match="Secrets Manager") as caught:
        rdsprov.rotate(definitions, ["shop"], **shared_workspace.options)
    assert caught.value.outcome and not caught.value.outcome.committed


def test_sessions(shared_workspace: Workspace) -> None:
    definitions = declare(shared_workspace)
    audit = shared_workspace.directory / "session.csv"
    # Each function gets those options that it has; `only` concerns `plan`, `audit_output` concerns `apply`.
    session = rdsprov.Session(audit_output=audit, only=["shop"], **shared_workspace.options)
    plan = session.plan(definitions)
    assert plan.only == ("shop",)
    assert session.plan(definitions, only=()).only == ()
    assert plan == rdsprov.plan(definitions, only=["shop"], **shared_workspace.options)
    assert not session.check(definitions) and session.preflight(definitions).is_ready
    assert session.observe(definitions) and session.access(definitions)
    assert "application_databases" in session.export(environment="dev")
    path = shared_workspace.directory / "session.plan"
    plan.save(path)
    outcome = session.apply(session.read_plan(path, definitions), dry_run=True)
    assert outcome.records and ",dry_run," in audit.read_text()
    assert session.replace(only=["reports"]).plan(definitions).only == ("reports",)
    with pytest.raises(TypeError, match="hots"):
        rdsprov.Session(hots="x")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="only must be a list"):
        rdsprov.Session(only="shop")
    with pytest.raises(TypeError, match="hots"):
        session.plan(definitions, hots="x")  # type: ignore[call-arg]
    assert CANARY not in repr(session)


def test_options_of_runs_are_checked() -> None:
    definitions = rdsprov.Definitions.from_mapping(
        {"environment": "dev", "application_databases": ENTRIES}
    )
    unknown: list[dict[str, Any]] = [{"hots": "x"}, {"only": ["shop"]}, {"fail_fast": False}]
    for wrong in unknown:
        with pytest.raises(TypeError, match=r"rotate\(\): .*unexpected keyword"):
            rdsprov.rotate(definitions, ["shop"], **wrong)
    with pytest.raises(TypeError, match="confirm must be a list"):
        rdsprov.retire(definitions, ["shop"], confirm="shop")
    with pytest.raises(TypeError, match="end_sessions"):
        rdsprov.retire(definitions, ["shop"], end_sessions="no")  # type: ignore[arg-type]
