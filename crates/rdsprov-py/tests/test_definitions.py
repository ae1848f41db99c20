"""Definitions from files, text, mappings, dataclasses and models."""

from __future__ import annotations

import enum
import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple, Optional

import attrs
import pydantic
import pytest
import rdsprov
from conftest import TESTDATA
from rdsprov import Definitions

HCL = """
environment = "dev"
application_databases = {
  shop    = { database_name = "shop", username = "shop_owner" }
  reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
}
"""
SHOP = {"database_name": "shop", "username": "shop_owner"}
REPORTS = {"database_name": "shop", "username": "shop_reader", "access_level": "reader"}
ENTRIES = {"shop": SHOP, "reports": REPORTS}
WHOLE = {"environment": "dev", "application_databases": ENTRIES}


class Level(enum.Enum):
    READER = "reader"


@dataclass
class DataEntry:
    name: str
    database_name: str
    username: str
    access_level: Optional[Level] = None
    settings: dict[str, str] = field(default_factory=dict)


class ModelEntry(pydantic.BaseModel):
    name: str
    database_name: str
    username: str
    access_level: rdsprov.AccessLevel = rdsprov.AccessLevel.OWNER


class Model(pydantic.BaseModel):
    environment: str
    application_databases: list[ModelEntry]


@attrs.frozen
class AttrsEntry:
    name: str
    database_name: str
    username: str
    access_level: Optional[str] = None


class TupleEntry(NamedTuple):
    name: str
    database_name: str
    username: str
    access_level: Optional[str] = None


def entries(make: Callable[..., object], reader: object) -> list[object]:
    shop = make(name="shop", **SHOP)
    reports = make(name="reports", **{**REPORTS, "access_level": reader})
    return [shop, reports]


def both(make: Callable[..., object], reader: object = "reader") -> Definitions:
    return Definitions.from_applications(entries(make, reader), environment="dev")


EXPECTED = Definitions.from_text(HCL)
SAME: dict[str, Callable[[], Definitions]] = {
    "a mapping": lambda: Definitions.from_mapping(WHOLE),
    "any mapping": lambda: Definitions.from_mapping(MappingProxyType(WHOLE)),
    "its own data": lambda: Definitions.from_mapping(
        {**WHOLE, "application_databases": EXPECTED.to_dict()["applications"]}
    ),
    "coupled": lambda: Definitions.from_mapping(
        {"environment": "dev", "rds_config": {"application_databases": ENTRIES}}
    ),
    "json": lambda: Definitions.from_text(
        '{"environment": "dev", "application_databases": {'
        '"shop": {"database_name": "shop", "username": "shop_owner"},'
        '"reports": {"database_name": "shop", "username": "shop_reader", "access_level": "reader"}}}',
        syntax="json",
    ),
    "toml": lambda: Definitions.from_text(
        'environment = "dev"\n[application_databases.shop]\ndatabase_name = "shop"\n'
        'username = "shop_owner"\n[application_databases.reports]\ndatabase_name = "shop"\n'
        'username = "shop_reader"\naccess_level = "reader"\n',
        syntax="toml",
    ),
    "dataclasses": lambda: both(DataEntry, Level.READER),
    "pydantic": lambda: both(ModelEntry),
    "a pydantic model of it all": lambda: Definitions.from_mapping(
        Model.model_validate(
            {"environment": "dev", "application_databases": entries(ModelEntry, "reader")}
        )
    ),
    "attrs": lambda: both(AttrsEntry),
    "named tuples": lambda: both(TupleEntry),
    "plain objects": lambda: both(SimpleNamespace, rdsprov.AccessLevel.READER),
    "other definitions": lambda: Definitions.from_applications(EXPECTED, environment="dev"),
    "a plain object of it all": lambda: Definitions.from_mapping(SimpleNamespace(**WHOLE)),
}


@pytest.mark.parametrize("way", SAME)
def test_all_sources_are_equal(way: str) -> None:
    made = SAME[way]()
    data = made.to_dict()
    assert data["applications"] == EXPECTED.to_dict()["applications"]
    if way != "coupled":
        assert made == EXPECTED and hash(made) == hash(EXPECTED)


