"""Applying plans: refusals, errors, callbacks, threads, logs and signals."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import rdsprov
from conftest import CANARY, Server, Workspace, password, start_interruptible

ENTRIES = {
    "shop": {"database_name": "shop", "username": "shop_owner"},
    "reports": {"database_name": "shop", "username": "shop_reader", "access_level": "reader"},
}


def definitions(environment: str = "dev") -> rdsprov.Definitions:
    return rdsprov.Definitions.from_mapping(
        {"environment": environment, "application_databases": ENTRIES}
    )


def ready(workspace: Workspace, environment: str = "dev") -> rdsprov.Plan:
    workspace.app("shop", "shop_owner", environment)
    workspace.app("reports", "shop_reader", environment)
    return rdsprov.plan(definitions(environment), **workspace.options)


def test_approvals(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = ready(workspace, "prod")
    audit = workspace.directory / "audit.csv"
    with pytest.raises(rdsprov.ApprovalRequired, match="approval=\"true\"") as caught:
        rdsprov.apply(plan, audit_output=audit)
    assert caught.value.outcome is not None and not caught.value.outcome.committed
    assert [record.status for record in caught.value.outcome.records] == ["refused"]
    assert ",apply,refused," in audit.read_text()
    with pytest.raises(rdsprov.StalePlan, match="is stale"):
        rdsprov.apply(plan, approval="sha256:0000")
    with pytest.raises(rdsprov.ApprovalRequired, match="is not a valid approval"):
        rdsprov.apply(plan, approval="yes please")
    assert rdsprov.apply(plan, dry_run=True).records[0].status == "dry_run"
    assert workspace.server.sql("SELECT count(*) FROM pg_roles WHERE rolname ~ '^shop'") == "0"
    assert rdsprov.apply(plan, approval=plan.digest).converged
    # The hazard is allowed by name, and the approval comes from the variable that the command
    # reads.
    workspace.server.sql("ALTER ROLE shop_reader CREATEDB")
    monkeypatch.setenv("ALLOW_DB_PROVISION", "TRUE")
    plan = rdsprov.plan(definitions("prod"), **workspace.options)
    assert plan.hazards == (rdsprov.Hazard.REVOKES_ACCESS,)
    with pytest.raises(rdsprov.ApprovalRequired, match=r"`allow=\[\"revokes_access\"\]`"):
        rdsprov.apply(plan)
    assert rdsprov.apply(plan, allow=plan.hazards).converged


def test_refusals(workspace: Workspace) -> None:
    workspace.server.sql("CREATE ROLE shop_owner LOGIN")
    plan = ready(workspace)
    assert [refusal.application for refusal in plan.refusals] == ["shop"]
    refusal = plan.refusals[0]
    assert refusal.code is rdsprov.RefusalCode.ROLE_NOT_MANAGED
    assert "adopt = true" in refusal.hint and refusal.message in str(plan)
    with pytest.raises(rdsprov.PlanRefused) as caught:
        rdsprov.apply(plan, run_id="7")
    assert caught.value.refusals == plan.refusals
    assert caught.value.outcome and caught.value.outcome.records[0].run_id == "7"
    with pytest.raises(rdsprov.PlanRefused) as caught:
        rdsprov.check(definitions(), **workspace.options)
    assert caught.value.refusals == plan.refusals
    assert pickle.loads(pickle.dumps(caught.value)).refusals == plan.refusals


def test_notes_about_drift(workspace: Workspace) -> None:
    ledger = workspace.directory / "ledger.jsonl"
    assert rdsprov.apply(ready(workspace), build_id="17", audit_ledger=ledger).converged
    workspace.server.sql("ALTER ROLE shop_reader CONNECTION LIMIT 3")
    options = workspace.options
    assert not rdsprov.plan(definitions(), **options).notes
    plan = rdsprov.plan(definitions(), audit_ledger=ledger, **options)
    assert [note.code for note in plan.notes] == [rdsprov.NoteCode.DRIFT]
    assert "build 17 of " in str(plan)
    # Also in another process, which has no ledger.
    text = pickle.dumps(plan)
    ledger.unlink()
    assert pickle.loads(text) == plan
    assert rdsprov.apply(pickle.loads(text)).converged


def test_additive_plans(workspace: Workspace) -> None:
    rdsprov.apply(ready(workspace))
    workspace.server.sql("ALTER ROLE shop_reader CREATEDB NOINHERIT")
    options = workspace.options
    plan = rdsprov.plan(definitions(), additive=True, **options)
    assert [step.summary for step in plan.changes] == ["role shop_reader: INHERIT"]
    assert [step.summary for step in plan.pending] == ["role shop_reader: NOCREATEDB"]
    assert "additions only" in str(plan) and plan.to_dict()["pending"]
    plan.save(workspace.directory / "plan.json")
    saved = rdsprov.Plan.from_file(workspace.directory / "plan.json", definitions(), **options)
    assert saved.pending == plan.pending and saved.digest == plan.digest
    assert rdsprov.apply(pickle.loads(pickle.dumps(plan))).converged
    created = "SELECT rolcreatedb::text || rolinherit FROM pg_roles WHERE rolname = 'shop_reader'"
    assert workspace.server.sql(created) == "truetrue"
    again = rdsprov.plan(definitions(), additive=True, **options)
    assert not again.changes and "1 change is pending" in again.summary
    assert not rdsprov.check(definitions(), **options)
    assert rdsprov.apply(rdsprov.plan(definitions(), **options)).converged
    assert workspace.server.sql(created) == "falsetrue"


def test_scopes(workspace: Workspace) -> None:
    rdsprov.apply(ready(workspace))
    entry = {"database_name": "wiki", "username": "wiki_owner"}
    mapping = {"environment": "dev", "scope": "wiki", "application_databases": {"wiki": entry}}
    wiki = rdsprov.Definitions.from_mapping(mapping)
    assert wiki.scope == "wiki" and definitions().scope is None
    workspace.app("wiki", "wiki_owner")
    plan = rdsprov.plan(wiki, **workspace.options)
    assert plan.scope == "wiki" and plan.orphaned == () and plan.in_other_scopes == 3


def test_selected_applications(workspace: Workspace) -> None:
    workspace.app("shop", "shop_owner")
    options = workspace.options
    reader = rdsprov.plan(definitions(), only=["reports"], **options)
    assert rdsprov.RefusalCode.APPLICATION_NOT_SELECTED in [one.code for one in reader.refusals]
    owner = rdsprov.plan(definitions(), only=["shop"], **options)
    assert owner.only == ("shop",) and not owner.refusals
    assert "only for application shop" in str(owner)
    assert rdsprov.apply(pickle.loads(pickle.dumps(owner))).converged
    assert rdsprov.check(definitions(), only=["shop"], **options)
    assert rdsprov.check(definitions(), only=["shop"], fail_on=["orphaned", "undeclared"], **options)
    with pytest.raises(rdsprov.UsageError, match="unknown finding"):
        rdsprov.check(definitions(), only=["shop"], fail_on=["orphan"], **options)  # type: ignore[list-item]
    with pytest.raises(rdsprov.PlanRefused, match="goldenpath/dev/reports/postgres"):
        rdsprov.check(definitions(), **options)
    workspace.app("reports", "shop_reader")
    assert not rdsprov.check(definitions(), only=["reports"], **options)
    assert workspace.server.sql("SELECT count(*) FROM pg_roles WHERE rolname ~ '^shop'") == "1"


def test_stale_plans(workspace: Workspace) -> None:
    plan = ready(workspace)
    workspace.server.sql("CREATE ROLE shop_reader LOGIN")
    with pytest.raises(rdsprov.PlanRefused):
        rdsprov.apply(plan)
    workspace.server.sql("DROP ROLE shop_reader")
    workspace.app("shop", "shop_owner")
    assert rdsprov.apply(pickle.loads(pickle.dumps(plan))).converged
    workspace.server.sql("ALTER ROLE shop_reader CONNECTION LIMIT 3")
    limited = rdsprov.plan(definitions(), **workspace.options)
    workspace.server.sql("ALTER ROLE shop_reader CONNECTION LIMIT 4")
    with pytest.raises(rdsprov.StalePlan) as caught:
        rdsprov.apply(limited)
    assert caught.value.outcome and not caught.value.outcome.committed


def test_failing_statement(workspace: Workspace) -> None:
    plan = ready(workspace)
    workspace.server.sql(
        """CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'DDL is not allowed'; END $$""",
        "template1",
    )
    trigger = "CREATE EVENT TRIGGER no ON ddl_command_start EXECUTE FUNCTION refuse()"
    workspace.server.sql(trigger, "template1")
    with pytest.raises(rdsprov.ApplyError, match="DDL is not allowed") as caught:
        rdsprov.apply(plan)
    outcome = caught.value.outcome
    assert outcome and outcome.committed and not outcome.converged
    assert {result.status for result in outcome} >= {"success", "error"}
    assert any("DDL is not allowed" in (result.error or "") for result in outcome)
    assert pickle.loads(pickle.dumps(caught.value)).outcome == outcome


def test_unwritable_records(shared_workspace: Workspace) -> None:
    plan = ready(shared_workspace)
    with pytest.raises(rdsprov.ApplyError, match="cannot be written"):
        rdsprov.apply(plan, audit_output="/proc/none/audit.csv")
    count = "SELECT count(*) FROM pg_roles WHERE rolname ~ '^shop'"
    assert shared_workspace.server.sql(count) == "0"


def test_unreachable_server(shared_workspace: Workspace) -> None:
    ready(shared_workspace)
    for wrong in ({"port": 9}, {"host": "127.0.0.2", "port": 9}, {"ca_file": "/missing.pem"}):
        with pytest.raises(rdsprov.ConnectError):
            rdsprov.plan(definitions(), **{**shared_workspace.options, **wrong})
    with pytest.raises(rdsprov.ConnectError):
        verified = {**shared_workspace.options, "tls": "verify-full", "ca_file": "system"}
        rdsprov.observe(definitions(), **verified)


def test_missing_secrets(shared_workspace: Workspace) -> None:
    with pytest.raises(rdsprov.SecretError, match="missing/secret"):
        rdsprov.plan(definitions(), admin_secret="missing/secret", **shared_workspace.options)
    plan = rdsprov.plan(definitions(), **shared_workspace.options)
    assert ["goldenpath/dev/" in refusal.message for refusal in plan.refusals] == [True, True]


def test_connect_to(shared_workspace: Workspace) -> None:
    ready(shared_workspace)
    server, options = shared_workspace.server, shared_workspace.options
    # Nothing listens at the port of the secret, as with a tunnel to the server.
    shared_workspace.secret("goldenpath/dev/rds/master", {**server.admin, "port": 9})
    with pytest.raises(rdsprov.ConnectError, match="refused"):
        rdsprov.plan(definitions(), **options)
    there = f"127.0.0.1:{server.port}"
    plan = rdsprov.plan(definitions(), connect_to=there, **options)
    assert not plan.refusals and there in str(plan)
    assert pickle.loads(pickle.dumps(plan)).digest == plan.digest
    assert rdsprov.observe(definitions(), connect_to=there, **options)
    config = shared_workspace.directory / "rdsprov.toml"
    config.write_text(f'connect_to = "{there}"\n')
    assert rdsprov.plan(definitions(), config=config, **options).digest == plan.digest
    # TLS still verifies the host.
    with pytest.raises(rdsprov.ConnectError, match="db.internal.invalid"):
        rdsprov.check(definitions(), host="db.internal.invalid", connect_to=there, **options)
    with pytest.raises(rdsprov.UsageError, match="connect_to: "):
        rdsprov.plan(definitions(), connect_to="two words", **options)


def test_adopt_from(workspace: Workspace) -> None:
    assert rdsprov.apply(ready(workspace, "prod"), approval="true").converged
    refused = ready(workspace)
    codes = {refusal.code for refusal in refused.refusals}
    assert rdsprov.RefusalCode.ROLE_OF_OTHER_ENVIRONMENT in codes
    assert any('adopt_from="prod"' in str(refusal.hint) for refusal in refused.refusals)
    hazard = rdsprov.Hazard.ADOPTS_FROM_ENVIRONMENT
    options = {**workspace.options, "adopt_from": "prod"}
    plan = rdsprov.plan(definitions(), **options)
    assert not plan.refusals and hazard in plan.hazards
    observed = rdsprov.observe(definitions(), **workspace.options)
    offline = rdsprov.diff(definitions(), observed, adopt_from="prod")
    assert hazard in offline.hazards
    with pytest.raises(rdsprov.ApprovalRequired, match="adopts_from_environment"):
        rdsprov.apply(plan)
    assert rdsprov.apply(plan, allow=[hazard]).converged
    assert rdsprov.check(definitions(), **workspace.options)


def test_adopt_from_the_own_environment(shared_workspace: Workspace) -> None:
    ready(shared_workspace)
    options = shared_workspace.options
    observed = rdsprov.observe(definitions(), **options)
    for call in (
        lambda: rdsprov.plan(definitions(), adopt_from="dev", **options),
        lambda: rdsprov.check(definitions(), adopt_from="dev", **options),
        lambda: rdsprov.diff(definitions(), observed, adopt_from="dev"),
    ):
        with pytest.raises(rdsprov.UsageError, match="cannot be taken over into itself") as caught:
            call()
        assert "`adopt_from=`" in str(caught.value)


@pytest.mark.parametrize(
    "wrong, kind, message",
    [
        ({"secrets": "source"}, rdsprov.UsageError, "secrets: the sources of secrets are"),
        ({"secrets": "file:/missing"}, rdsprov.UsageError, "does not exist"),
        ({"secrets": 7}, TypeError, "a callable"),
        ({"tls": "maybe"}, rdsprov.UsageError, "tls: the modes are"),
        ({"verify_passwords": "x"}, rdsprov.UsageError, "verify_passwords: the values are"),
        ({"admin_auth": "x"}, rdsprov.UsageError, "admin_auth: the values are"),
        ({"admin_auth": "iam"}, rdsprov.UsageError, "an IAM token requires a user name"),
        ({"admin_user": "x"}, rdsprov.UsageError, "`admin_user=`"),
        ({"allow": ["everything"]}, rdsprov.UsageError, "the hazards are"),
        ({"allow": "revokes_access"}, TypeError, "allow must be a list"),
        ({"adopt": ["unknown"]}, rdsprov.UsageError, "application `unknown` is not declared"),
        ({"only": ["shp"]}, rdsprov.UsageError, "application `shp` is not declared"),
        ({"only": "shop"}, TypeError, "only must be a list"),
        ({"environment": "prod"}, rdsprov.DefinitionError, "the definitions are for `dev`"),
        ({"port": "x"}, TypeError, "port"),
        ({"host": 7}, TypeError, "host"),
        ({"client_cert": "x"}, rdsprov.UsageError, "`client_cert=` and `client_key=`"),
        ({"nothing_of_ours": 1}, TypeError, "nothing_of_ours"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_invalid_options(
    wrong: dict[str, Any], kind: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=message):
        rdsprov.plan(definitions(), **{"secrets": f"file:{tmp_path}", **wrong})


def test_environment_variables(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    ready(workspace)
    for name, value in {
        "RDSPROV_SECRETS": f"file:{workspace.directory}",
        "RDSPROV_CA_FILE": workspace.server.ca_file,
        "RDSPROV_ENV": "dev",
        "RDSPROV_REGION": "",
        "RDSPROV_RUN_ID": "from-a-variable",
        "RDSPROV_PORT": str(workspace.server.port),
    }.items():
        monkeypatch.setenv(name, value)
    nowhere = rdsprov.Definitions.from_mapping({"application_databases": ENTRIES})
    outcome = rdsprov.apply(rdsprov.plan(nowhere))
    assert (outcome.run_id, outcome.environment) == ("from-a-variable", "dev")
    monkeypatch.setenv("RDSPROV_PORT", "x")
    with pytest.raises(rdsprov.UsageError, match="RDSPROV_PORT"):
        rdsprov.plan(nowhere)


class RecordingSecrets:
    """A callable secret source that records its calls."""

    def __init__(self, workspace: Workspace) -> None:
        self.requested: list[str] = []
        self.thread: set[int] = set()
        self.secrets: dict[str, Mapping[str, Any]] = {
            "goldenpath/dev/rds/master": workspace.server.admin,
            "goldenpath/dev/shop/postgres": {"password": password("shop")},
            "goldenpath/dev/reports/postgres": {"password": password("reports")},
        }

    def __call__(self, secret_id: str) -> Mapping[str, Any]:
        self.requested.append(secret_id)
        self.thread.add(threading.get_ident())
        return self.secrets[secret_id]


def test_callable_secret_source(workspace: Workspace) -> None:
    source = RecordingSecrets(workspace)
    plan = rdsprov.plan(definitions(), secrets=source, ca_file=workspace.server.ca_file)
    assert sorted(source.requested) == sorted(source.secrets)
    assert source.thread == {threading.get_ident()}
    assert rdsprov.apply(plan).converged
    workspace.server.sql_as("shop_owner", password("shop"), "shop", "SELECT 1")
    assert CANARY not in repr(plan) + plan.to_json() + workspace.server.log()


def test_secrets_of_alternating_users(workspace: Workspace) -> None:
    source = RecordingSecrets(workspace)
    options: dict[str, Any] = {"secrets": source, "ca_file": workspace.server.ca_file}
    rdsprov.apply(rdsprov.plan(definitions(), **options))
    of_clone = password("clone")
    workspace.server.script(
        f"""SET SESSION AUTHORIZATION platform_admin;
        CREATE ROLE shop_owner_clone LOGIN PASSWORD '{of_clone}';
        GRANT shop_owner TO shop_owner_clone"""
    )
    secret = {"username": "shop_owner_clone", "password": of_clone}
    source.secrets["goldenpath/dev/shop/postgres"] = secret
    refusals = rdsprov.plan(definitions(), **options).refusals
    assert [refusal.code.value for refusal in refusals] == ["secret-username-differs"]
    source.secrets["goldenpath/dev/shop/postgres"] = {**secret, "masterarn": "arn:aws:x"}
    plan = rdsprov.plan(definitions(), **options)
    assert plan.changes and not plan.refusals
    assert all("of shop_owner_clone in schema" in step.summary for step in plan.changes)
    # The observed state contains the clone, so that the plan is the same without the secret.
    assert pickle.loads(pickle.dumps(plan)).digest == plan.digest
    assert rdsprov.apply(plan).converged
    assert not rdsprov.plan(definitions(), **options).changes
    workspace.server.sql_as("shop_owner_clone", of_clone, "shop", "CREATE TABLE t ()")
    workspace.server.sql_as("shop_reader", password("reports"), "shop", "SELECT FROM t")


def test_secret_source_that_raises(shared_workspace: Workspace) -> None:
    class Sealed(Exception):
        pass

    def sealed(secret_id: str) -> Mapping[str, Any]:
        raise Sealed(secret_id)

    with pytest.raises(Sealed) as caught:
        rdsprov.plan(definitions(), secrets=sealed)
    assert "in sealed" in "".join(traceback.format_exception(caught.type, caught.value, caught.tb))
    source = RecordingSecrets(shared_workspace)
    del source.secrets["goldenpath/dev/shop/postgres"]
    with pytest.raises(KeyError):
        rdsprov.check(definitions(), secrets=source, ca_file=shared_workspace.server.ca_file)


def test_secret_source_with_wrong_type() -> None:
    for wrong in (b"bytes", password("x").encode(), object()):
        with pytest.raises(TypeError, match="has to return a mapping") as caught:
            rdsprov.plan(definitions(), secrets=lambda _: wrong)  # type: ignore[arg-type]
        assert CANARY not in str(caught.value)
    with pytest.raises(TypeError) as caught:
        rdsprov.plan(definitions(), secrets=lambda _: {"password": password("x").encode()})
    assert CANARY not in str(caught.value)


def test_content_of_a_secret_is_no_exception(shared_workspace: Workspace) -> None:
    """Who writes a secret must not end the run for all others."""
    for wrong in (None, password("x"), [password("x")], 1.5):
        with pytest.raises(rdsprov.SecretError, match="is not a JSON object") as caught:
            rdsprov.plan(definitions(), secrets=lambda _: wrong)  # type: ignore[arg-type]
        assert CANARY not in str(caught.value)
    nested: list[Any] = []
    for _ in range(900):
        nested = [nested]
    ignored = {"note": "\ud800", "\ud800": 1, "number": 10**30, "nested": nested}
    source = RecordingSecrets(shared_workspace)
    source.secrets["goldenpath/dev/shop/postgres"] = {"password": password("shop"), **ignored}
    values: list[Any] = [password("x") + "\ud800", float("nan"), 10**30, nested, {}]
    for value in values:
        source.secrets["goldenpath/dev/reports/postgres"] = {"password": value}
        plan = rdsprov.plan(
            definitions(), secrets=source, ca_file=shared_workspace.server.ca_file
        )
        assert [refusal.application for refusal in plan.refusals] == ["reports"]
        assert plan.refusals[0].code is rdsprov.RefusalCode.SECRET_UNAVAILABLE
        assert "secret goldenpath/dev/reports/postgres" in plan.refusals[0].message
        assert CANARY not in str(plan)
    with pytest.raises(rdsprov.SecretError, match="has no key `password`"):
        rdsprov.plan(definitions(), secrets=lambda _: {"passwort": password("x")})


def test_a_callback_that_raises(workspace: Workspace) -> None:
    plan = ready(workspace)

    def enough(result: rdsprov.StepResult) -> None:
        raise LookupError(result.step.summary)

    with pytest.raises(LookupError) as caught:
        rdsprov.apply(plan, on_step=enough)
    became = caught.value.__context__
    assert isinstance(became, rdsprov.ApplyError) and became.outcome
    assert became.outcome.committed and not became.outcome.converged
    assert not rdsprov.check(definitions(), **workspace.options)
    assert rdsprov.apply(rdsprov.plan(definitions(), **workspace.options)).converged


def test_a_callback_that_calls(workspace: Workspace) -> None:
    plan = ready(workspace)
    seen: list[bool] = []
    outcome = rdsprov.apply(
        plan, on_step=lambda _: seen.append(rdsprov.check(definitions(), **workspace.options))
    )
    assert outcome.converged and seen and not seen[0]


def test_threads(workspace: Workspace) -> None:
    expected = ready(workspace)
    with ThreadPoolExecutor(6) as pool:
        options = workspace.options
        plans = list(pool.map(lambda _: rdsprov.plan(definitions(), **options), range(12)))
    assert {plan.digest for plan in plans} == {expected.digest}
    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(rdsprov.apply, expected) for _ in range(3)]
        results = [run.exception() for run in runs]
    # The first run applies the plan, and nothing is left for the others.
    assert results.count(None) == 3
    assert sum(run.result().committed for run in runs) == 1


def test_the_gil_is_free_while_waiting(shared_workspace: Workspace) -> None:
    ready(shared_workspace)
    ticks = 0
    done = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not done.is_set():
            ticks += 1
            time.sleep(0.001)

    other = threading.Thread(target=tick)
    other.start()
    started = time.monotonic()
    rdsprov.plan(definitions(), **shared_workspace.options)
    elapsed = time.monotonic() - started
    done.set()
    other.join()
    assert ticks > 3, f"the other thread ran {ticks} times in {elapsed} s"


def test_inside_a_running_loop(workspace: Workspace) -> None:
    plan = ready(workspace)

    async def both() -> tuple[rdsprov.Plan, rdsprov.Outcome]:
        here = rdsprov.plan(definitions(), **workspace.options)
        loop = asyncio.get_running_loop()
        return here, await loop.run_in_executor(None, rdsprov.apply, plan)

    here, outcome = asyncio.run(both())
    assert here == plan and outcome.converged


def test_after_a_fork(shared_workspace: Workspace) -> None:
    ready(shared_workspace)
    for _ in range(2):
        child = os.fork()
        if child == 0:
            try:
                plan = rdsprov.plan(definitions(), **shared_workspace.options)
                os._exit(0 if plan.changes else 1)
            except BaseException:
                traceback.print_exc()
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        # The parent has used the module now, and its next child can use it as well.
        rdsprov.plan(definitions(), **shared_workspace.options)


def test_the_log(workspace: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    plan = ready(workspace)
    with caplog.at_level(logging.DEBUG, logger="rdsprov"):
        with hold_lock(workspace.server):
            run = threading.Thread(target=rdsprov.apply, args=(plan,))
            run.start()
            wait_until(lambda: "holds the lock" in caplog.text)
        run.join()
    messages = [(record.name, record.levelname) for record in caplog.records]
    assert ("rdsprov", "WARNING") in messages
    assert all(record.name.startswith("rdsprov") for record in caplog.records)
    assert CANARY not in caplog.text


def test_log_handler_that_raises(workspace: Workspace) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("no space left on device")

    plan = ready(workspace)
    logger = logging.getLogger("rdsprov")
    handler = Broken()
    logger.addHandler(handler)
    try:
        with hold_lock(workspace.server), pytest.raises(OSError, match="no space left"):
            rdsprov.apply(plan)
    finally:
        logger.removeHandler(handler)


class Session:
    """Another session, of the administrator by default. It prints `there` when it is."""

    def __init__(
        self, server: Server, database: str, sql: str, login: Mapping[str, Any] | None = None
    ) -> None:
        self.server, self.database, self.sql = server, database, sql
        self.login = login or server.admin

    def __enter__(self) -> None:
        self.psql = subprocess.Popen(
            ["psql", "-X", "-q", "-At", "-h", self.server.host, "-p", str(self.server.port)]
            + ["-U", str(self.login["username"]), "-d", self.database],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PGPASSWORD": str(self.login["password"]),
                "PGSSLMODE": "verify-full",
                "PGSSLROOTCERT": self.server.ca_file,
            },
        )
        assert self.psql.stdin and self.psql.stdout
        self.psql.stdin.write(f"{self.sql};\n")
        self.psql.stdin.flush()
        assert self.psql.stdout.readline() == "there\n"

    def __exit__(self, *_: object) -> None:
        assert self.psql.stdin and self.psql.stdout
        self.psql.stdin.close()
        self.psql.wait()
        self.psql.stdout.close()


def hold_lock(server: Server) -> Session:
    """Holds the advisory lock that serialises runs."""
    key = int.from_bytes(b"rdsp", "big")
    return Session(server, "postgres", f"SELECT 'there' FROM pg_advisory_lock({key}, 7)")


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "the condition never became true"
        time.sleep(0.02)


INTERRUPTED = """
import sys, traceback, rdsprov
directory, ca_file = sys.argv[1:3]
definitions = rdsprov.Definitions.from_path(directory + "/own.json")
plan = rdsprov.plan(definitions, secrets="file:" + directory, ca_file=ca_file)
print("planned", flush=True)
try:
    rdsprov.apply(plan, audit_output=directory + "/audit.csv")
