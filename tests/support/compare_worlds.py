"""Book random worlds with the engine and with the oracle, and show the first difference small.

    cd tests/support
    python compare_worlds.py                    # 100 worlds with events, from seed 0
    python compare_worlds.py --first 500 --worlds 1000
    python compare_worlds.py --kind plain       # without events; `clean`: no unreadable rows
    python compare_worlds.py --seed 17 --no-shrink
    python compare_worlds.py --reads FOLDER     # a dumped world once more, perhaps edited

A world that differs is made smaller, by dropping nights and rows for as long as the same table
differs, and written to a folder: one CSV file for each night and role, the services, the
programme, `run.sh` with the commands, and `expected.txt` with all that the oracle books. Exit 0: no
difference.
"""

import argparse
import csv
import io
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import oracle
import worlds
from against_the_oracle import ROLES, DeliveredAs, differences_of_night, run_engine

ROWS_OF = {role: f"{role.removesuffix('s')}_rows" for role in ROLES}


@dataclass(frozen=True)
class Found:
    """The first night at which the engine and the oracle differ."""

    night: int
    table: str
    shown: str


# --- Comparing one world --------------------------------------------------------------------------


def compare(world: worlds.World, settings: dict[str, Any]) -> Found | None:
    with tempfile.TemporaryDirectory() as folder:
        book = Path(folder) / "book"
        for number, (expected, _) in enumerate(worlds.nights_of_the_oracle(world)):
            delivery = DeliveredAs(world, number, Path(folder))
            try:
                run_engine(book, delivery, **settings)
                differences = differences_of_night(book, delivery, expected)
            except Exception as error:  # noqa: BLE001 - whatever the engine stumbles over
                stack = "".join(traceback.format_exception(error)[-4:])
                return Found(number + 1, f"{type(error).__name__} in the engine", stack)
            if differences:
                shown = "\n".join(str(difference) for difference in differences)
                return Found(number + 1, differences[0].table, shown)
    return None


# --- Making a world smaller -----------------------------------------------------------------------


def plainly_written(world: worlds.World) -> worlds.World:
    """Write the rows anew: one file for each night and role, as the rows stand."""
    nights = []
    for night in world.nights:
        files: dict[str, Any] = {}
        for role in ROLES:
            rows = getattr(night, ROWS_OF[role])
            files[role] = ((f"{role}.csv", as_csv(role, rows)),) if rows else ()
        nights.append(replace(night, **files))
    return replace(world, nights=tuple(nights))


def as_csv(role: str, rows: tuple[worlds.Row, ...]) -> str:
    required, optional = worlds.columns_of(role)
    columns = (*required, *optional)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        values = [row.values.get(column, "") for column in columns]
        if row.blanks:
            values = [" "]
        elif row.fields_off < 0:
            values = values[: max(2, len(values) + row.fields_off)]
        writer.writerow([*values, *[""] * max(0, row.fields_off)])
    return text.getvalue()


def without_night(world: worlds.World, number: int) -> worlds.World:
    """Drop a night; what it gave of services and programme is given by the next one."""
    dropped = world.nights[number]
    nights = [*world.nights[:number], *world.nights[number + 1 :]]
    if number < len(nights):
        following = nights[number]
        nights[number] = replace(
            following,
            services=following.services or dropped.services,
            programme=following.programme or dropped.programme,
        )
    return replace(world, nights=tuple(nights))


def tidied(world: worlds.World) -> worlds.World:
    """Take the blanks around values away."""

    def rows(role: str, night: worlds.Night) -> tuple[worlds.Row, ...]:
        return tuple(
            replace(row, values={c: oracle.trimmed(text) for c, text in row.values.items()})
            for row in getattr(night, ROWS_OF[role])
        )

    nights = []
    for night in world.nights:
        changed: dict[str, Any] = {ROWS_OF[role]: rows(role, night) for role in ROLES}
        nights.append(replace(night, **changed))
    return replace(world, nights=tuple(nights))


