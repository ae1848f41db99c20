"""The main path: definitions, plan, apply and a second plan, against an RDS-like server."""

from __future__ import annotations

import csv
import pickle
import re

import pytest
import rdsprov
from conftest import CANARY, TESTDATA, Workspace, password

DEMO = TESTDATA / "demo" / "terraform.tfvars"


def given(workspace: Workspace) -> rdsprov.Definitions:
    for application, user in (
        ("shop", "shop_owner"),
        ("shop_reports", "shop_reader"),
        ("keycloak", "keycloak_user"),
    ):
        workspace.app(application, user)
    return rdsprov.Definitions.from_path(DEMO)


def test_apply_converges(workspace: Workspace) -> None:
    definitions = given(workspace)
    assert not rdsprov.check(definitions, **workspace.options)
    plan = rdsprov.plan(definitions, environment="dev", **workspace.options)
    shown = workspace.command("plan", "-d", str(DEMO))
    # Each front end spells options in its own way.
    assert "CA file" in shown.stdout and "(`ca_file=`)" in str(plan)
    assert str(plan).replace("(`ca_file=`)", "(--ca-file)") == shown.stdout
    assert plan.changes and not plan.refusals
    assert pickle.loads(pickle.dumps(plan)) == plan

    audit = workspace.directory / "records" / "audit.csv"
    seen: list[rdsprov.StepResult] = []
    outcome = rdsprov.apply(
        plan, build_id="16-01-26-01", run_id="12345678", audit_output=audit, on_step=seen.append
    )
    assert outcome.converged and outcome.committed and outcome.error is None
    assert tuple(seen) == outcome.steps and len(seen) == len(plan.changes)
    assert [result.step for result in outcome] == list(plan)
    assert {result.status for result in outcome} == {rdsprov.Status.SUCCESS}
    with audit.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {key: str(value) for key, value in record.to_dict().items()} for record in outcome.records
    ]
    assert rows[0]["action"] == "intent" and rows[0]["run_id"] == "12345678"
    workspace.server.sql_as("shop_owner", password("shop"), "shop", "CREATE TABLE t (id int)")

    assert rdsprov.check(definitions, **workspace.options)
    again = rdsprov.plan(definitions, **workspace.options)
    assert not again.changes
    assert rdsprov.apply(again).converged
    assert workspace.command("check", "-d", str(DEMO)).returncode == 0
    nothing_left = rdsprov.apply(plan, build_id="2")
    assert nothing_left.converged and not nothing_left.committed and not nothing_left.steps
    workspace.server.sql("ALTER ROLE shop_reader CONNECTION LIMIT 3")
    with pytest.raises(rdsprov.StalePlan) as stale:
        rdsprov.apply(plan, build_id="2")
    assert plan.digest in str(stale.value)
    everything = repr((definitions, plan, outcome, again)) + outcome.to_json() + plan.to_sql()
    assert CANARY not in everything + workspace.server.log()


def test_observed_state_gives_the_same_plan(shared_workspace: Workspace) -> None:
    definitions = given(shared_workspace)
    plan = rdsprov.plan(definitions, **shared_workspace.options)
    observed = rdsprov.observe(definitions, **shared_workspace.options)
    pure = rdsprov.diff(definitions, observed)
    assert pure == plan
    # It names the server of the observed state, and yet was not made on it.
    assert pure.server == plan.server == f"{shared_workspace.server.host}:{shared_workspace.server.port}"
    for unapplicable in (pure, pickle.loads(pickle.dumps(pure))):
        with pytest.raises(rdsprov.UsageError, match="made by `diff"):
            rdsprov.apply(unapplicable)
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert rdsprov.diff(definitions, observed.to_dict()).digest == plan.digest
    assert pickle.loads(pickle.dumps(observed)) == observed == plan.observed




def test_sentences_are_escaped(workspace: Workspace) -> None:
    """Programs print them, and the owner of a database chooses the names of its schemas."""
    definitions = given(workspace)
    rdsprov.apply(rdsprov.plan(definitions, **workspace.options))
    name = "x\x1b[2J\n::error::done ##[error]\u202e"
    owner = password("shop")
    for statement in ("CREATE SCHEMA {}", "GRANT USAGE ON SCHEMA {} TO shop_reader"):
        workspace.server.sql_as("shop_owner", owner, "shop", statement.format(f'"{name}"'))
    workspace.server.sql(f'CREATE ROLE "{name}" LOGIN')
    workspace.server.sql_as(
        "shop_owner", owner, "shop", f'GRANT CONNECT ON DATABASE shop TO "{name}"'
    )
    plan = rdsprov.plan(definitions, **workspace.options)
    results: list[rdsprov.StepResult] = []
    events: list[rdsprov.Event] = []
    outcome = rdsprov.apply(plan, on_step=results.append, on_event=events.append)
    sentences = [step.summary for step in (*plan.changes, *(one.step for one in results))]
    sentences += [one.step.summary for one in outcome.steps] + [one.message for one in events]
    for note in plan.notes:
        sentences += [note.message, *note.hints]
    assert sum("[2J" in one for one in sentences) > 3
    for one in sentences:
        assert not set("\x1b\n\u202e") & set(one) and "##[" not in one, one
    # Names are data.
    assert any(access.role == name for access in plan.undeclared_access)


