"""The recipes for a night: units that systemd takes, command lines that mynapoint takes, a DAG."""

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deliveries import ROOT

from pipelines.cli import app, call
from pipelines.night.sources import load_sources

EXAMPLES = ROOT / "examples" / "nightly"
SERVICE = (EXAMPLES / "mynapoint-night.service").read_text()
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def analyze(
    folder: Path, *words: str, with_store: bool = False
) -> subprocess.CompletedProcess[str]:
    """systemd's own look at the units; the program stands for one that is there."""
    unit = folder / "mynapoint-night.service"
    unit.write_text(SERVICE.replace("/opt/mynapoint/bin/mynapoint", "/bin/true"))
    shutil.copy(EXAMPLES / "mynapoint-night.timer", folder)
    if with_store:
        (folder / f"{unit.name}.d").mkdir()
        shutil.copy(EXAMPLES / "object-store.conf", folder / f"{unit.name}.d")
    command = ["systemd-analyze", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@needs_systemd
@pytest.mark.parametrize("with_store", [False, True])
def test_systemd_takes_the_units(tmp_path: Path, with_store: bool) -> None:
    units = ("./mynapoint-night.service", "./mynapoint-night.timer")
    done = analyze(tmp_path, "verify", *units, with_store=with_store)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_the_service_is_exposed_to_little(tmp_path: Path) -> None:
    unit = "./mynapoint-night.service"
    done = analyze(tmp_path, "security", "--offline=yes", "--threshold=15", unit)
    assert done.returncode == 0, done.stdout
    [exposure] = re.findall(r"exposure level for .*: ([0-9.]+)", done.stdout)
    assert float(exposure) <= 1.5
    said = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert f"`systemd-analyze security` is {exposure}" in said


def command_lines() -> list[str]:
    lines = re.findall(r"^ExecStart=(.*)$", SERVICE, re.MULTILINE)
    lines += re.findall(
        r"^[0-9*/ ]+ mynapoint (/opt/\S+ .*)$", (EXAMPLES / "crontab").read_text(), re.M
    )
    container = (EXAMPLES / "Containerfile").read_text()
    lines += re.findall(r"^#\s+(mynapoint .*)$", container, re.MULTILINE)
    return [line.partition(" >")[0] for line in lines]


@pytest.mark.parametrize("line", command_lines())
def test_mynapoint_takes_every_command_line(line: str) -> None:
    program, *words = shlex.split(line)
    assert Path(program).name == "mynapoint"
    command, bound, _ = app.parse_args(words)
    assert command.__name__ == words[0]
    assert str(bound.args[0]) == "/var/lib/mynapoint/book"


def test_there_is_a_line_for_each_way() -> None:
    assert len(command_lines()) == 4


def test_the_container_is_not_root_and_takes_what_is_there() -> None:
    lines = (EXAMPLES / "Containerfile").read_text().splitlines()
    users = [line for line in lines if line.startswith("USER ")]
    assert users == ["USER 10001:10001"]
    copied = [line.split()[1:-1] for line in lines if re.match(r"COPY (?!--from)", line)]
    assert all((ROOT / name).exists() for names in copied for name in names)


def test_the_sources_and_gates_are_valid(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["config", "validate", "--config", str(EXAMPLES / "mynapoint.toml")]) == 0
    assert call(["config", "validate", "--config", str(EXAMPLES / "sample.toml")]) == 0
    capsys.readouterr()
    assert load_sources(EXAMPLES / "mynapoint.toml").options.existing


def test_every_file_of_the_folder_is_in_its_table() -> None:
    said = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for path in filter(Path.is_file, EXAMPLES.iterdir()):
        assert (
            path.name in (".ruff.toml", "README.md")
            or f"`{path.name}`" in said
            or (path.suffix == ".timer" and "`.timer`" in said)
        )


# --- Airflow --------------------------------------------------------------------------------------


class FailError(Exception):
    """Stands for Airflow's exception after which nothing is tried again."""


class RetryError(Exception):
    """Stands for Airflow's exception after which it tries again."""


def load_dag(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The DAG's module, with what stands for the few names of Airflow that it uses."""

    def decorator(**_: object) -> Callable[[Any], Any]:
        return lambda function: function

    sdk, exceptions = types.ModuleType("airflow.sdk"), types.ModuleType("airflow.exceptions")
    vars(sdk).update(task=decorator, dag=lambda **_: lambda _function: lambda: None)
    vars(exceptions).update(AirflowException=RetryError, AirflowFailException=FailError)
    for module in (types.ModuleType("airflow"), sdk, exceptions):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    spec = importlib.util.spec_from_file_location("airflow_dag", EXAMPLES / "airflow_dag.py")
    assert spec is not None
    assert spec.loader is not None
    dag = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(dag)
    return dag


def test_the_dags_task_gives_the_record_or_says_whether_to_try_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dag = load_dag(monkeypatch)
    command = tmp_path / "mynapoint"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m mynapoint "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name, value in (
        ("MYNAPOINT", str(command)),
        ("BOOK", str(tmp_path / "book")),
        ("CONFIG", str(EXAMPLES / "sample.toml")),
    ):
        monkeypatch.setattr(dag, name, value)
    record = dag.book_the_night("2020-11-03")
    kept = json.loads((tmp_path / "book" / "runs" / "000001" / "record.json").read_bytes())
    assert record == kept | {"already_booked": False}
    with pytest.raises(FailError, match="earlier than the last run"):
        dag.book_the_night("2020-11-02")
    (tmp_path / "book" / "ledger" / "_delta_log" / "00000000000000000000.json").write_text("{}")
    with pytest.raises(RetryError):
        dag.book_the_night("2020-11-04")


# --- What the command line says of itself ---------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_know_the_commands(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["completion", shell]) == 0
    said = capsys.readouterr().out
    for word in ("night", "status", "max-age", "booked-on"):
        assert word in said


@pytest.mark.parametrize("form", ["man", "markdown", "html"])
def test_the_manual_has_every_command_and_no_complaint(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["manual", "--as", form]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "System Message" not in said.out
    for word in ("night", "status", "reconcile", "付与"):
        assert word in said.out
    if form == "man":
        assert '.TH "mynapoint" "1"' in said.out
