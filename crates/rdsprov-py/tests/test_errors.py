"""The messages, codes and hints of exceptions."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
import rdsprov
from rdsprov import _rdsprov


def test_no_message_contains_a_flag_of_the_command() -> None:
    messages = _rdsprov.example_messages()
    assert len(messages) > 300
    for message in messages:
        assert not re.search(r"(^|[\s`(])--?[a-z]", message), message


def test_errors_have_codes_and_hints() -> None:
    with pytest.raises(rdsprov.UsageError) as caught:
        rdsprov.Definitions.from_text("application_databases = {}", adopt=["shop"])
    error = caught.value
    assert error.code is rdsprov.ErrorCode.UNKNOWN_APPLICATION
    assert error.hints == ("declare the application in the definitions",)
    assert str(error) == f"application `shop` is not declared\nhint: {error.hints[0]}"
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.code, again.hints) == (str(error), error.code, error.hints)


def test_options_are_keywords() -> None:
    definitions = rdsprov.Definitions.from_text("application_databases = {}")
    with pytest.raises(rdsprov.UsageError) as caught:
        rdsprov.validate(definitions, environment="prd")
    assert caught.value.code == "unknown-environment"
    with pytest.raises(rdsprov.UsageError) as caught:
        rdsprov.plan(definitions, secrets=f"file:{Path.cwd()}")
    assert caught.value.code == "no-environment"
    assert caught.value.hints == ("use `environment=`, or set `environment` in the definitions",)


def test_each_error_in_definitions_has_a_code() -> None:
    with pytest.raises(rdsprov.DefinitionError) as caught:
        rdsprov.Definitions.from_mapping({"application_databases": {"a": {"user": "b"}}})
    error = caught.value
    assert error.code == "invalid-definitions"
    codes = [problem.code for problem in error.errors]
    assert codes == ["missing-key", "missing-key", "unknown-key"]
    assert str(error).startswith("error[missing-key]: application `a` has no `database_name`\n")
    assert error.errors[2].hint.startswith("write `username`; ")
