"""What could have run and was skipped fails a session that says so."""

from types import SimpleNamespace
from typing import Any

import pytest
from skips import NOBODY_CAN_RUN, Skips


def session_with(reason: str, *allowed: str) -> tuple[int, list[str]]:
    skips, session = Skips(allowed), SimpleNamespace(exitstatus=pytest.ExitCode.OK)
    skipped: Any = SimpleNamespace(
        skipped=True, nodeid="test_it", longrepr=("file", 1, f"Skipped: {reason}")
    )
    skips.pytest_runtest_logreport(skipped)
    of_pytest: Any = session
    skips.pytest_sessionfinish(of_pytest)
    return session.exitstatus, skips.found


def test_a_test_that_could_have_run_fails_the_session() -> None:
    assert session_with("Chromium is not installed") == (1, ["test_it: Chromium is not installed"])


@pytest.mark.parametrize("reason", NOBODY_CAN_RUN)
def test_what_nobody_can_run_may_be_skipped(reason: str) -> None:
    assert session_with(reason) == (0, [])


def test_what_could_not_be_installed_may_be_skipped_where_that_is_said() -> None:
    assert session_with("Chromium is not installed", "Chromium") == (0, [])
    assert session_with("pandas is not installed", "Chromium")[0] == 1
