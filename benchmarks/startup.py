"""What it takes to start: a run of 100 rows into a fresh book, and `--help`.

    python benchmarks/startup.py

User time, which other programs on the machine hardly change; medians of `--runs` runs, which take
turns.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import machine
from contestants import ENGINE, Contestant, Delivery, mynapoint
from measuring import Run, Spread, last_line, measure
from presenting import table

HERE: Final = Path(__file__).parent
RESULTS: Final = HERE / "results"
ROWS: Final = 100
PEOPLE: Final = 50


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures both; 1 when one of them fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(arguments)
    where = machine.circumstances()
    with tempfile.TemporaryDirectory(prefix="mynapoint-startup-") as temporary:
        folder = Path(temporary)
        given = Delivery(folder / "data", "csv")
        made = [
            *(sys.executable, str(HERE / "generate.py"), str(given.folder), "--format", "csv"),
            *("--rows", f"{ROWS}", "--people", f"{PEOPLE}", "--files", "1"),
        ]
        subprocess.run(made, check=True, stderr=subprocess.DEVNULL)
        engine = Contestant(ENGINE, "", "")
        runs: dict[str, list[Run]] = {f"mynapoint run, {ROWS} rows": [], "mynapoint --help": []}
        for turn in range(options.runs):
            out = folder / f"out-{turn}"
            commands = (engine.command(given, out, "", 0), [*mynapoint(), "--help"])
            for taken, command in zip(runs.values(), commands, strict=True):
                run = measure(command, out)
                if run.exit_code:
                    print(f"error: {command}: {last_line(run.stderr)}", file=sys.stderr)
                    return 1
                taken.append(run)
    lines = [
        [
            what,
            *(
                Spread.of(values).text(2)
                for values in (
                    [run.user_s for run in taken],
                    [run.system_s for run in taken],
                    [run.wall_s for run in taken],
                    [run.peak_bytes / 1e9 for run in taken],
                )
            ),
        ]
        for what, taken in runs.items()
    ]
    shown = "\n".join(
        [
            "# Start-up\n",
            machine.described(where),
            table(["", "user time, s", "system time, s", "time, s", "peak, GB"], lines),
            f"Medians of {options.runs} runs, least and most in brackets.\n",
            "To measure again:\n\n    python benchmarks/startup.py\n",
        ]
    )
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "startup.md").write_text(shown, encoding="utf-8")
    content = {
        **where,
        "user_s": {what: [round(run.user_s, 3) for run in taken] for what, taken in runs.items()},
    }
    text = json.dumps(content, ensure_ascii=False, indent=1)
    (options.results / "startup.json").write_text(text + "\n", encoding="utf-8")
    print(shown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
