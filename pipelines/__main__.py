"""``mynapoint`` and ``python -m pipelines``."""

import sys

from pipelines.cli import call
from pipelines.errors import one_line_errors


def main() -> None:
    """Runs a command and leaves with its exit code."""
    with one_line_errors():
        sys.exit(call())


if __name__ == "__main__":
    main()
