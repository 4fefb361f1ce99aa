"""The real command line, in a process of its own or in this one, which costs no imports."""

import io
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from deliveries import ROOT

from pipelines.cli import call
from pipelines.shown.errors import one_line_errors

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


def in_this_process(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """The same without a process: what the command says on both streams, and its exit code."""
    words, said, complained = list(map(str, arguments)), io.StringIO(), io.StringIO()
    before = Path.cwd()
    os.chdir(cwd)
    try:
        with redirect_stdout(said), redirect_stderr(complained), one_line_errors():
            code = call(words)
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        os.chdir(before)
    return subprocess.CompletedProcess(words, code, said.getvalue(), complained.getvalue())


def without_note(stderr: str) -> str:
    """What a command said but for the note that it made a new book."""
    return re.sub(r"^note: .*: there was no book here, .*\n", "", stderr, flags=re.MULTILINE)