except KeyboardInterrupt as error:
    became = error.__context__
    assert isinstance(became, rdsprov.ApplyError), became
    print("interrupted", became.outcome.committed, became, flush=True)
"""


def interrupt_apply(workspace: Workspace, condition: str) -> str:
    """Sends SIGINT to an apply once `condition` holds on the server. Returns its output."""
    own = {"environment": "dev", "application_databases": ENTRIES}
    (workspace.directory / "own.json").write_text(json.dumps(own))
    program = start_interruptible(
        sys.executable, "-c", INTERRUPTED, workspace.directory, workspace.server.ca_file
    )
    assert program.stdout and program.stdout.readline() == "planned\n"
    wait_until(lambda: workspace.server.sql(f"SELECT EXISTS (SELECT FROM {condition})") == "t")
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=30)
    assert program.returncode == 0, err
    assert "stopped by a signal" in (workspace.directory / "audit.csv").read_text()
    return out


def test_ctrl_c_while_waiting(workspace: Workspace) -> None:
    ready(workspace)
    with hold_lock(workspace.server):
        waiting = "application_name LIKE 'rdsprov %@%' AND query ~ 'pg_locks'"
        output = interrupt_apply(workspace, f"pg_stat_activity WHERE {waiting}")
    assert output.startswith("interrupted False"), output
    assert "nothing was changed" in output
    assert rdsprov.apply(rdsprov.plan(definitions(), **workspace.options)).converged


def test_ctrl_c_during_changes(workspace: Workspace) -> None:
    ready(workspace)
    # CREATE DATABASE waits for the lock, and no statement before it does.
    lock = "BEGIN; COMMENT ON DATABASE template1 IS 'locked'; SELECT 'there'"
    with Session(workspace.server, "postgres", lock):
        output = interrupt_apply(workspace, "pg_roles WHERE rolname = 'shop_owner'")
    assert output.startswith("interrupted True"), output
    assert "committed changes are kept" in output
    assert rdsprov.apply(rdsprov.plan(definitions(), **workspace.options)).converged


def test_ctrl_c_while_connecting(shared_workspace: Workspace) -> None:
    ready(shared_workspace)
    with socket.create_server(("localhost", 0)) as silent:
        program = start_interruptible(
            sys.executable, "-c", SILENT, shared_workspace.directory, silent.getsockname()[1]
        )
        connection, _ = silent.accept()
        with connection:
            program.send_signal(signal.SIGINT)
            out, err = program.communicate(timeout=30)
    assert out == "interrupted\n", err


SILENT = """
import sys, rdsprov
definitions = rdsprov.Definitions.from_mapping({"environment": "dev", "application_databases": {}})
try:
    rdsprov.plan(definitions, secrets="file:" + sys.argv[1], port=int(sys.argv[2]))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
