"""Measures the import and `rdsprov.diff`.

The import is compared with that of an empty module, and `rdsprov.diff` of 1,000 applications with
the same work in Rust. `cargo xtask bench-python` runs this with release builds. The observed state comes
from one database with three roles on a real server, repeated under other names: of four databases,
one is missing and one has drifted.
"""

from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rdsprov

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "rdsprov-py" / "tests"))
from conftest import Server, Workspace

DATABASES = 334
ROUNDS = 15
MOST = 1.5
MOST_FOR_THE_IMPORT = 50.0

LEVELS = {"owner": "owner", "editor": "editor", "reader": "reader"}


def entries(database: str) -> dict[str, Any]:
    return {
        f"{database}_{level}": {
            "database_name": database,
            "username": f"{database}_{level}",
            "access_level": level,
        }
        for level in LEVELS
    }


def one_observed() -> dict[str, Any]:
    """Observes one database with three roles on a server."""
    server = Server(15)
    try:
        with tempfile.TemporaryDirectory() as directory:
            workspace = Workspace(server, Path(directory))
            for level in LEVELS:
                workspace.app(f"tmpl_{level}", f"tmpl_{level}")
            definitions = rdsprov.Definitions.from_mapping(
                {"environment": "dev", "application_databases": entries("tmpl")}
            )
            rdsprov.apply(rdsprov.plan(definitions, **workspace.options))
            server.sql("CREATE TABLE t (id serial, note text)", "tmpl")
            wider = {**entries("tmpl"), **entries("absent")}
            for level in LEVELS:
                workspace.app(f"absent_{level}", f"absent_{level}")
            definitions = rdsprov.Definitions.from_mapping(
                {"environment": "dev", "application_databases": wider}
            )
            return rdsprov.observe(definitions, **workspace.options).to_dict()
    finally:
        server.stop()


def many(observed: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns definitions and observed state with many copies of the database."""
    applications: dict[str, Any] = {}
    roles: dict[str, Any] = {}
    databases: dict[str, Any] = {}
    password_checks: dict[str, Any] = {}
    for number in range(DATABASES):
        name = f"db{number:04}"
        applications.update(entries(name))
        if number % 4 == 0:
            continue
        for key, of in (("roles", roles), ("databases", databases), ("password_checks", password_checks)):
            mine = {k: v for k, v in observed[key].items() if k.startswith("tmpl")}
            of.update(json.loads(json.dumps(mine).replace("tmpl", name)))
        if number % 4 == 1:
            roles[f"{name}_reader"]["connection_limit"] = 3
            databases[name]["contents"]["default_privileges"] = []
    whole = {**observed, "roles": roles, "databases": databases, "password_checks": password_checks}
    return {"environment": "dev", "application_databases": applications}, whole


def median(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def import_of(module: str) -> float:
    """Returns the import time of a module in a new interpreter, in milliseconds."""
    code = f"import time; s = time.perf_counter(); import {module}; print(time.perf_counter() - s)"

    def elapsed() -> float:
        here = Path(__file__).parent
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=here, check=True, stdout=subprocess.PIPE, text=True
        )
        return 1000 * float(done.stdout)

    # Other load on the machine only adds to the time.
    return min(elapsed() for _ in range(ROUNDS))


def main() -> int:
    more = import_of("rdsprov") - import_of("nothing")
    print(f"{more:8.1f} ms  import, in addition to an empty module")
    mapping, observed = many(one_observed())
    with tempfile.TemporaryDirectory() as directory:
        files = [Path(directory) / "definitions.json", Path(directory) / "observed.json"]
        for file, data in zip(files, (mapping, observed)):
            file.write_text(json.dumps(data))
        done = subprocess.run(
            [sys.argv[1], *files, str(ROUNDS)], check=True, stdout=subprocess.PIPE, text=True
        )
    whole, alone, digest = done.stdout.split()

    def from_mappings() -> rdsprov.Plan:
        return rdsprov.diff(rdsprov.Definitions.from_mapping(mapping), observed)

    plan = from_mappings()
    assert plan.digest == digest, "Rust and Python plan differently"
    definitions = rdsprov.Definitions.from_mapping(mapping)
    seen = rdsprov.Observed.from_mapping(observed)
    gc.collect()
    rows = {
        "Rust: reading JSON, planning": float(whole),
        "Python: reading mappings, planning, reading each change": median(
            lambda: [change.action for change in from_mappings().changes]
        ),
        "Rust: planning alone": float(alone),
        "Python: planning alone": median(lambda: rdsprov.diff(definitions, seen)),
    }
    print(f"{len(mapping['application_databases'])} applications, {len(plan.changes)} changes")
    for name, milliseconds in rows.items():
        print(f"{milliseconds:8.1f} ms  {name}")
    rust, python, rust_alone, python_alone = rows.values()
    print(f"    {python / rust:.2f} times Rust with conversion")
    print(f"    {python_alone / rust_alone:.2f} times Rust without conversion")
    return 0 if python <= MOST * rust and more <= MOST_FOR_THE_IMPORT else 1


if __name__ == "__main__":
    sys.exit(main())
