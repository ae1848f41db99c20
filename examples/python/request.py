#!/usr/bin/env python3
"""A request for databases, as teams write it in YAML, and the plan that it would lead to.

    request.py request.yaml                          # what would be done on the server
    request.py request.yaml --observed server.json   # the same without one, from what it looked like

A request names its environment, and applications with database, user and access level::

    environment: dev
    requests:
      - {application: shop, database: shop, user: shop_owner}
      - {application: reports, database: shop, user: shop_reader, access_level: reader}
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

import rdsprov


@dataclass(frozen=True)
class Request:
    """What a team asks for. `Definitions` reads it by its attributes."""

    name: str
    database_name: str
    username: str
    access_level: rdsprov.AccessLevel = rdsprov.AccessLevel.OWNER


def parse(text: str) -> rdsprov.Definitions:
    """The definitions that a request stands for."""
    document = yaml.safe_load(text)
    try:
        requests = [
            Request(
                name=entry["application"],
                database_name=entry["database"],
                username=entry["user"],
                access_level=rdsprov.AccessLevel(entry.get("access_level", "owner")),
            )
            for entry in document["requests"]
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(f"the request is incomplete: {error}") from error
    return rdsprov.Definitions.from_applications(requests, environment=document.get("environment"))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("request", type=Path)
    parser.add_argument("--observed", type=Path)
    asked = parser.parse_args()
    try:
        definitions = parse(asked.request.read_text())
        if asked.observed is None:
            plan = rdsprov.plan(definitions)
        else:
            observed = rdsprov.Observed.from_json(asked.observed.read_text())
            plan = rdsprov.diff(definitions, observed)
    except (ValueError, rdsprov.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(plan, end="")
    return 3 if plan.refusals else 0


if __name__ == "__main__":
    sys.exit(main())
