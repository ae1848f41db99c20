#!/usr/bin/env python3
"""Applies definitions, for a pipeline that calls a script with these options.

    provision.py --env dev --tfvars envs/dev-rds/terraform.tfvars --build-id 16-01-26-01 --run-id 12345678

Outside dev it requires an approval in ALLOW_DB_PROVISION, as the command does.
It exits with 0 if the server matches the definitions, with 3 if the run is refused, and with 1 if it failed.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import rdsprov


def arguments() -> argparse.Namespace:
    """Parses the arguments of the script."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--env", required=True)
    parser.add_argument("--tfvars", required=True, type=Path)
    parser.add_argument("--master-secret", help="default: goldenpath/{env}/rds/master")
    parser.add_argument("--build-id")
    parser.add_argument("--run-id")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--audit-output", type=Path)
    return parser.parse_args()


def summary(records: Iterable[rdsprov.Record]) -> str:
    """Counts the records by their status."""
    count = Counter(record.status for record in records)
    return "audit summary: " + ", ".join(f"{number} {status}" for status, number in count.items())


def main() -> int:
    options = arguments()
    try:
        definitions = rdsprov.Definitions.from_path(options.tfvars, environment=options.env)
        plan = rdsprov.plan(
            definitions, admin_secret=options.master_secret, build_id=options.build_id
        )
        print(plan)
        outcome = rdsprov.apply(
            plan,
            build_id=options.build_id,
            run_id=options.run_id,
            audit_output=options.audit_output,
            dry_run=options.dry_run,
            on_step=lambda result: print(f"{result.status}: {result.step.summary}"),
        )
    except rdsprov.Error as error:
        print(f"error: {error}", file=sys.stderr)
        if error.outcome is not None:
            print(summary(error.outcome.records))
        refused = (rdsprov.ApprovalRequired, rdsprov.PlanRefused, rdsprov.StalePlan)
        return 3 if isinstance(error, refused) else 1
    print(summary(outcome.records))
    return 0


if __name__ == "__main__":
    sys.exit(main())