def test_definitions_are_frozen_mappings() -> None:
    assert [app.name for app in EXPECTED] == ["reports", "shop"]
    assert len(EXPECTED) == 2 and "shop" in EXPECTED and "other" not in EXPECTED
    assert EXPECTED["shop"].access_level == "owner"
    assert EXPECTED["reports"].access_level is rdsprov.AccessLevel.READER
    assert EXPECTED.applications == tuple(EXPECTED)
    assert (EXPECTED.environment, EXPECTED.mode) == ("dev", rdsprov.Mode.STANDALONE)
    assert EXPECTED.aws_region is None
    assert repr(EXPECTED) == "<Definitions environment='dev' applications=[reports, shop]>"
    assert pickle.loads(pickle.dumps(EXPECTED)) == EXPECTED
    assert EXPECTED != Definitions.from_mapping({"application_databases": {}})
    assert EXPECTED != WHOLE
    with pytest.raises(KeyError):
        EXPECTED["other"]
    with pytest.raises(AttributeError):
        EXPECTED.environment = "prod"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        EXPECTED["shop"].username = "x"  # type: ignore[misc]


def test_paths(tmp_path: Path) -> None:
    file = tmp_path / "terraform.tfvars"
    file.write_text(HCL)
    assert Definitions.from_path(file) == Definitions.from_path(os.fspath(file)) == EXPECTED
    other = tmp_path / "other.json"
    other.write_text('{"application_databases": {"b": {"database_name": "b", "username": "b"}}}')
    assert [app.name for app in Definitions.from_path(file, other)] == ["b", "reports", "shop"]


def test_configuration_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dev.tfvars").write_text(HCL)
    site = tmp_path / "rdsprov.toml"
    site.write_text(
        '[definitions]\nfiles = ["dev.tfvars"]\n[environments.dev.defaults]\nconnection_limit = 7\n'
    )
    assert Definitions.from_path(config=site)["shop"].connection_limit == 7
    monkeypatch.chdir(tmp_path)
    found = Definitions.from_path()
    assert found["shop"].connection_limit == 7
    assert pickle.loads(pickle.dumps(found)) == found
    # Rules of an environment apply once the environment is known.
    nowhere = Definitions.from_mapping({"application_databases": ENTRIES})
    assert nowhere["shop"].connection_limit == -1
    assert rdsprov.validate(nowhere, environment="dev")["shop"].connection_limit == 7
    monkeypatch.chdir("/")
    monkeypatch.setenv("RDSPROV_CONFIG", str(site))
    assert Definitions.from_path()["shop"].connection_limit == 7


def test_validate() -> None:
    assert rdsprov.validate(EXPECTED) == EXPECTED
    nowhere = Definitions.from_mapping({"application_databases": ENTRIES})
    assert nowhere.environment is None
    assert rdsprov.validate(nowhere) == nowhere
    assert rdsprov.validate(nowhere, environment="test").environment == "test"
    assert rdsprov.validate(EXPECTED, adopt=["shop"])["shop"].adopt


