"""Payouts, row by row in plain Python: slow and obvious, and no code of the engine's.

A ledger is a list of dicts with the ledger's columns, in booking order; payouts are a list of dicts
with the columns of the book's table. `View` says whose the accounts are.
"""

import calendar
import datetime as dt
import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]
Account = tuple[str, str]
DAY = dt.timedelta(days=1)


@dataclass
class View:
    """Whose the accounts are: by account the person and whether the enrollment is in force."""

    enrolled: dict[Account, tuple[str, bool]] = field(default_factory=dict)
    # (service, account, new number, effective_at), in order of acceptance
    replacements: list[tuple[str, str, str, dt.datetime]] = field(default_factory=list)
    # (service, account, effective_at, whether stopped), in order of acceptance
    stops: list[tuple[str, str, dt.datetime, bool]] = field(default_factory=list)

    def belongs(self, service: str, number: str) -> str:
        seen: set[str] = set()
        while number not in seen:
            seen.add(number)
            _, in_force = self.enrolled.get((service, number), ("", False))
            before = [old for s, old, new, _ in self.replacements if (s, new) == (service, number)]
            if in_force or not before:
                return number
            number = before[0]
        return number

    def newest(self, service: str, account: str, until: dt.datetime) -> str:
        number, latest = account, dt.datetime.min
        for s, _, new, effective_at in self.replacements:
            replaces_it = s == service and self.belongs(s, new) == account
            if replaces_it and effective_at < until and effective_at >= latest:
                number, latest = new, effective_at
        return number

    def stopped(self, until: dt.datetime) -> set[Account]:
        last: dict[Account, tuple[dt.datetime, bool]] = {}
        for service, account, effective_at, stops in self.stops:
            known = last.get((service, account), (dt.datetime.min, False))
            if effective_at < until and effective_at >= known[0]:
                last[service, account] = effective_at, stops
        return {account for account, (_, stops) in last.items() if stops}


