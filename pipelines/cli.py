"""The command line: which commands there are, and what is said of a wrong one."""

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from importlib.metadata import version

from cyclopts import App, CycloptsError, Parameter, UnknownOptionError
from cyclopts.config import Env

from engine.errors import InputError
from pipelines.commands.audit import draw, remarks, workpapers
from pipelines.commands.desk import (
    browse,
    claim,
    diff,
    explain,
    reconcile,
    report,
    seal,
    simulate,
    verify,
)
from pipelines.commands.files import (
    completion,
    layouts,
    manual,
    new_layout,
    preview,
    quarantine,
    sample,
)
from pipelines.commands.nightly import due, payout, pending, run
from pipelines.commands.operator import (
    check,
    night,
    publish,
    replay,
    runs,
    show_config,
    status,
    validate_config,
)
from pipelines.shown.errors import output_may_fail

_HELP = """マイナポイントの付与台帳を作る: deliveries in, a validated ledger of awards out.

Start with sample deliveries and book their first night:

    mynapoint sample DIR
    mynapoint run BOOK --booked-on 2020-11-03 \\
        --enrollments DIR/night-001/enrollments.csv \\
        --transactions DIR/night-001/transactions-*

Exit codes: 0 done; 1 differences found; 2 unusable input or wrong usage;
3 the book is in use or damaged. With 2 nothing was booked.

What no option says, the environment may: --max-quarantined of mynapoint run is
MYNAPOINT_RUN_MAX_QUARANTINED, and so on.
"""

_ENVIRONMENT = "MYNAPOINT_"

app = App(
    name="mynapoint",
    help=_HELP,
    help_format="plaintext",
    version=lambda: version("mynapoint"),
    version_flags=["--version"],
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
    # No --no-quiet, no --empty-transactions.
    default_parameter=Parameter(negative=()),
    # Of each command under its own name: MYNAPOINT_RUN_MAX_QUARANTINED.
    config=Env(_ENVIRONMENT, show=False),
)

for _command in (
    *(run, night, check, runs, status, replay, publish, payout, due, pending),
    *(verify, seal, explain, browse, reconcile, claim, diff, report, simulate),
    *(draw, remarks, workpapers),
    *(sample, layouts, preview, quarantine, completion, manual),
):
    app.command(_command)
_layout = App(name="layout", help="Describe a provider's file / レイアウトを作る.")
_layout.command(new_layout, name="new")
app.command(_layout)
_config = App(name="config", help="Show or check the sources file / 設定ファイルの表示と検査.")
_config.command(show_config, name="show")
_config.command(validate_config, name="validate")
app.command(_config)


def call(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line; gives its exit code.

    Raises:
        MynapointError: the command could not be done.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments:
        raise InputError("no command was given", hint="see mynapoint --help", code="wrong_usage")
    try:
        command, bound, unparsed = app.parse_args(list(arguments))
        if "arguments" in unparsed:
            # The order of the options says which layout applies to which file.
            bound.arguments["arguments"] = tuple(arguments)
            _refuse_order_by_environment(arguments[0])
        # Help and version are commands of cyclopts itself, and only print.
        prints = output_may_fail if command.__module__.startswith("cyclopts") else nullcontext
        code = None
        with prints():
            code = command(*bound.args, **bound.kwargs)
    except CycloptsError as error:
        command_name = " ".join(("mynapoint", *(error.command_chain or ())))
        raise InputError(
            _wrong_usage(error), hint=f"see {command_name} --help", code="wrong_usage"
        ) from error
    return code if isinstance(code, int) else 0


def _refuse_order_by_environment(command: str) -> None:
    """Refuses options whose place on the command line says what they hold for."""
    for name in ("LAYOUT", "SET"):
        variable = f"{_ENVIRONMENT}{command.upper()}_{name}"
        if variable in os.environ:
            raise InputError(
                f"{variable}: a layout and what is set hold for the files that follow them",
                hint="name them on the command line, ahead of the files",
                code="wrong_usage",
            )


def _wrong_usage(error: CycloptsError) -> str:
    """What is wrong with a command line, first of all an option that the command does not have."""
    names = error.command_chain or ()
    command = app
    for name in names:
        command = command[name]
    options = command.assemble_argument_collection() if command.default_command else ()
    known = {name for option in options for name in option.names}
    given = [token.partition("=")[0] for token in error.unused_tokens or ()]
    if isinstance(error, UnknownOptionError):
        given.append(error.token.keyword or error.token.value)
    for token in given:
        if token.startswith("-") and token.strip("-") and token not in known:
            return f"{' '.join(('mynapoint', *names))}: there is no option {token}"
    return " ".join(str(error).split())
