"""The module with Secrets Manager, the command, the examples and the README, and its import."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import rdsprov
from conftest import CANARY, COMMAND, ROOT, TESTDATA, Server, Workspace, password, versions

DEMO = TESTDATA / "demo" / "terraform.tfvars"
USERS = {"shop": "shop_owner", "shop_reports": "shop_reader", "keycloak": "keycloak_user"}


@pytest.fixture(scope="module")
def manager() -> Iterator[Server]:
    """A server with a Secrets Manager."""
    server = Server(versions()[0], secrets=True)
    server.put("goldenpath/dev/rds/master", server.admin)
    for application, user in USERS.items():
        secret = {"username": user, "password": password(application)}
        server.put(f"goldenpath/dev/{application}/postgres", secret)
    yield server
    server.stop()


def run(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def python_of_the_readme() -> str:
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert len(blocks) == 1
    return str(blocks[0])


@pytest.mark.xdist_group("secrets manager")
def test_readme_example(manager: Server, tmp_path: Path) -> None:
    (tmp_path / "envs/dev-rds").mkdir(parents=True)
    (tmp_path / "envs/dev-rds/terraform.tfvars").write_text(DEMO.read_text())
    program = tmp_path / "readme.py"
    program.write_text(python_of_the_readme())
    done = subprocess.run(
        [sys.executable, program],
        cwd=tmp_path,
        env={**os.environ, **manager.environment, "RDSPROV_CA_FILE": manager.ca_file},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "shop_reports shop shop_reader reader" in done.stdout
    assert "Plan for environment dev" in done.stdout and "sha256:" in done.stdout
    assert "create_database" in (tmp_path / "audit.csv").read_text()
    manager.sql_as("shop_owner", password("shop"), "shop", "SELECT 1")
    assert CANARY not in done.stdout + done.stderr


@pytest.mark.xdist_group("secrets manager")
def test_secret_versions_give_the_digest_of_the_command(
    manager: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in manager.environment.items():
        monkeypatch.setenv(name, value)
    manager.put("goldenpath/dev/shop/postgres", {"password": password("shop") + "-new"})
    plan = rdsprov.plan(rdsprov.Definitions.from_path(DEMO), ca_file=manager.ca_file)
    theirs = run(COMMAND, "plan", "-d", DEMO, "--ca-file", manager.ca_file)
    # Each front end spells options in its own way.
    assert str(plan).replace("(`ca_file=`)", "(--ca-file)") == theirs.stdout
    with pytest.raises(rdsprov.SecretError, match="the AWS region is not known"):
        monkeypatch.delenv("AWS_REGION")
        nowhere = rdsprov.Definitions.from_mapping(
            {"environment": "dev", "application_databases": {}}
        )
        rdsprov.plan(nowhere)


@pytest.mark.parametrize("words", [["--version"], ["--version", "--verbose"], ["apply", "--help"], []])
def test_packaged_command_equals_the_command(words: list[str]) -> None:
    theirs = run(COMMAND, *words)
    ours = run(sys.executable, "-m", "rdsprov", *words)
    assert (ours.returncode, ours.stdout, ours.stderr) == (
        theirs.returncode,
        theirs.stdout,
        theirs.stderr,
    )
    assert ours.stdout or ours.stderr


def test_packaged_command_applies_definitions(workspace: Workspace) -> None:
    for application, user in USERS.items():
        workspace.app(application, user)
    secrets = f"file:{workspace.directory}"
    given = ["--secrets", secrets, "--ca-file", workspace.server.ca_file, "-d", DEMO]
    rdsprov_ = [sys.executable, "-m", "rdsprov"]
    assert run(*rdsprov_, "check", *given).returncode == 2
    done = run(*rdsprov_, "apply", *given)
    assert done.returncode == 0 and "create_database,success" in done.stdout, done.stderr
    assert run(*rdsprov_, "check", *given).returncode == 0


def test_example_provision(workspace: Workspace) -> None:
    for application, user in USERS.items():
        workspace.app(application, user)
    script = [sys.executable, ROOT / "examples/python/provision.py", "--tfvars", DEMO]
    there = {
        "RDSPROV_SECRETS": f"file:{workspace.directory}",
        "RDSPROV_CA_FILE": workspace.server.ca_file,
    }
    audit = workspace.directory / "records/audit.csv"
    words = [*script, "--env", "dev", "--master-secret", "goldenpath/dev/rds/master"]
    words += ["--build-id", "16-01-26-01", "--run-id", "7", "--audit-output", audit]
    dry = run(*words, "--dry-run", **there)
    assert dry.returncode == 0 and "audit summary: 13 dry_run" in dry.stdout, dry.stderr
    done = run(*words, **there)
    assert done.returncode == 0, done.stderr
    assert "success: database shop: owner shop_owner" in done.stdout
    assert "audit summary: 1 intent, 13 success" in done.stdout
    again = run(*words, **there)
    assert "Nothing to do" in again.stdout and "audit summary: 8 no_change" in again.stdout
    assert "16-01-26-01,7,,shop_owner,create_role,success" in audit.read_text()
    other = run(*script, "--env", "prod", **there)
    assert other.returncode == 1 and "the definitions are for `dev`" in other.stderr
    workspace.server.sql("ALTER ROLE shop_owner SUPERUSER")
    refused = run(*words, **there)
    assert refused.returncode == 3 and "audit summary: 1 refused" in refused.stdout


def test_example_request(shared_workspace: Workspace) -> None:
    for application, user in (("shop", "shop_owner"), ("reports", "shop_reader")):
        shared_workspace.app(application, user)
    script = [sys.executable, ROOT / "examples/python/request.py"]
    request = shared_workspace.directory / "request.yaml"
    request.write_text(
        "environment: dev\nrequests:\n"
        "  - {application: shop, database: shop, user: shop_owner}\n"
        "  - {application: reports, database: shop, user: shop_reader, access_level: reader}\n"
    )
    shown = run(
        *script,
        request,
        RDSPROV_SECRETS=f"file:{shared_workspace.directory}",
        RDSPROV_CA_FILE=shared_workspace.server.ca_file,
    )
    assert shown.returncode == 0, shown.stderr
    assert "+ create role shop_reader: LOGIN" in shown.stdout
    sys.path.insert(0, str(ROOT / "examples/python"))
    import request as parser

    observed = rdsprov.observe(parser.parse(request.read_text()), **shared_workspace.options)
    server = shared_workspace.directory / "server.json"
    server.write_text(observed.to_json())
    # The observed state says that an option named the CA file.
    pure = run(*script, request, "--observed", server).stdout
    assert pure.replace("(`ca_file=`)", "(RDSPROV_CA_FILE)") == shown.stdout
    request.write_text("environment: dev\nrequests: [{application: shop}]\n")
    wrong = run(*script, request)
    assert wrong.returncode == 1 and "incomplete: 'database'" in wrong.stderr
    request.write_text(
        "environment: dev\nrequests: [{application: a, database: pg, user: pg_x}]\n"
    )
    wrong = run(*script, request)
    assert wrong.returncode == 1 and "reserved by PostgreSQL" in wrong.stderr


def test_import_starts_no_thread() -> None:
    done = run(sys.executable, "-c", "import os, rdsprov; print(os.listdir('/proc/self/task'))")
    assert done.stdout.count(",") == 0 and done.stdout.startswith("["), done
