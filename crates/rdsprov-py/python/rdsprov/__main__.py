"""Runs the ``rdsprov`` command, for ``python -m rdsprov`` and for the console script."""

import signal
import sys

from ._rdsprov import main as _main


def main() -> int:
    """Runs the command with the arguments of this process, and returns its exit code."""
    # The command handles signals itself; Python's handler would only run after it has ended.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _main(["rdsprov", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