def test_export(workspace: Workspace) -> None:
    definitions = given(workspace)
    rdsprov.apply(rdsprov.plan(definitions, **workspace.options))
    options = {"environment": "dev", **workspace.options}
    text = rdsprov.export(**options)
    shown = workspace.command("export", "--env", "dev").stdout

    def entries(text: str) -> str:
        return text[text.index("environment = ") :]

    # Each front end spells options in its own way.
    assert entries(text) == entries(shown)
    assert 'rdsprov.plan(...) environment="dev"' in text and "rdsprov plan --env dev" in shown
    again = rdsprov.Definitions.from_text(text)
    assert rdsprov.check(again, **workspace.options)
    toml = rdsprov.export(databases=["sho*"], exclude=["shop_reader"], format="toml", **options)
    assert "[application_databases.shop]" in toml
    assert "keycloak" not in toml and "shop_reader" not in toml
    with pytest.raises(rdsprov.UsageError, match="the formats are `tfvars` and `toml`"):
        rdsprov.export(format="json", **options)  # type: ignore[arg-type]


def timeless(report: str) -> str:
    """Returns an access report without its time."""
    return re.sub(r"\d{4}-\d\d-\d\dT[0-9:]+Z", "TIME", report)


def test_access_and_audit_reports(workspace: Workspace) -> None:
    definitions = given(workspace)
    plan = rdsprov.plan(definitions, **workspace.options)
    ledger = workspace.directory / "ledger.jsonl"
    outcome = rdsprov.apply(
        plan, audit_ledger=ledger, actor="ada", approver="grace", request_id="R-7", run_id="7"
    )
    access = rdsprov.access(definitions, **workspace.options)
    words = ["access", "-d", str(DEMO)]
    assert timeless(str(access)) == timeless(workspace.command(*words).stdout)
    json_text = workspace.command(*words, "--format", "json").stdout
    assert timeless(access.to_json() + "\n") == timeless(json_text)
    markdown = workspace.command(*words, "--format", "markdown").stdout
    assert timeless(access.to_markdown()) == timeless(markdown)
    text = workspace.command(*words, "--format", "csv").stdout
    assert timeless(access.to_csv()) == timeless(text)
    page = workspace.command(*words, "--format", "html").stdout
    assert timeless(access.to_html()) == timeless(page)
    assert "platform_admin:" in workspace.command(*words, "--all").stdout
    assert "| platform" not in access.to_markdown() and "| platform" in access.to_markdown(all=True)
    assert rdsprov.AccessReport.from_json(access.to_json()) == access
    with pytest.raises(rdsprov.UsageError, match="not an access report"):
        rdsprov.AccessReport.from_json("{}")
    assert access.changes_since(access)["changes"] == []
    asked = rdsprov.access(definitions, actor="ada", **workspace.options).to_dict()
    assert asked["actor"] == "ada" and asked["rdsprov_version"] == rdsprov.__version__
    with pytest.raises(rdsprov.Error, match="role shop_readr does not exist") as caught:
        rdsprov.access(definitions, role="shop_readr", **workspace.options)
    assert caught.value.code is rdsprov.ErrorCode.UNKNOWN_ROLE
    assert caught.value.hints == ("check the name; `shop_reader` is similar",)
    assert access.complete and repr(access) == "<AccessReport complete=True>"
    assert pickle.loads(pickle.dumps(access)) == access and hash(access) == hash(access)
    assert [one["database"] for one in access.to_dict()["databases"]] == ["keycloak", "shop"]
    narrow = rdsprov.access(definitions, database="shop", role="shop_reader", **workspace.options)
    assert narrow != access and "keycloak" not in str(narrow)
    with pytest.raises(rdsprov.Error, match="nowhere is not one of the declared and managed databases"):
        rdsprov.access(definitions, database="nowhere", **workspace.options)

    verified = rdsprov.audit.verify(ledger, expect=outcome.ledger_head)
    assert verified.is_intact and verified.since_expected == 0 and verified.runs == 1
    assert verified.head == outcome.ledger_head
    changes = rdsprov.audit.changes(ledger, role="shop_reader")
    assert changes and {change.step.role for change in changes} == {"shop_reader"}
    who = {(change.actor, change.approver, change.request_id, change.run_id) for change in changes}
    assert who == {("ada", "grace", "R-7", "7")}
    assert len(rdsprov.audit.changes(ledger)) == len(plan.changes)
    assert {(change.approval, change.defect) for change in changes} == {("not_required", None)}
    with pytest.raises(rdsprov.Error, match="contains no role `nobody`"):
        rdsprov.audit.changes(ledger, role="nobody")
    ledger.write_text(ledger.read_text().replace("shop_reader", "someone_else", 1))
    verified = rdsprov.audit.verify(ledger)
    assert not verified.is_intact
    assert {finding.error for finding in verified.findings} <= {"changed", "not_bound", "unrecorded"}
    assert all(finding.line and finding.message for finding in verified.findings)
    with pytest.raises(rdsprov.UsageError, match="cannot be read"):
        rdsprov.audit.verify(workspace.directory / "missing")


