"""The real command line, in a process of its own."""

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