def without_rows(
    world: worlds.World, night: int, rows: str, begin: int, end: int
) -> worlds.World | None:
    """Drop some of the rows that a night delivers in one role; None where there are none."""
    held = getattr(world.nights[night], rows)
    if begin >= len(held):
        return None
    fewer: dict[str, Any] = {rows: held[:begin] + held[end:]}
    nights = list(world.nights)
    nights[night] = replace(nights[night], **fewer)
    return replace(world, nights=tuple(nights))


class Shrinker:
    """Drops nights and rows for as long as the same table differs."""

    def __init__(
        self,
        world: worlds.World,
        found: Found,
        differs: Callable[[worlds.World], Found | None],
        seconds: float,
    ) -> None:
        self.world = world
        self.found = found
        self.differs = differs
        self.deadline = time.monotonic() + seconds

    def takes(self, candidate: worlds.World | None) -> bool:
        """Go on with the candidate if it differs, too."""
        if candidate is None or time.monotonic() > self.deadline:
            return False
        plain = plainly_written(candidate)
        try:
            found = self.differs(plain)
        except oracle.UnusableError:
            return False
        if found is None or found.table != self.found.table:
            return False
        self.world, self.found = replace(plain, nights=plain.nights[: found.night]), found
        return True

    def shrink(self) -> None:
        if not self.takes(replace(self.world, nights=self.world.nights[: self.found.night])):
            print("(written plainly, the world does not differ: it is left as it is)")
            return
        self.takes(tidied(self.world))
        size = max(len(getattr(n, rows)) for n in self.world.nights for rows in ROWS_OF.values())
        smaller = True
        while (size > 1 or smaller) and time.monotonic() < self.deadline:
            smaller = self.drop_nights() | self.drop_rows(size)
            if not smaller or size > 1:
                size = max(1, size // 2)

    def drop_nights(self) -> bool:
        before = self.world
        for number in reversed(range(len(self.world.nights))):
            if 1 < len(self.world.nights) > number:
                self.takes(without_night(self.world, number))
        return self.world is not before

    def drop_rows(self, size: int) -> bool:
        """Drop rows so many at a time, wherever they are."""
        before = self.world
        for rows in reversed(ROWS_OF.values()):
            for night in reversed(range(len(self.world.nights))):
                begin = 0
                while night < len(self.world.nights):
                    if begin >= len(getattr(self.world.nights[night], rows)):
                        break
                    candidate = without_rows(self.world, night, rows, begin, begin + size)
                    if not self.takes(candidate):
                        begin += size
        return self.world is not before


# --- Writing a world down, and reading it again ---------------------------------------------------


def dump(world: worlds.World, found: Found, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    commands = ["set -e", 'cd "$(dirname "$0")"', "rm -rf book"]
    expected = []
    for number, night in enumerate(world.nights):
        DeliveredAs(world, number, folder)
        here = f"night-{number + 1}"
        (folder / here / "booked_on.txt").write_text(f"{night.booked_on}\n")
        command = f"mynapoint run book --booked-on {night.booked_on} --max-quarantined 1"
        if night.terms_as_of is not None:
            (folder / here / "terms_as_of.txt").write_text(f"{night.terms_as_of}\n")
            command += f" --terms-as-of {night.terms_as_of}"
        for option in ("services", "programme"):
            if getattr(night, option) is not None:
                command += f" --{option} {here}/{option}.toml"
        for role in ROLES:
            for name, _ in getattr(night, role):
                command += f" --{role} {shlex.quote(f'{here}/{name}')}"
        commands.append(command)
    for number, (booked, _) in enumerate(worlds.nights_of_the_oracle(world), 1):
        expected.append(f"night {number}")
        for table in fields(booked):
            value = getattr(booked, table.name)
            expected.append(f"  {table.name}")
            rows = value if isinstance(value, list) else [value]
            expected += [f"    {row}" for row in rows]
    (folder / "run.sh").write_text("\n".join([*commands, ""]))
    (folder / "expected.txt").write_text("\n".join([*expected, ""]))
    (folder / "difference.txt").write_text(f"night {found.night}: {found.shown}\n")


def read_dumped(folder: Path) -> worlds.World:
    nights = []
    count = len(list(folder.glob("night-*")))
    for number in range(1, count + 1):
        here = folder / f"night-{number}"
        texts = {
            name: (here / name).read_bytes().decode()
            for name in ("services.toml", "programme.toml", "terms_as_of.txt", "booked_on.txt")
            if (here / name).exists()
        }
        files: dict[str, tuple[oracle.File, ...]] = {}
        rows: dict[str, tuple[worlds.Row, ...]] = {}
        for role in ROLES:
            paths = sorted(here.glob(f"{role}*.csv"))
            files[role] = tuple((path.name, path.read_bytes().decode()) for path in paths)
            rows[ROWS_OF[role]] = tuple(
                worlds.Row(record.values)
                for file in files[role]
                for record in oracle.read_records(file, *worlds.columns_of(role))
                if record.values is not None
            )
        terms_as_of = texts.get("terms_as_of.txt")
        nights.append(
            worlds.Night(
                booked_on=date.fromisoformat(texts["booked_on.txt"].strip()),
                terms_as_of=date.fromisoformat(terms_as_of.strip()) if terms_as_of else None,
                services=texts.get("services.toml"),
                programme=texts.get("programme.toml"),
                **rows,  # type: ignore[arg-type]
                **files,  # type: ignore[arg-type]
            )
        )
    return worlds.World(0, tuple(nights))


# --- The command ----------------------------------------------------------------------------------


def show_world(world: worlds.World) -> None:
    for number, night in enumerate(world.nights, 1):
        as_of = f", terms as of {night.terms_as_of}" if night.terms_as_of else ""
        print(f"night {number}: {night.booked_on}{as_of}")
        for role in ROLES:
            for _, text in getattr(night, role):
                print("".join(f"    {line}\n" for line in text.splitlines()), end="")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--worlds", type=int, default=100, help="how many seeds")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--kind", choices=("corrected", "plain", "clean"), default="corrected")
    parser.add_argument("--rounding", choices=("cumulative", "month", "transaction"))
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rows-per-slice", type=int)
    parser.add_argument("--no-shrink", action="store_true")
    parser.add_argument("--shrink-seconds", type=float, default=120)
    parser.add_argument("--differences", type=int, default=1, help="go on until so many are found")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "worlds")
    parser.add_argument("--reads", type=Path, help="a folder with a dumped world")
    args = parser.parse_args()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    settings = {"threads": args.threads, "rows_per_slice": args.rows_per_slice}

    def differs(world: worlds.World) -> Found | None:
        return compare(world, settings)

    def world_of(seed: int) -> worlds.World:
        if args.reads is not None:
            return read_dumped(args.reads)
        return worlds.make(
            seed,
            clean=args.kind == "clean",
            corrected=args.kind != "plain",
            rounding=args.rounding,
        )

    seeds = range(args.first, args.first + args.worlds)
    if args.seed is not None or args.reads is not None:
        seeds = range(args.seed or 0, (args.seed or 0) + 1)
    count = 0
    for seed in seeds:
        world = world_of(seed)
        found = differs(world)
        if found is None:
            continue
        count += 1
        if not args.no_shrink:
            shrinker = Shrinker(world, found, differs, args.shrink_seconds)
            shrinker.shrink()
            world, found = shrinker.world, shrinker.found
        folder = args.out / f"{args.kind}-{seed}"
        if args.reads is None:
            dump(world, found, folder)
        print(f"--- seed {seed} ({args.kind}): night {found.night} differs; files in {folder}")
        show_world(world)
        print(f"night {found.night}:")
        print(found.shown)
        if count >= args.differences:
            break
    print(f"{count} of {seed - seeds.start + 1} worlds differ")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
