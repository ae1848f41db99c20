"""Plans like `rdsprov plan` with the same arguments and prints the same output.

The scenario tests compare both. Planning from the observed state must give the same plan."""

from __future__ import annotations

import argparse

import rdsprov

parser = argparse.ArgumentParser()
parser.add_argument("--env")
parser.add_argument("--config")
parser.add_argument("--allow", action="append", default=[], type=rdsprov.Hazard)
parser.add_argument("--adopt", action="append", default=[])
parser.add_argument("--secrets")
parser.add_argument("--ca-file")
parser.add_argument("-d", dest="definitions")
asked = parser.parse_args()

definitions = rdsprov.Definitions.from_path(
    asked.definitions, environment=asked.env, config=asked.config
)
plan = rdsprov.plan(
    definitions,
    allow=asked.allow,
    adopt=asked.adopt,
    secrets=asked.secrets,
    ca_file=asked.ca_file,
)
if not plan.refusals:
    pure = rdsprov.diff(definitions, plan.observed, allow=asked.allow, adopt=asked.adopt)
    assert pure == plan, f"{pure}\n{plan}"
print(plan, end="")
