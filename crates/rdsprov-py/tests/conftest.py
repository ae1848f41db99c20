"""Fixtures: servers of the project's test kit that resemble RDS, with their secrets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
TESTDATA = ROOT / "testdata"
COMMAND = ROOT / "target" / "debug" / "rdsprov"

#: A part of every test password, which no output may contain.
CANARY = "Canary-"


def password(application: str) -> str:
    return f"{CANARY}{application}-5b1e"


class Server:
    """A server, with a Secrets Manager if requested."""

    def __init__(self, major: int, secrets: bool = False) -> None:
        arguments = [str(ROOT / "target/debug/xtask"), "pg", "start", "--json"]
        arguments += ["--version", str(major), *(["--secrets"] if secrets else [])]
        self._process = subprocess.Popen(
            arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdin and self._process.stdout
        self._in: IO[str] = self._process.stdin
        self._out: IO[str] = self._process.stdout
        started = json.loads(self._out.readline())
        self.major = major
        self.host: str = started["host"]
        self.port: int = started["port"]
        self.ca_file: str = started["ca_file"]
        self.admin: Mapping[str, Any] = json.loads(started["admin_secret"])
        self.environment: Mapping[str, str] = started["environment"]

    def _request(self, command: str, **arguments: str) -> str:
        self._in.write(json.dumps({"command": command, **arguments}) + "\n")
        self._in.flush()
        answer = json.loads(self._out.readline())
        if "error" in answer:
            raise AssertionError(answer["error"])
        text = answer["ok"]
        assert isinstance(text, str)
        return text

    def sql(self, sql: str, database: str = "postgres") -> str:
        return self._request("sql", database=database, sql=sql).strip()

    def sql_as(self, role: str, password: str, database: str, sql: str) -> str:
        return self._request("sql_as", role=role, password=password, database=database, sql=sql)

    def script(self, sql: str) -> None:
        self._request("script", sql=sql)

    def put(self, secret_id: str, secret: Mapping[str, Any]) -> None:
        self._request("put", id=secret_id, secret=json.dumps(secret))

    def log(self) -> str:
        return self._request("log")

    def stop(self) -> None:
        self._in.close()
        self._process.wait()
        self._out.close()


class Workspace:
    """A server with secrets in a directory, and the options for both."""

    def __init__(self, server: Server, directory: Path) -> None:
        self.server = server
        self.directory = directory
        for environment in ("dev", "prod"):
            self.secret(f"goldenpath/{environment}/rds/master", server.admin)

    def secret(self, secret_id: str, secret: Mapping[str, Any]) -> None:
        path = self.directory / f"{secret_id}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(secret))

    def app(self, application: str, username: str, environment: str = "dev") -> None:
        secret = {"username": username, "password": password(application)}
        self.secret(f"goldenpath/{environment}/{application}/postgres", secret)

    @property
    def options(self) -> dict[str, Any]:
        return {"secrets": f"file:{self.directory}", "ca_file": self.server.ca_file}

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs the command with the same secrets and certificate."""
        words = [str(COMMAND), *arguments]
        if arguments[0] != "validate":
            words += ["--secrets", f"file:{self.directory}", "--ca-file", self.server.ca_file]
        environment = {k: v for k, v in os.environ.items() if k != "ALLOW_DB_PROVISION"}
        return subprocess.run(
            words, cwd=self.directory, env=environment, capture_output=True, text=True
        )


def start_interruptible(*arguments: object) -> subprocess.Popen[str]:
    """Starts a program that SIGINT interrupts, even if this process ignores the signal.

    A shell starts background jobs with SIGINT ignored. Child processes inherit that, and Python
    then raises no `KeyboardInterrupt`.
    """
    return subprocess.Popen(
        [str(argument) for argument in arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def versions() -> list[int]:
    """Returns the PostgreSQL versions of live tests: those in `RDSPROV_TEST_PG`, or 15."""
    return [int(major) for major in os.environ.get("RDSPROV_TEST_PG", "15").split(",")]


#: The variables that control the tests themselves.
TEST_VARIABLES = ("RDSPROV_TEST_PG", "RDSPROV_UPDATE_DOCS")


@pytest.fixture(scope="session", autouse=True)
def _scrub_environment() -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith(("RDSPROV_", "PGSSL", "AWS_")) and name not in TEST_VARIABLES:
            del os.environ[name]
    os.environ.pop("ALLOW_DB_PROVISION", None)
    yield


@pytest.fixture(params=versions())
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    server = Server(request.param)
    yield server
    server.stop()


@pytest.fixture
def workspace(server: Server, tmp_path: Path) -> Workspace:
    return Workspace(server, tmp_path)


@pytest.fixture(scope="session", params=versions())
def shared_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    server = Server(request.param)
    yield server
    server.stop()


@pytest.fixture
def shared_workspace(shared_server: Server, tmp_path: Path) -> Workspace:
    """A fixture for tests that do not change their server, and therefore share it."""
    return Workspace(shared_server, tmp_path)
