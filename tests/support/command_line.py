"""The real command line, in a process of its own."""

import re
import subprocess
import sys
from typing import Any

from deliveries import ROOT

COMMAND = (sys.executable, "-m", "mynapoint")


def mynapoint(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        **({"capture_output": True} | options),
        text=True,
        encoding="utf-8",
        cwd=ROOT,
        check=False,
        timeout=60,
    )


def without_note(stderr: str) -> str:
    """What a command said but for the note that it made a new book."""
    return re.sub(r"^note: .*: there was no book here, .*\n", "", stderr, flags=re.MULTILINE)
