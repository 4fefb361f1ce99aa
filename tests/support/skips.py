"""A session with ``--no-skips`` fails where a test was skipped that could have run."""

from collections.abc import Sequence
from typing import Final

import pytest

NOBODY_CAN_RUN: Final = (
    "nothing is closed to root",
    "this world has a night that cannot be booked",
    "only glibc has these settings",
)


class Skips:
    """What was skipped for another reason than those allowed, which a reason may begin with."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self.allowed, self.found = (*NOBODY_CAN_RUN, *allowed), list[str]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        assert isinstance(report.longrepr, tuple)
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not reason.startswith(self.allowed):
            self.found.append(f"{report.nodeid}: {reason}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.found and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in self.found:
            terminalreporter.write_line(f"SKIPPED, and --no-skips forbids it: {line}", red=True)
