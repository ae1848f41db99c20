"""The ``rdsprov`` command: ``python -m rdsprov`` and the console script run the very same."""

import signal
import sys

from ._rdsprov import main as _main


def main() -> int:
    """Run the command with this program's arguments, and give its exit code."""
    # The command heeds signals itself; Python's handler would only note them for later.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _main(["rdsprov", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