def test_errors_have_locations() -> None:
    with pytest.raises(ValueError) as caught:
        Definitions.from_text(
            'application_databases = {\n  a = { database_name = "a", user = "b" }\n  b = 3\n}\n',
            path="dev.tfvars",
        )
    error = caught.value
    assert isinstance(error, rdsprov.DefinitionError)
    places = [(problem.file, problem.line, problem.column) for problem in error.errors]
    assert places == [("dev.tfvars", 2, 3), ("dev.tfvars", 2, 30), ("dev.tfvars", 3, 7)]
    assert error.errors[1].text == '  a = { database_name = "a", user = "*" }'
    assert "unknown key `user`" in error.errors[1].message and "username" in error.errors[1].hint
    again = pickle.loads(pickle.dumps(error))
    assert again.errors == error.errors and str(again) == str(error)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    latin = tmp_path / "a.tfvars"
    latin.write_bytes(b"\n# \xe9\n")
    wrong = tmp_path / "wrong.tfvars"
    wrong.write_text("application_databases = 1\n")
    with pytest.raises(rdsprov.DefinitionError) as caught:
        Definitions.from_path(tmp_path / "missing.tfvars", latin, tmp_path / "x.yaml", wrong)
    missing, syntax, not_text, of_wrong = caught.value.errors
    assert missing.file == str(tmp_path / "missing.tfvars") and missing.line is None
    assert (not_text.file, not_text.line, not_text.column) == (str(latin), 2, 3)
    assert (of_wrong.file, of_wrong.line) == (str(wrong), 1)
    assert syntax.message.endswith("is not a *.tfvars, *.tfvars.json, *.json or *.toml file")
    codes = [problem.code for problem in caught.value.errors]
    assert codes == ["file-unreadable", "unknown-file-type", "not-utf8", "wrong-type"]


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"application_databases": [{"database_name": "a"}]}, "`application_databases[0]` has no name"),
        ({"application_databases": [{"name": "a"}, {"name": "a"}]}, "declared twice"),
        ({"application_databases": {"a": {**SHOP, "acces_level": "reader"}}}, "write `access_level`"),
        ({"application_databases": {"a": {**SHOP, "name": "b"}}}, "unknown key `name`"),
        ({"application_databases": {"a": {**SHOP, "access_level": "admin"}}}, "access_level"),
        ({"application_databases": {"pg": {**SHOP, "username": "pg_x"}}}, "reserved"),
        ({"environment": "dev"}, "`application_databases` is missing"),
        ({}, "`application_databases` is missing"),
    ],
)
def test_errors_in_mappings(wrong: object, message: str) -> None:
    with pytest.raises(rdsprov.DefinitionError, match="."):
        Definitions.from_mapping(wrong)
    try:
        Definitions.from_mapping(wrong)
    except rdsprov.DefinitionError as error:
        assert message in str(error) and error.errors


