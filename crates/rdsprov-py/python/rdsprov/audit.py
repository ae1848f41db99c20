"""What a ledger tells, and whether it can be believed: ``rdsprov audit``."""

from . import _rdsprov
from ._values import Change, Finding, Verified

__all__ = ["Change", "Finding", "Verified", "changes", "verify"]


def verify(path, *, expect=None):
    """Look whether any record of a ledger was changed, removed or reordered.

    ``expect`` is the hash of a record that was kept elsewhere, ``Outcome.ledger_head`` say: with it, nothing can be
    cut off either. Raises ``UsageError`` where the file cannot be read.
    """
    return _rdsprov.verify_ledger(path, expect)


def changes(path, *, role=None, database=None):
    """The changes that took effect, in order; of a role or a database, where one is named."""
    return _rdsprov.ledger_changes(path, role, database)


for _public in (Change, Finding, Verified):
    _public.__module__ = __name__
