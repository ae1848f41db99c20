"""The classes of plain data, and the documentation of every public name."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import pickle
import re
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import rdsprov
from rdsprov import _rdsprov

ENUMS = [
    rdsprov.AccessLevel,
    rdsprov.Action,
    rdsprov.Auth,
    rdsprov.CheckName,
    rdsprov.CheckStatus,
    rdsprov.ErrorCode,
    rdsprov.EventKind,
    rdsprov.Hazard,
    rdsprov.Mode,
    rdsprov.NoteCode,
    rdsprov.OrphanKind,
    rdsprov.RunSettingName,
    rdsprov.SourceKind,
    rdsprov.RefusalCode,
    rdsprov.Status,
]

STEP = rdsprov.Step(
    action=rdsprov.Action.GRANT,
    application="shop",
    role="r",
    database="d",
    summary="CONNECT on database d to r",
    statements=('GRANT CONNECT ON DATABASE "d" TO "r"',),
    hazards=(rdsprov.Hazard.ADOPTS,),
    locked_out=("analyst",),
    without_temporary=("reporting",),
    changed_secret=rdsprov.ChangedSecret("dev/old", "dev/new"),
    code=(rdsprov.Code("function", "public", "public.f()"),),
)
RESULT = rdsprov.StepResult(step=STEP, status=rdsprov.Status.SUCCESS, error=None, duration_ms=3)
EVENT = rdsprov.Event(rdsprov.EventKind.STEPS_BEGIN, "applying 1 of 1 steps", (STEP,))
RECORD = rdsprov.Record("t", "dev", "b", "r", "d", "u", "grant", rdsprov.Status.SUCCESS, 3, "m")
CHECK = rdsprov.Check(
    rdsprov.CheckName.PORT, rdsprov.CheckStatus.FAILED, "db", "m", "cannot-connect", ("h",)
)
VALUES: list[Any] = [
    CHECK,
    rdsprov.Preflight("dev", "db:5432", rdsprov.CheckStatus.FAILED, (CHECK,), "✗ port (db): m"),
    STEP,
    RESULT,
    EVENT,
    RECORD,
    rdsprov.ManualFix(executor="administrator", database=None, sql="GRANT a TO b"),
    rdsprov.Refusal(
        "shop",
        rdsprov.RefusalCode.ROLE_NOT_MANAGED,
        "why",
        "what to do",
        rdsprov.ManualFix("role a", "d", "REVOKE"),
    ),
    rdsprov.Orphan(rdsprov.OrphanKind.ROLE, "x", "shop", ("CONNECT on d",)),
    rdsprov.RunSetting(
        rdsprov.RunSettingName.TLS_MODE, "require", rdsprov.SourceKind.OPTION, "tls"
    ),
    rdsprov.UndeclaredDatabase("d", "o", "shop", True),
    rdsprov.UndeclaredRoleAccess(
        *("r", "d", True, "has it", ("CONNECT",), ("public",), ("o",), ("g",), ("m",)),
        (rdsprov.EndOfAccess("role a", "d", "REVOKE"),),
    ),
    rdsprov.DefinitionProblem("f", 1, 2, rdsprov.ErrorCode.WRONG_TYPE, "m", "h", "t"),
    rdsprov.Outcome("dev", "b", "r", "sha256:", True, True, (RESULT,), (), (RECORD,), None, None),
    rdsprov.audit.Finding(3, "changed", "the record was changed"),
    rdsprov.audit.Verified(1, 1, "h", None, (rdsprov.audit.Finding(1, "torn", "m"),), ("n",)),
    rdsprov.audit.Change(
        1,
        "t",
        "dev",
        "b",
        "r",
        "ada",
        None,
        None,
        "u",
        "h",
        "s",
        "d",
        "p",
        "true",
        (rdsprov.Hazard.ADOPTS,),
        STEP,
        None,
        "committed",
        None,
        None,
    ),
    rdsprov.Definitions.from_text(
        'application_databases = { a = { database_name = "a", username = "a", settings = '
        '{ work_mem = "1MB" } } }'
    )["a"],
    rdsprov.Note(rdsprov.NoteCode.PASSWORD_NOT_CHECKED, "why", ("what to do",)),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_are_values(value: Any) -> None:
    same = copy.deepcopy(value)
    assert same == value and hash(same) == hash(value) and same is not value
    assert pickle.loads(pickle.dumps(value)) == value
    assert json.loads(value.to_json()) == value.to_dict()
    assert repr(value).startswith(type(value).__name__ + "(")
    assert value != STEP or value is STEP
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.anything = 1


def test_settings() -> None:
    settings = rdsprov.Settings({"work_mem": "1MB"})
    assert settings == {"work_mem": "1MB"} and dict(settings) == {"work_mem": "1MB"}
    assert {settings: 1}[rdsprov.Settings({"work_mem": "1MB"})] == 1
    with pytest.raises(TypeError):
        settings["x"] = "y"  # type: ignore[index]


@pytest.mark.parametrize("enum", ENUMS, ids=lambda enum: enum.__name__)
def test_enums_are_strings_of_the_core(enum: type[Enum]) -> None:
    assert [member.value for member in enum] == list(_rdsprov.closed_sets()[enum.__name__])
    for member in enum:
        assert isinstance(member, str) and member == member.value
        assert str(member) == f"{member}" == "%s" % member == member.value
        assert json.dumps(member) == json.dumps(member.value)
        assert enum(member.value) is member is pickle.loads(pickle.dumps(member))


def test_the_keys_of_an_application() -> None:
    fields = [field.name for field in dataclasses.fields(rdsprov.Application)]
    assert fields == ["name", *_rdsprov.closed_sets()["keys"]]


def test_public_names_are_documented() -> None:
    for name in rdsprov.__all__:
        value = getattr(rdsprov, name)
        if name in ("__version__", "audit"):
            continue
        assert value.__module__ == "rdsprov" and inspect.getdoc(value), name
    for name in rdsprov.audit.__all__:
        value = getattr(rdsprov.audit, name)
        assert value.__module__ == "rdsprov.audit" and inspect.getdoc(value), name
    for cls in (rdsprov.AccessReport, rdsprov.Cancellation, rdsprov.Definitions, rdsprov.Observed, rdsprov.Plan):
        for name, member in vars(cls).items():
            assert name.startswith("_") or inspect.getdoc(member), f"{cls.__name__}.{name}"


def test_exception_hierarchy() -> None:
    kinds = {
        name
        for name in rdsprov.__all__
        if inspect.isclass(getattr(rdsprov, name))
        and issubclass(getattr(rdsprov, name), BaseException)
    }
    assert kinds == {
        "Error",
        "UsageError",
        "DefinitionError",
        "SecretError",
        "ConnectError",
        "ApprovalRequired",
        "Cancelled",
        "PlanRefused",
        "StalePlan",
        "TimedOut",
        "ApplyError",
    }
    for name in kinds:
        kind = getattr(rdsprov, name)
        assert issubclass(kind, rdsprov.Error)
        error = kind("what happened")
        error.outcome = VALUES[9]
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is kind and again.args == error.args and again.outcome == error.outcome
    assert issubclass(rdsprov.DefinitionError, ValueError)


ADMINISTRATOR = {
    "name": "platform_admin",
    "superuser": False,
    "create_role": True,
    "create_database": True,
    "rds_superuser": True,
}


def test_plans_and_observations_are_values() -> None:
    observed = rdsprov.Observed.from_mapping(
        {
            "server_version": 150004,
            "admin_database": "platform",
            "administrator": ADMINISTRATOR,
        }
    )
    assert rdsprov.Observed.from_json(observed.to_json()) == observed
    assert hash(pickle.loads(pickle.dumps(observed))) == hash(observed)
    assert repr(observed) == "<Observed server_version=150004 roles=0 databases=0>"
    assert observed.server_version == 150004
    definitions = rdsprov.Definitions.from_mapping(
        {
            "environment": "dev",
            "application_databases": {"a": {"database_name": "a", "username": "b"}},
        }
    )
    plan = rdsprov.diff(definitions, observed)
    assert pickle.loads(pickle.dumps(plan)) == plan == rdsprov.diff(definitions, observed.to_dict())
    assert hash(plan) == hash(rdsprov.diff(definitions, observed))
    assert json.loads(plan.to_json()) == plan.to_dict()
    assert plan.to_dict()["digest"] == plan.digest and plan.digest.startswith("sha256:")
    assert plan.changes == tuple(plan) and plan.changes
    assert plan.to_sql().startswith("-- environment dev, sha256:")
    assert (plan.environment, plan.server, plan.server_major) == ("dev", None, 15)
    approval = rdsprov.RunSetting(
        rdsprov.RunSettingName.APPROVAL, "none", rdsprov.SourceKind.DEFAULT, None
    )
    assert plan.run_settings == (approval,)
    assert plan.definitions == definitions and plan.observed == observed
    assert plan.hazards == () and plan.orphaned == () and plan.undeclared_databases == ()
    assert plan.refusals == () and isinstance(plan.notes, tuple) and isinstance(plan.deferred, tuple)
    assert repr(plan).startswith("<Plan environment='dev' changes=")
    assert {step.action for step in plan} >= {"create_role", "create_database"}
    with pytest.raises(rdsprov.UsageError, match="made by `diff"):
        rdsprov.apply(plan)
    with pytest.raises(rdsprov.UsageError, match="observed: "):
        rdsprov.diff(definitions, {"server_version": 15})
    with pytest.raises(rdsprov.UsageError, match="observed: "):
        rdsprov.Observed.from_json("{}")


def test_stub_names_each_hazard() -> None:
    stub = (Path(rdsprov.__file__).parent / "__init__.pyi").read_text()
    names = stub.split("_HazardName: TypeAlias", 1)[1].split("\n]", 1)[0]
    assert re.findall(r'"(\w+)"', names) == [hazard.value for hazard in rdsprov.Hazard]
