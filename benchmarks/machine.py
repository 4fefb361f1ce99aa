"""Where and with what something was measured."""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
LIBRARIES = ("polars", "pyarrow", "numpy", "pandera", "deltalake", "duckdb", "pandas", "pyspark")


def circumstances() -> dict[str, Any]:
    """Date, commit, machine and versions, as the results' JSON has them."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "machine": {
            "cpu": _after("/proc/cpuinfo", "model name") or platform.processor(),
            "cores": cores(),
            "memory_bytes": memory_bytes("MemTotal"),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "load_average": [round(load, 2) for load in os.getloadavg()],
        },
        "versions": {"python": platform.python_version(), **versions(("mynapoint", *LIBRARIES))},
    }


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def memory_bytes(name: str) -> int:
    """A line of /proc/meminfo: MemTotal, MemAvailable."""
    return int(_after("/proc/meminfo", name).removesuffix("kB")) * 1024


def versions(names: Sequence[str]) -> dict[str, str]:
    """The versions of those that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def described(circumstances: Mapping[str, Any]) -> str:
    """The circumstances in a few lines of Markdown."""
    machine = circumstances["machine"]
    libraries = ", ".join(f"{name} {text}" for name, text in circumstances["versions"].items())
    load = ", ".join(f"{load:.1f}" for load in machine["load_average"])
    busy = ""
    if max(machine["load_average"]) > machine["cores"] / 2:
        busy = " Other programs were at work: compare processor time rather than time."
    return (
        f"Measured {circumstances['date']}, commit {circumstances['commit']}, on "
        f"{machine['cores']} cores ({machine['cpu']}), {machine['memory_bytes'] / 2**30:.1f} GiB, "
        f"{machine['system']}; load average before: {load}.{busy} {libraries}.\n"
    )


def _after(path: str, name: str) -> str:
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _commit() -> str:
    """The commit, and whether anything but results has been changed since."""
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--", ".", ":!benchmarks/results")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}, changed" if changed else commit


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
