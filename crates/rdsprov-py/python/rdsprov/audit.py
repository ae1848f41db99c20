"""Verifies a ledger and lists the changes that it records, as ``rdsprov audit`` does."""

from . import _rdsprov
from ._values import Change, Finding, Verified

__all__ = ["Change", "Finding", "Verified", "changes", "verify"]


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


for _public in (Change, Finding, Verified):
    _public.__module__ = __name__
