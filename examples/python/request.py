#!/usr/bin/env python3
"""Plans a request for databases that a team writes in YAML.

    request.py request.yaml                          # compares the request with the server
    request.py request.yaml --observed server.json   # compares it with an observed state, without a server

A request names its environment, and for each application its database, user and access level::

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
    """One requested application. `Definitions` reads its attributes."""

    name: str
    database_name: str
    username: str
    access_level: rdsprov.AccessLevel = rdsprov.AccessLevel.OWNER


def parse(text: str) -> rdsprov.Definitions:
    """Converts a request to definitions."""
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
    options = parser.parse_args()
    try:
        definitions = parse(options.request.read_text())
        if options.observed is None:
            plan = rdsprov.plan(definitions)
        else:
            observed = rdsprov.Observed.from_json(options.observed.read_text())
            plan = rdsprov.diff(definitions, observed)
    except (ValueError, rdsprov.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(plan, end="")
    return 3 if plan.refusals else 0


if __name__ == "__main__":
    sys.exit(main())