@pytest.mark.parametrize(
    "wrong, message",
    [
        (b"x", "the mapping is of type bytes"),
        ({"a": object()}, "the mapping.a is of type object"),
        ({1: "x"}, "the mapping has a key that is not a string"),
        ({"a": [SimpleNamespace()]}, r"the mapping.a\[0\] is of type SimpleNamespace"),
    ],
)
def test_unsupported_types(wrong: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Definitions.from_mapping(wrong)


def test_errors_of_values_are_escaped_and_short() -> None:
    evil = "\x1b[2J\u202e\n##[error]evil\n::error::x"

    class Strange:
        pass

    Strange.__qualname__ = evil * 1000
    for key in (evil, "A" * 1_000_000):
        for wrong in (1 << 80, float("nan"), b"x", {1: 2}, "\ud800", [Strange()], Repeating((evil, 1), (evil, 2))):
            with pytest.raises((TypeError, ValueError)) as raised:
                Definitions.from_mapping({"application_databases": {key: {"connection_limit": wrong}}})
            message = str(raised.value)
            assert message.isprintable() and "##[" not in message, ascii(message)
            assert len(message) < 2_100
    calls: list[Callable[..., object]] = [rdsprov.Session, rdsprov.export]
    for call in calls:
        with pytest.raises(TypeError, match="unexpected keyword argument") as raised:
            call(**{evil * 1000: 1})
        message = str(raised.value)
        assert message.isprintable() and "##[" not in message, ascii(message)
        assert len(message) < 2_100


def test_long_keys_take_linear_time() -> None:
    # 320 GB of paths, if each item had its own.
    wrong = {"A" * 8_000_000: [0] * 40_000}
    with pytest.raises(rdsprov.DefinitionError):
        Definitions.from_mapping({"environment": "dev", "application_databases": wrong})


def test_special_numbers_and_cycles() -> None:
    knot: dict[str, object] = {}
    knot["knot"] = knot
    for wrong in ({"a": float("nan")}, {"a": 1 << 80}, knot):
        with pytest.raises(ValueError):
            Definitions.from_mapping(wrong)


def test_conflicting_arguments(tmp_path: Path) -> None:
    with pytest.raises(rdsprov.DefinitionError, match="the definitions are for `dev`"):
        Definitions.from_text(HCL, environment="prod")
    with pytest.raises(rdsprov.DefinitionError, match="the definitions are for `dev`"):
        rdsprov.validate(EXPECTED, environment="prod")
    with pytest.raises(rdsprov.UsageError, match="use one of dev, test"):
        rdsprov.validate(Definitions.from_mapping({**WHOLE, "environment": "prd"}))
    empty = tmp_path / "rdsprov.toml"
    empty.write_text("")
    with pytest.raises(rdsprov.UsageError, match="no definitions file is given"):
        Definitions.from_path(config=empty)
    with pytest.raises(rdsprov.UsageError, match="application `x` is not declared"):
        Definitions.from_text(HCL, adopt=["x"])
    with pytest.raises(rdsprov.UsageError, match="the modes are"):
        Definitions.from_text(HCL, mode="both")  # type: ignore[arg-type]
    with pytest.raises(rdsprov.UsageError, match="the syntaxes are"):
        Definitions.from_text(HCL, syntax="yaml")  # type: ignore[arg-type]
    with pytest.raises(rdsprov.UsageError, match="cannot be read"):
        Definitions.from_text(HCL, config="/missing/rdsprov.toml")
    with pytest.raises(TypeError):
        Definitions.from_text(HCL, adopt="shop")


def test_size_is_limited() -> None:
    nested: object = ["x"]
    for _ in range(24):
        nested = [nested, nested]
    endless: list[object] = []
    endless.extend([endless, endless])
    for value in (nested, endless, "x" * (17 << 20)):
        mapping = {"application_databases": {"a": {**SHOP, "schemas": value}}}
        with pytest.raises(ValueError, match="larger than|too deeply"):
            Definitions.from_mapping(mapping)
    with pytest.raises(rdsprov.DefinitionError, match="larger than 16 MiB"):
        Definitions.from_text("#" + "x" * (17 << 20))


def test_mapping_may_change_while_it_is_read() -> None:
    class Growing:
        @property
        def username(self) -> str:
            entries["more"] = 1
            return "shop_owner"

        database_name = "shop"

    entries: dict[str, object] = {"shop": Growing()}
    assert Definitions.from_mapping({"application_databases": entries})


def test_sets_are_sorted() -> None:
    def plan() -> str:
        schemas = {"one", "two", "three", "four"}
        entry = {**SHOP, "schemas": schemas}
        return Definitions.from_mapping({"application_databases": {"a": entry}}).to_json()

    assert len({plan() for _ in range(20)}) == 1


VALID = sorted((TESTDATA / "definitions" / "valid").iterdir())


@pytest.mark.parametrize("file", VALID, ids=lambda file: file.name)
def test_valid_files_equal_their_data(file: Path) -> None:
    if file.suffix not in (".tfvars", ".json", ".toml"):
        return
    read = Definitions.from_path(file)
    again = Definitions.from_applications(
        read, environment=read.environment, aws_region=read.aws_region
    )
    assert again.applications == read.applications
    scoped = Definitions.from_applications(read, environment="dev", scope="billing")
    assert scoped.scope == "billing"
    assert pickle.loads(pickle.dumps(read)) == read


class Repeating(Mapping[str, object]):
    """A mapping whose `items` contain a key twice."""

    def __init__(self, *items: tuple[str, object]) -> None:
        self.pairs = list(items)

    def __getitem__(self, key: str) -> object:
        return dict(self.pairs)[key]

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self.pairs))

    def __len__(self) -> int:
        return len(self.pairs)

    def items(self) -> Any:
        return self.pairs


def test_a_key_is_not_read_twice() -> None:
    for wrong in (
        Repeating(("shop", SHOP), ("shop", {**SHOP, "username": "another"})),
        {"shop": Repeating(("database_name", "a"), ("username", "b"), ("username", "c"))},
    ):
        with pytest.raises(ValueError, match="twice"):
            Definitions.from_mapping({"application_databases": wrong})
