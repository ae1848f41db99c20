"""Runs the examples of the docstrings and of the README as far as that is possible without a server.

Examples with `>>>` run as doctests. The others must compile, and their calls must fit the signatures.
"""

from __future__ import annotations

import ast
import doctest
import inspect
import logging
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

import rdsprov
from conftest import ROOT, Workspace


def documented() -> Iterator[tuple[str, str]]:
    """Returns the name and the docstring of the package and of each public function and class."""
    yield "rdsprov", inspect.getdoc(rdsprov) or ""
    for module in (rdsprov, rdsprov.audit):
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isfunction(thing) or inspect.isclass(thing):
                yield f"{module.__name__}.{name}", inspect.getdoc(thing) or ""


DOCUMENTED = dict(documented())
#: The functions that a user calls directly.
ENTRY_POINTS = [name for name in rdsprov.__all__ if inspect.isfunction(getattr(rdsprov, name))]


def literal_blocks(text: str) -> Iterator[str]:
    """Returns the literal blocks of a docstring: the indented lines after a line that ends with `::`."""
    lines = text.splitlines()
    for start, line in enumerate(lines):
        if not line.endswith("::"):
            continue
        block: list[str] = []
        for following in lines[start + 1 :]:
            if following and not following.startswith("    "):
                break
            block.append(following)
        yield textwrap.dedent("\n".join(block)).strip()


def fenced_blocks(markdown: str) -> Iterator[str]:
    """Returns the blocks of Python in a Markdown text."""
    for block in markdown.split("```python\n")[1:]:
        yield block.partition("```")[0]


def resolve(expression: ast.expr) -> Any:
    """Returns the object that an expression such as `rdsprov.Definitions.from_path` names, or None."""
    if isinstance(expression, ast.Name):
        return rdsprov if expression.id == "rdsprov" else None
    if isinstance(expression, ast.Attribute):
        owner = resolve(expression.value)
        return None if owner is None else getattr(owner, expression.attr)
    return None


def check(code: str) -> None:
    """Checks that code compiles, that the names of the package exist, and that calls fit the signatures."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute):
            resolve(node)
        if isinstance(node, ast.Call):
            function = resolve(node.func)
            if inspect.isroutine(function):
                keywords = {word.arg: None for word in node.keywords if word.arg is not None}
                inspect.signature(function).bind(*node.args, **keywords)


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_entry_points_have_an_example(name: str) -> None:
    assert list(literal_blocks(DOCUMENTED[f"rdsprov.{name}"]))


@pytest.mark.parametrize("name", [name for name, text in DOCUMENTED.items() if "::" in text])
def test_examples_of_docstrings(name: str) -> None:
    for block in literal_blocks(DOCUMENTED[name]):
        if not block.startswith(">>>"):
            check(block)
            continue
        test = doctest.DocTestParser().get_doctest(block, {"rdsprov": rdsprov}, name, None, 0)
        assert doctest.DocTestRunner().run(test).failed == 0


def test_examples_of_the_readme() -> None:
    blocks = list(fenced_blocks((ROOT / "README.md").read_text()))
    assert blocks
    for block in blocks:
        check(block)


def test_examples_of_the_guide(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Runs all blocks of the guide, in order."""
    workspace.app("shop", "shop_owner")
    monkeypatch.chdir(workspace.directory)
    monkeypatch.setenv("RDSPROV_SECRETS", f"file:{workspace.directory}")
    monkeypatch.setenv("RDSPROV_CA_FILE", workspace.server.ca_file)
    (workspace.directory / "terraform.tfvars").write_text(
        """application_databases = {
          shop = { database_name = "shop", username = "shop_owner" }
        }"""
    )
    guide = (ROOT / "docs/guides/python-concurrency.md").read_text()
    names: dict[str, Any] = {"__name__": "guide"}
    level = logging.getLogger("rdsprov").level
    printed: list[str] = []
    names["print"] = lambda *words: printed.append(" ".join(map(str, words)))
    try:
        for block in fenced_blocks(guide):
            check(block)
            exec(compile(block, "guide", "exec"), names)
    finally:
        logging.getLogger("rdsprov").setLevel(level)
    assert printed[0].startswith("terraform.tfvars Plan: ") and "converged: True" in printed
    assert "connected to" in caplog.text and "applying" not in caplog.text
    # The plan of the thread is cancelled before it contacts the server.
    assert "stopped: stopped by the calling program" in " ".join(printed)
    # The last blocks find nothing to do.
    workspace.server.sql("ALTER ROLE shop_owner CONNECTION LIMIT 3")
    events = [block for block in fenced_blocks(guide) if "on_event" in block]
    with caplog.at_level(logging.INFO, "rdsprov"):
        exec(compile(events[-1], "guide", "exec"), names)
    assert "applying 1 of 1 steps" in caplog.text
    assert printed[-2].startswith("steps_begin applying 1 of 1 steps, ")
    assert printed[-1].startswith("success ")
