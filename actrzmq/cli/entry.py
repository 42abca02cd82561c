"""What the command `actr` starts with: little enough that Ctrl-C finds it in place while the rest is imported."""

import sys

INTERRUPTED = 130


def main() -> None:
    """Run the process's own command line and exit, with 130 and no traceback whenever Ctrl-C comes."""
    try:
        from actrzmq.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
