"""Verifies a ledger, lists the changes that it records, and reads audit tables, as ``rdsprov audit`` does."""

from . import _rdsprov
from ._reading import _OF_APPLICATIONS, plan
from ._signatures import with_options_of
from ._values import (
    AnnouncedStep,
    Change,
    Finding,
    NotCompared,
    TableDifference,
    TableReport,
    TableRow,
    TableState,
    Verified,
)

__all__ = [
    "AnnouncedStep",
    "Change",
    "Finding",
    "NotCompared",
    "TableDifference",
    "TableReport",
    "TableRow",
    "TableState",
    "Verified",
    "changes",
    "tables",
    "verify",
]


def verify(path, *, expect=None):
    """Detects records of a ledger that were changed, removed or reordered.

    - ``path``: the ledger.
    - ``expect``: the hash of a record, such as ``Outcome.ledger_head``, that was kept in another place.
      With it, records that were cut off at the end are detected as well.

    Returns the findings; a ledger with findings raises no exception.
    Raises ``UsageError`` if the file cannot be read.

    For example::

        verified = rdsprov.audit.verify("ledger.jsonl")
        for finding in verified.findings:
            print(finding.line, finding.message)
    """
    return _rdsprov.verify_ledger(path, expect)


def changes(path, *, role=None, database=None):
    """Returns the changes that a ledger records and that took effect, in order.

    - ``path``: the ledger.
    - ``role``, ``database``: limit the result to changes that concern this role or database.

    A change whose record was changed after it was written has a ``defect``.
    Raises ``Error`` if the ledger does not contain the role or database, and ``UsageError`` if the file cannot be
    read.

    For example::

        for change in rdsprov.audit.changes("ledger.jsonl", role="shop_owner"):
            print(change.timestamp_utc, change.actor, change.step.summary)
    """
    return _rdsprov.ledger_changes(path, role, database)


@with_options_of(
    plan,
    without=[one for one in _OF_APPLICATIONS if not one.startswith("audit_")],
    role=None,
    database=None,
)
def tables(**options):
    """Returns the rows of the audit tables of a server, and compares them with a ledger.

    Changes nothing, and reads no secret except that of the administrator.

    - ``role``, ``database``: limit the rows to those about this role or database.
    - ``audit_table``: the name of the tables, ``"SCHEMA.TABLE"``.
    - ``audit_ledger``: the ledger that is compared with the rows.

    The other options and the exceptions are those of ``plan``; ``environment`` is required.
    Also raises ``Error`` if the tables contain no row about the role or database.

    For example::

        report = rdsprov.audit.tables(
            environment="prod", audit_table="rdsprov_audit.changes", audit_ledger="ledger.jsonl"
        )
        for difference in report.differences:
            print(difference.kind, difference.row or difference.step)
    """
    return _rdsprov.audit_tables(**options)


for _public in (
    AnnouncedStep,
    Change,
    Finding,
    NotCompared,
    TableDifference,
    TableReport,
    TableRow,
    TableState,
    Verified,
):
    _public.__module__ = __name__
