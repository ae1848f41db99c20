"""Compares docs/python.md with the docstrings. `RDSPROV_UPDATE_DOCS=1` writes the file."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import os
from collections.abc import Iterator
from typing import Any

import rdsprov
from conftest import ROOT

PAGE = ROOT / "docs" / "python.md"


def doc(thing: object) -> str:
    text = (inspect.getdoc(thing) or "").replace("``", "`")
    lines = text.splitlines()
    # A literal block in reStructuredText becomes a fenced block in Markdown.
    out: list[str] = []
    fenced = False
    for line in lines:
        if fenced and line and not line.startswith("    "):
            out[-1:] = ["```", ""] if out[-1] == "" else [out[-1], "```"]
            fenced = False
        if line.endswith("::"):
            out += [line[:-1], "", "```python"]
            fenced = True
        elif fenced and out[-1] == "```python" and not line:
            continue
        else:
            out.append(line[4:] if fenced and line else line)
    return "\n".join([*out, "```"] if fenced else out)


def signature(name: str, thing: object) -> str:
    assert callable(thing)
    parameters = inspect.signature(thing).parameters.values()
    words = []
    keywords = False
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not keywords:
            words.append("*")
            keywords = True
        keywords |= parameter.kind is parameter.VAR_POSITIONAL
        if parameter.name != "self":
            words.append(str(parameter).replace("adopt=Ellipsis", "adopt=()").replace("...", "()"))
    return f"{name}({', '.join(words)})"


def members(cls: type) -> Iterator[str]:
    for name, member in sorted(vars(cls).items()):
        if name.startswith("_"):
            continue
        if isinstance(member, staticmethod):
            yield f"- `{signature(name, getattr(cls, name))}`: {one_line(member.__func__)}"
        elif callable(member):
            yield f"- `{name}()`: {one_line(member)}"
        else:
            yield f"- `{name}`: {one_line(member)}"


def one_line(thing: object) -> str:
    return " ".join(doc(thing).split())


def page() -> str:
    """Returns the reference: functions, main classes, plain data, enums, exceptions."""
    things: dict[str, Any] = {
        name: getattr(rdsprov, name)
        for name in rdsprov.__all__
        if name not in ("__version__", "audit")
    }
    things.update({f"audit.{name}": getattr(rdsprov.audit, name) for name in rdsprov.audit.__all__})
    names = list(things)
    functions = [name for name in names if inspect.isfunction(things[name])]
    classes: dict[str, Any] = {name: thing for name, thing in things.items() if inspect.isclass(thing)}
    errors = [name for name, cls in classes.items() if issubclass(cls, Exception)]
    enums = [name for name, cls in classes.items() if issubclass(cls, enum.Enum)]
    values = [name for name, cls in classes.items() if dataclasses.is_dataclass(cls)]
    rest = [name for name in classes if name not in {*errors, *enums, *values}]

    text = ["# rdsprov in Python", "", doc(rdsprov), "", "## Functions"]
    for name in functions:
        text += ["", f"### `{signature(name, things[name])}`", "", doc(things[name])]
    text += ["", "## Classes"]
    for name in rest:
        text += ["", f"### `{name}`", "", doc(classes[name])]
        listed = [] if name == "Settings" else list(members(classes[name]))
        text += ["", *listed] if listed else []
    text += ["", "## Plain data", "", "Frozen dataclasses; each has `to_dict()` and `to_json()`."]
    for name in values:
        fields = [f"`{f.name}: {f.type}`" for f in dataclasses.fields(classes[name])]
        text += ["", f"### `{name}`", "", doc(classes[name]), "", ", ".join(fields)]
    text += ["", "## Enums", "", "Their members are strings."]
    for name in enums:
        listed = [f"`{member.value}`" for member in classes[name]]
        text += ["", f"- `{name}`: {one_line(classes[name])} {', '.join(listed)}"]
    text += ["", "## Errors"]
    for name in errors:
        bases = ", ".join(base.__name__ for base in classes[name].__bases__)
        text += ["", f"- `{name}({bases})`: {one_line(classes[name])}"]
    return "\n".join(text) + "\n"


def test_reference_matches_docstrings() -> None:
    if os.environ.get("RDSPROV_UPDATE_DOCS"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page(), "update it with RDSPROV_UPDATE_DOCS=1 cargo xtask python"
