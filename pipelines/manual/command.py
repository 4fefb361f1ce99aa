"""The commands' bodies: a shell's completions, and the manual, from the command line itself."""

import re
import sys
from importlib.metadata import version
from typing import Final, Literal

from cyclopts import App

from engine.extras import require_extra
from pipelines.shown.errors import output_may_fail

Shell = Literal["bash", "zsh", "fish"]
ManualForm = Literal["man", "markdown", "html"]

_CONTENTS: Final = re.compile(r"^\.\. contents::.*\n(?:[ ]+:.*\n)*", re.MULTILINE)
_EXAMPLE: Final = "book their first night:\n"


def print_completion(app: App, shell: Shell) -> int:
    """Prints the completions of a shell."""
    with output_may_fail():
        sys.stdout.write(app.generate_completion(shell=shell))
    return 0


def print_manual(app: App, form: ManualForm) -> int:
    """Prints the manual.

    Raises:
        InputError: a man page was asked for, and docutils is not installed.
    """
    text = _man_page(app) if form == "man" else app.generate_docs(output_format=form)
    with output_may_fail():
        sys.stdout.write(text)
    return 0


def _man_page(app: App) -> str:
    require_extra("manual", "man", "docutils")
    from docutils.core import publish_string

    text = app.generate_docs(output_format="rst")
    # A man page has no links to click; and an indented example is literal text only after "::".
    text = _CONTENTS.sub("", text).replace(_EXAMPLE, f"{_EXAMPLE[:-1]}:\n")
    title, rest = text.split("\n\n::\n", 1)
    facts = f":manual_section: 1\n:version: {version('mynapoint')}\n"
    settings = {"file_insertion_enabled": False, "raw_enabled": False, "report_level": 5}
    page = publish_string(
        f"{title}\n\n{facts}\n::\n{rest}", writer="manpage", settings_overrides=settings
    )
    return page.decode() if isinstance(page, bytes) else str(page)
