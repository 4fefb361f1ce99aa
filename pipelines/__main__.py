"""``mynapoint`` and ``python -m pipelines``."""

import io
import sys

from pipelines.cli import call
from pipelines.errors import one_line_errors


def main() -> None:
    """Runs a command and leaves with its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show Japanese is no reason to fail when the night is booked.
        sys.stdout.reconfigure(errors="backslashreplace")
    with one_line_errors():
        sys.exit(call())


if __name__ == "__main__":
    main()
