"""The whole path: definitions, plan, apply, and a second look, against a server in the shape of RDS."""

from __future__ import annotations

import csv
import pickle

import pytest
import rdsprov
from conftest import CANARY, TESTDATA, Bench, password

DEMO = TESTDATA / "demo" / "terraform.tfvars"


def given(bench: Bench) -> rdsprov.Definitions:
    for application, user in (
        ("shop", "shop_owner"),
        ("shop_reports", "shop_reader"),
        ("keycloak", "keycloak_user"),
    ):
        bench.app(application, user)
    return rdsprov.Definitions.from_path(DEMO)


def test_what_is_declared_becomes_what_is(bench: Bench) -> None:
    definitions = given(bench)
    assert not rdsprov.check(definitions, **bench.options)
    plan = rdsprov.plan(definitions, environment="dev", **bench.options)
    shown = bench.command("plan", "-d", str(DEMO))
    assert str(plan) == shown.stdout
    assert plan.changes and not plan.refusals
    assert pickle.loads(pickle.dumps(plan)) == plan

    audit = bench.directory / "records" / "audit.csv"
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
    bench.server.sql_as("shop_owner", password("shop"), "shop", "CREATE TABLE t (id int)")

    assert rdsprov.check(definitions, **bench.options)
    again = rdsprov.plan(definitions, **bench.options)
    assert not again.changes
    assert rdsprov.apply(again).converged
    assert bench.command("check", "-d", str(DEMO)).returncode == 0
    with pytest.raises(rdsprov.StalePlan) as stale:
        rdsprov.apply(plan, build_id="2")
    assert plan.digest in str(stale.value)
    everything = repr((definitions, plan, outcome, again)) + outcome.to_json() + plan.to_sql()
    assert CANARY not in everything + bench.server.log()


def test_what_was_seen_gives_the_same_plan(bench: Bench) -> None:
    definitions = given(bench)
    plan = rdsprov.plan(definitions, **bench.options)
    observed = rdsprov.observe(definitions, **bench.options)
    assert rdsprov.diff(definitions, observed) == plan
    assert rdsprov.diff(definitions, observed.to_dict()).digest == plan.digest
    assert pickle.loads(pickle.dumps(observed)) == observed == plan.observed


