"""Libraries that not every command needs, each with the extra of the package that installs it."""

from importlib import import_module
from typing import Final, Literal

from engine.errors import InputError

Extra = Literal[
    "verify",
    "desk",
    "report",
    "seal",
    "browse",
    "spark",
    "metrics",
    "man",
    "xlsx",
    "store",
    "lineage",
]

# By module, the library's name.
_NAMES: Final = {
    "docutils": "Docutils",
    "duckdb": "DuckDB",
    "jinja2": "Jinja2",
    "obstore": "obstore",
    "openlineage": "openlineage-python",
    "openpyxl": "openpyxl",
    "prometheus_client": "prometheus-client",
    "pygal": "pygal",
    "pyspark": "PySpark",
    "rfc3161_client": "rfc3161-client",
    "starlette": "Starlette",
    "uvicorn": "Uvicorn",
    "vl_convert": "vl-convert",
    "xlsxwriter": "XlsxWriter",
}


def require_extra(command: str, extra: Extra, *modules: str, where: str = "") -> None:
    """Makes sure, before a command does any work, that the libraries it needs are installed.

    Args:
        command: the command or option that needs them.
        extra: the extra that installs them.
        modules: the modules to be imported.
        where: what the hint adds, where this machine is not the only one.

    Raises:
        InputError: some are not installed.
    """
    missing = [_NAMES[module] for module in modules if not _can_be_imported(module)]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise InputError(
            f"{command}: {' and '.join(missing)} {verb} not installed (extra: {extra})",
            hint=f"pip install 'mynapoint[{extra}]'{where}",
            code="missing_extra",
        )


def _can_be_imported(module: str) -> bool:
    try:
        import_module(module)
    except ImportError:
        return False
    return True