def test_audit_tables(workspace: Workspace) -> None:
    definitions = given(workspace)
    table = "rdsprov_audit.changes"
    plan = rdsprov.plan(definitions, audit_table=table, **workspace.options)
    ledger = workspace.directory / "ledger.jsonl"
    rdsprov.apply(plan, audit_ledger=ledger, actor="ada", run_id="7")
    options = {**workspace.options, "environment": "dev", "audit_table": table}
    with pytest.raises(rdsprov.UsageError, match="no audit table is named"):
        rdsprov.audit.tables(environment="dev", **workspace.options)
    report = rdsprov.audit.tables(**options)
    assert report.differences is None and report.is_consistent and report.compared_records == 0
    assert len(report.rows) == len(plan.changes) and list(report) == list(report.rows)
    assert {(row.actor, row.run_id, row.plan) for row in report} == {("ada", "7", plan.digest)}
    words = ["audit", "report", "--from-tables", "--env", "dev", "--audit-table", table]
    words += ["--audit-ledger", str(ledger)]
    compared = rdsprov.audit.tables(audit_ledger=ledger, **options)
    assert str(compared) == workspace.command(*words).stdout
    assert compared.differences == () and compared.is_consistent
    assert compared.compared_records == len(report.rows)
    assert {"postgres", "shop"} <= {one.database for one in compared.tables if one.exists}
    narrow = rdsprov.audit.tables(role="shop_reader", database="shop", **options)
    assert {(row.username, row.database) for row in narrow} == {("shop_reader", "shop")}
    with pytest.raises(rdsprov.Error, match="the audit tables contain no role `nobody`"):
        rdsprov.audit.tables(role="nobody", **options)
    with pytest.raises(rdsprov.UsageError, match="cannot be read"):
        rdsprov.audit.tables(audit_ledger=workspace.directory / "missing", **options)

    change = "UPDATE rdsprov_audit.changes SET actor = 'eve' WHERE action = 'create_role' AND username = 'shop_reader'"
    workspace.server.sql(change)
    workspace.server.sql("DELETE FROM rdsprov_audit.changes WHERE username = 'shop_reader'", "shop")
    forged = "INSERT INTO rdsprov_audit.changes SELECT now(), environment, build_id, '8', database, username, action,"
    forged += " status, duration_ms, message, plan, actor FROM rdsprov_audit.changes LIMIT 1"
    workspace.server.sql(forged)
    compared = rdsprov.audit.tables(audit_ledger=ledger, **options)
    assert compared.differences and not compared.is_consistent
    of_kind = {one.kind: one for one in compared.differences}
    assert set(of_kind) == {"row_differs", "record_without_row", "row_without_record"}
    differs = of_kind["row_differs"]
    assert differs.columns == ("actor",) and differs.actor == "ada"
    assert differs.row and differs.row.actor == "eve" and differs.line
    missing = of_kind["record_without_row"]
    assert missing.row is None and missing.step and missing.step.role == "shop_reader"
    assert missing.table_database == "shop" and missing.run_id == "7"
    extra = of_kind["row_without_record"]
    assert extra.row and extra.row.run_id == "8" and extra.announced is False and extra.step is None
    assert pickle.loads(pickle.dumps(compared)) == compared


def test_preflight(workspace: Workspace) -> None:
    definitions = given(workspace)
    report = rdsprov.preflight(definitions, **workspace.options)
    assert report.is_ready and report.environment == "dev"
    assert [check.name for check in report] == list(rdsprov.CheckName)
    shown = workspace.command("preflight", "-d", str(DEMO))
    assert timeless(shown.stdout) == timeless(str(report)) and shown.returncode == 0

    # A check that fails is no exception, and its hint is in the words of Python.
    ledger = workspace.directory / "nowhere.txt" / "ledger.jsonl"
    ledger.parent.write_text("a file")
    report = rdsprov.preflight(
        definitions, audit_ledger=ledger, lock_timeout=3, **{**workspace.options, "port": 1}
    )
    assert not report.is_ready and report.status is rdsprov.CheckStatus.FAILED
    failed = {check.name: check for check in report if check.status == "failed"}
    assert set(failed) == {rdsprov.CheckName.RECORDS, rdsprov.CheckName.PORT}
    records, port = failed[rdsprov.CheckName.RECORDS], failed[rdsprov.CheckName.PORT]
    assert records.code == "audit-file-unwritable" and "`audit_ledger=`" in " ".join(records.hints)
    assert port.code == "cannot-connect" and "`port=`" in " ".join(port.hints)