@dataclass
class Book:
    """All that payouts follow from; `schedules` are the tables of the services file."""

    schedules: dict[str, Row]
    closes_on: dict[str, dt.date] = field(default_factory=dict)
    window_last: dt.date = dt.date(2021, 9, 30)
    ledger: list[Row] = field(default_factory=list)
    payouts: list[Row] = field(default_factory=list)
    view: View = field(default_factory=View)
    last_booked_on: dt.date = dt.date(2020, 9, 1)

    def account(self, entry: Row) -> Account:
        return entry["service_id"], entry["enrolled_account_id"] or entry["account_id"]

    def day(self, place: int) -> dt.date:
        """The day of the charge or purchase that an entry is about."""
        entry = self.ledger[place]
        for before in reversed(self.ledger[:place]):
            if (
                before["kind"] in ("charge", "purchase")
                and before["person_id"] == entry["person_id"]
                and before["service_id"] == entry["service_id"]
                and before["transaction_id"] == entry["original_transaction_id"]
            ):
                entry = before
                break
        occurred_at: dt.datetime = entry["occurred_at"]
        return occurred_at.date()

    def reached_on(self, account: Account, yen: int, on: dt.date) -> dt.date | None:
        spent: dict[dt.date, int] = defaultdict(int)
        for place, entry in enumerate(self.ledger):
            if self.account(entry) == account and entry["booked_on"] <= on:
                spent[self.day(place)] += entry["net_amount"]
        total = 0
        for day in sorted(spent):
            total += spent[day]
            if total >= yen:
                return day
        return None

    def due_on(self, place: int, on: dt.date) -> dt.date:
        entry, day = self.ledger[place], self.day(place)
        schedule = self.schedules[entry["service_id"]]
        if schedule["when"] == "at_once":
            due = entry["booked_on"]
        elif schedule["when"] == "days_after":
            due = day + schedule["days"] * DAY
        elif schedule["when"] == "month_day":
            months = schedule["months"] - (day.day <= schedule.get("cut_day", 0))
            due = month_day(day, months, schedule["day"])
        else:
            reached = self.reached_on(self.account(entry), schedule["yen"], on)
            due = schedule["rest_on"]
            if reached is not None:
                later = max(reached, day)
                due = min(due, month_day(later, schedule["months"], schedule["day"]))
        latest: dt.date = max(due, entry["booked_on"])
        return latest

    def lines(self) -> dict[str, Row]:
        """Payouts by ID, with the answer that stands."""
        lines: dict[str, Row] = {}
        for row in self.payouts:
            if row["entry"] == "instructed":
                lines[row["payout_id"]] = {**row, "answer": None}
        for row in self.payouts:
            if row["entry"] != "instructed":
                line = lines[row["payout_id"]]
                done = row["points"] if row["entry"] == "done" else 0
                line["done"] = line.get("done", 0) + done
                if row["points"] > 0:
                    line["answer"] = (row["on"], row["code"])
        for line in lines.values():
            service = line["service_id"]
            line["now"] = service, self.view.belongs(service, line["account_id"])
        return lines

    def figures(self, on: dt.date) -> dict[Account, Row]:
        """What each account is owed, without regard to what its person has left."""
        until = dt.datetime.combine(max(on, self.last_booked_on), dt.time()) + DAY
        lines = self.lines()
        found: dict[Account, Row] = {}
        accounts = {self.account(entry) for entry in self.ledger}
        for account in sorted(accounts | {line["now"] for line in lines.values()}):
            service = account[0]
            schedule = self.schedules[service]
            places = [place for place, e in enumerate(self.ledger) if self.account(e) == account]
            awarded = sum(self.ledger[place]["points"] for place in places)
            is_due = {place: self.due_on(place, on) for place in places}
            due = sum(self.ledger[p]["points"] for p in places if is_due[p] <= on)
            days = [is_due[p] for p in places if is_due[p] <= on and self.ledger[p]["points"]]
            of_account = [line for line in lines.values() if line["now"] == account]
            granted = taken = open_pay = open_take_back = 0
            for line in of_account:
                pays = line["direction"] == "pay"
                if line["answer"] is None and pays:
                    open_pay += line["points"]
                elif line["answer"] is None:
                    open_take_back += line["points"]
                elif pays:
                    granted += line["done"]
                else:
                    taken += line["done"]
            person, in_force = self.view.enrolled.get(account, (None, False))
            newest = self.view.newest(service, account[1], until)
            answered = [
                line for line in of_account if line["direction"] == "pay" and line["answer"]
            ]
            held = False
            if answered:
                last = max(answered, key=lambda line: (line["payout_run_id"], line["payout_id"]))
                held = (
                    last["account_id"] == newest
                    and last["done"] < last["points"]
                    and last["answer"][1] in schedule.get("hold_codes", ())
                )
            last_day = schedule.get("last_payout_on")
            closed = last_day is not None and on > last_day
            withheld = account in self.view.stopped(until) or held
            first = schedule.get("take_back_from", self.window_last + 61 * DAY)
            over = service in self.closes_on and on > self.closes_on[service]
            owed = min(due, awarded)
            paid = granted - taken + open_pay
            wanted = max(0, owed - paid)
            debt = max(0, granted - taken - open_take_back - awarded)
            found[account] = {
                "person": person,
                "newest": newest,
                "due_on": max(days, default=None),
                "awarded": awarded,
                "owed": owed,
                "granted": granted,
                "taken_back": taken,
                "unanswered": open_pay - open_take_back,
                "paid": paid,
                "closed": closed,
                "wanted": 0 if withheld or closed else wanted,
                "take_back": debt if on >= first or over or not in_force else 0,
            }
        return found

    def pay(self, found: dict[Account, Row], services: list[str] | None) -> None:
        left: dict[str, int] = defaultdict(int)
        for row in found.values():
            if row["person"] is not None:
                left[row["person"]] += row["awarded"] - row["paid"]
        for (service, _), row in sorted(found.items()):
            wanted = row["wanted"] if services is None or service in services else 0
            if row["person"] is not None:
                wanted = max(0, min(wanted, left[row["person"]]))
                left[row["person"]] -= wanted
            row["pay"] = wanted

    def instruct(self, run: str, on: dt.date, services: list[str] | None = None) -> list[Row]:
        """What a payout run instructs, as rows of the table."""
        found = self.figures(on)
        self.pay(found, services)
        rows = []
        for (service, account), row in sorted(found.items()):
            if services is not None and service not in services:
                continue
            for direction in ("pay", "take_back"):
                points = row[direction]
                if points:
                    said = f"{service}\n{account}\n{run}\n{direction}\n{points}\n"
                    rows.append(
                        {
                            "payout_run_id": run,
                            "entry": "instructed",
                            "payout_id": hashlib.sha256(said.encode()).hexdigest()[:32],
                            "service_id": service,
                            "account_id": row["newest"],
                            "enrolled_account_id": account,
                            "direction": direction,
                            "points": points,
                            "on": on,
                            "due_on": row["due_on"],
                            "code": None,
                        }
                    )
        return rows

    def bridge(self, on: dt.date) -> dict[str, Row]:
        found = self.figures(on)
        self.pay(found, None)
        sums: dict[str, Row] = {}
        for (service, _), row in found.items():
            paid = row["granted"] - row["taken_back"] + row["unanswered"]
            owing = max(0, row["owed"] - paid)
            terms = {
                "awarded": row["awarded"],
                "granted": row["granted"],
                "taken_back": row["taken_back"],
                "unanswered": row["unanswered"],
                "due": row["pay"],
                "withheld": owing - row["pay"],
                "not_yet_due": max(0, row["awarded"] - paid) - owing,
                "lapsed": 0,
                "debt": max(0, paid - row["awarded"]),
            }
            if row["closed"]:
                terms["lapsed"] = terms["withheld"] + terms["not_yet_due"]
                terms["withheld"] = terms["not_yet_due"] = 0
            of_service = sums.setdefault(service, dict.fromkeys(terms, 0))
            for name, points in terms.items():
                of_service[name] += points
        return dict(sorted(sums.items()))

    def answer(self, run: str, answers: list[Row]) -> tuple[list[Row], list[tuple[int, str]], int]:
        """Rows of the table, what is set aside (place and error), how many say nothing new."""
        lines = self.lines()
        rows: list[Row] = []
        faults: list[tuple[int, str]] = []
        unchanged = 0
        for payout_id in sorted({answer["payout_id"] for answer in answers}):
            line = lines[payout_id]
            whole = line["points"]
            ignore = self.schedules[line["service_id"]].get("ignore_codes", ())
            said = []
            for place, answer in enumerate(answers):
                if answer["payout_id"] != payout_id:
                    continue
                if answer["code"] in ignore:
                    unchanged += 1
                    continue
                outcomes: dict[str, int] = {"done": whole, "refused": 0}
                points = outcomes.get(answer["outcome"])
                if points is None:
                    points = answer["points"]
                assert points is not None
                said.append((place, answer["answered_on"], points, answer["code"]))
            before = line["answer"]
            old_on = before[0] if before else dt.date.min
            old_points = line.get("done")
            by_day: dict[dt.date, set[int]] = defaultdict(set)
            for _, day, points, _ in said:
                by_day[day].add(points)
            conflicts = {
                day
                for day, points in by_day.items()
                if (day == old_on and points != {old_points}) or (day > old_on and len(points) > 1)
            }
            latest = max(by_day, default=dt.date.min)
            stands_on, stands = old_on, old_points
            if not conflicts and latest > old_on:
                stands_on, [stands] = latest, by_day[latest]
            accepted = False
            for place, day, points, _ in said:
                if conflicts and (day > old_on or (day == old_on and points != old_points)):
                    faults.append((place, "payout_id:conflict"))
                elif day == stands_on != old_on and not accepted:
                    accepted = True
                elif points == stands or (day == old_on and points == old_points):
                    unchanged += 1
                else:
                    faults.append((place, "payout_id:overtaken"))
            if not accepted:
                continue
            assert stands is not None
            codes = [code for _, day, _, code in said if day == stands_on]
            code = None if None in codes else min(codes)
            entries = [("done", stands, code), ("refused", whole - stands, code)]
            if before:
                assert old_points is not None
                entries += [("done", -old_points, before[1])]
                entries += [("refused", old_points - whole, before[1])]
            for entry, points, its_code in entries:
                if points:
                    rows.append(
                        {
                            **{key: line[key] for key in _OF_LINE},
                            "payout_run_id": run,
                            "entry": entry,
                            "points": points,
                            "on": stands_on,
                            "due_on": None,
                            "code": its_code,
                        }
                    )
        return rows, sorted(faults), unchanged


_OF_LINE = ("payout_id", "service_id", "account_id", "enrolled_account_id", "direction")


def month_day(day: dt.date, months: int, wanted: int | str) -> dt.date:
    """A day of a later month, clipped to its end."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return dt.date(year, month + 1, last if wanted == "last" else min(int(wanted), last))
