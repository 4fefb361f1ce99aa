"""The programme's terms and the registry of services: what is taken, and what is refused.

Each file in `broken/` breaks one rule; its first line, `# error: …`, has the words that the
error must contain.
"""

from __future__ import annotations

import ast
import datetime as dt
import hashlib
import importlib
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from traceback import walk_tb
from typing import Any

import pytest
from deliveries import TESTS

import engine
from engine.errors import BookError, InputError, MynapointError
from engine.layouts.catalogue import load_layout
from engine.terms.payout import Payout
from engine.terms.programme import (
    Programme,
    Terms,
    built_in_programmes,
    load_programme,
    parse_programme,
)
from engine.terms.services import Service, load_services, parse_services
from engine.terms.strict_toml import MAX_FILE_BYTES

BROKEN = TESTS / "broken"
BROKEN_PROGRAMMES = sorted((BROKEN / "programmes").glob("*.toml"))
BROKEN_SERVICES = sorted((BROKEN / "services").glob("*.toml"))
BROKEN_LAYOUTS = sorted((BROKEN / "layouts").glob("*.toml"))

PROGRAMME = """\
programme_id = "small"
name = "a programme"
[rate]
numerator = 25
denominator = 100
source = "the rate's source"
[cap]
spending_yen = 20_000
source = "the cap's source"
[[terms]]
announced_on = 2020-07-01
window_first = 2020-09-01
window_last = 2021-03-31
applications_last = 2021-02-28
card_applications_last = 2021-01-31
source = "the terms' source"
"""
SERVICE = """\
[[services]]
service_id = "coin"
name = "a coin"
basis = "purchase"
"""


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def assert_is_for_people(error: MynapointError) -> None:
    for text in (error.message, error.hint):
        assert text
        assert text.splitlines() == [text]
    assert str(error) == error.message


# --- Broken files -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "load"),
    [
        *(pytest.param(f, load_programme, id=f"programmes/{f.stem}") for f in BROKEN_PROGRAMMES),
        *(pytest.param(f, load_services, id=f"services/{f.stem}") for f in BROKEN_SERVICES),
        *(pytest.param(f, load_layout, id=f"layouts/{f.stem}") for f in BROKEN_LAYOUTS),
    ],
)
def test_a_broken_file_is_refused_with_its_words(
    file: Path, load: Callable[[Path], object]
) -> None:
    first_line = file.read_bytes().split(b"\n", 1)[0].decode("utf-8")
    words = first_line.removeprefix("# error: ")
    assert words != first_line

    with pytest.raises(InputError) as caught:
        load(file)

    assert words in caught.value.message
    assert caught.value.message.startswith(f"{file}: ")
    assert caught.value.exit_code == 2
    assert_is_for_people(caught.value)


def test_every_folder_of_broken_files_has_files() -> None:
    assert len(BROKEN_PROGRAMMES) > 30
    assert len(BROKEN_SERVICES) > 30
    assert len(BROKEN_LAYOUTS) > 30


def test_every_fault_the_loaders_can_raise_has_a_broken_file() -> None:
    raised: set[tuple[str, int]] = set()
    loads: dict[str, Callable[[Path], object]] = {
        "programmes": load_programme,
        "services": load_services,
        "layouts": load_layout,
    }
    for file in (*BROKEN_PROGRAMMES, *BROKEN_SERVICES, *BROKEN_LAYOUTS):
        with pytest.raises(InputError) as caught:
            loads[file.parent.name](file)
        raised.update(
            (frame.f_code.co_filename, line) for frame, line in walk_tb(caught.value.__traceback__)
        )

    # A missing file and the like are not broken files; they have tests of their own below.
    elsewhere = {"read_text", "load_programme", "terms_as_of", "load_layout", "describe"}
    elsewhere |= {"_check_text"}
    modules = (
        "engine.terms.strict_toml",
        "engine.terms.payout",
        "engine.terms.programme",
        "engine.terms.services",
        "engine.layouts.catalogue",
        "engine.layouts.columns_section",
        "engine.layouts.date_keys",
        "engine.layouts.file_section",
        "engine.layouts.names",
        "engine.layouts.parameters",
        "engine.layouts.parsing",
        "engine.layouts.refunded_section",
        "engine.layouts.row_tests",
        "engine.layouts.sections",
    )
    paths = [str(importlib.import_module(module).__file__) for module in modules]
    never = [
        f"{path}:{statement.lineno}"
        for path in paths
        for function in ast.walk(ast.parse(Path(path).read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef) and function.name not in elsewhere
        for statement in ast.walk(function)
        if isinstance(statement, ast.Raise) and (path, statement.lineno) not in raised
    ]
    assert never == []


@pytest.mark.parametrize("load", [load_programme, load_services, load_layout])
def test_a_file_that_cannot_be_read_is_named(
    load: Callable[[Path], object], tmp_path: Path
) -> None:
    huge = tmp_path / "huge.toml"
    huge.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    for path, words in (
        (tmp_path / "none.toml", "none.toml: no such file"),
        (tmp_path / "two\nlines.toml", r"two\nlines.toml: no such file"),
        (tmp_path, "is a folder, not a file"),
        (tmp_path / "nul\0.toml", "cannot be read"),
        (huge / "below.toml", "cannot be read: Not a directory"),
        (huge, "has more than 1,048,576 bytes"),
    ):
        with pytest.raises(InputError) as caught:
            load(path)
        assert words in caught.value.message
        assert_is_for_people(caught.value)


# --- The programme ------------------------------------------------------------------------

MOVED_TERMS: dict[str, tuple[str, Any]] = {
    "announced_on": ("announced_on = 2020-07-02", day("2020-07-02")),
    "window_first": ("window_first = 2020-09-02", day("2020-09-02")),
    "window_last": ("window_last = 2021-09-30", day("2021-09-30")),
    "applications_last": ("applications_last = 2021-03-01", day("2021-03-01")),
    "card_applications_last": ("card_applications_last = 2021-02-01", day("2021-02-01")),
    "source": ('source = "another"', "another"),
}
MOVED_PROGRAMME: dict[str, tuple[str, str, Any]] = {
    "programme_id": ('programme_id = "small"', 'programme_id = "large"', "large"),
    "name": ('name = "a programme"', 'name = "another"', "another"),
    "reconsider_days": (
        'name = "a programme"',
        'name = "a programme"\nreconsider_days = 400',
        400,
    ),
    "rate_numerator": ("numerator = 25", "numerator = 100", 100),
    "rate_denominator": ("denominator = 100", "denominator = 25", 25),
    "cap_yen": ("spending_yen = 20_000", "spending_yen = 1_000_000_000", 1_000_000_000),
}


def moved(text: str, old: str, new: str) -> str:
    assert text.count(f"\n{old}\n") == 1 or text.startswith(f"{old}\n")
    return text.replace(old, new)


def without_text(programme: Programme) -> Programme:
    return replace(programme, text="", sha256="")


def test_every_parameter_of_a_programme_changes_what_is_read_and_nothing_else() -> None:
    before = parse_programme(PROGRAMME, "here")
    others = {"terms", "text", "sha256", "reconsider_days"}
    assert {f.name for f in fields(Programme)} == {*MOVED_PROGRAMME, *others}
    for name, (old, new, value) in MOVED_PROGRAMME.items():
        after = parse_programme(moved(PROGRAMME, old, new), "here")
        assert getattr(after, name) == value != getattr(before, name)
        assert without_text(after) == without_text(replace(before, **{name: value}))
        assert after.sha256 != before.sha256


def test_every_parameter_of_the_terms_changes_what_is_read_and_nothing_else() -> None:
    before = parse_programme(PROGRAMME, "here").terms[0]
    assert {f.name for f in fields(Terms)} == set(MOVED_TERMS)
    head, sign, terms = PROGRAMME.partition("[[terms]]")
    for name, (line, value) in MOVED_TERMS.items():
        changed = re.sub(rf"(?m)^{name} = .*$", line, terms)
        after = parse_programme(head + sign + changed, "here").terms
        assert getattr(before, name) != value
        assert after == (replace(before, **{name: value}),)


def test_the_latest_terms_announced_on_or_before_a_day_are_in_force() -> None:
    programme = load_programme("mynapoint-2020")
    first, extended, latest = programme.terms
    assert programme.terms_as_of(day("2020-07-01")) is first
    assert programme.terms_as_of(day("2020-11-19")) is first
    assert programme.terms_as_of(day("2020-11-20")) is extended
    assert programme.terms_as_of(day("2021-03-24")) is extended
    assert programme.terms_as_of(day("2021-03-25")) is latest
    assert programme.terms_as_of(day("2031-01-01")) is latest


def test_with_no_day_the_latest_terms_in_the_file_are_in_force() -> None:
    programme = load_programme("mynapoint-2020")
    assert programme.terms_as_of(None) is programme.terms[-1]


def test_before_the_first_announcement_no_terms_are_in_force() -> None:
    with pytest.raises(InputError, match="no terms were in force on 2020-06-30") as caught:
        load_programme("mynapoint-2020").terms_as_of(day("2020-06-30"))
    assert "2020-07-01" in caught.value.hint
    assert_is_for_people(caught.value)


def test_the_built_in_programme_has_the_values_of_the_notice() -> None:
    programme = load_programme("mynapoint-2020")
    assert built_in_programmes() == ("mynapoint-2020",)
    assert programme.programme_id == "mynapoint-2020"
    assert programme.name == "マイナポイント事業"
    assert (programme.rate_numerator, programme.rate_denominator) == (25, 100)
    assert programme.cap_yen == 20_000
    dates = [
        [
            str(date)
            for date in (
                terms.announced_on,
                terms.window_first,
                terms.window_last,
                terms.applications_last,
                terms.card_applications_last,
            )
        ]
        for terms in programme.terms
    ]
    assert dates == [
        ["2020-07-01", "2020-09-01", "2021-03-31", "2021-03-31", "2021-03-31"],
        ["2020-11-20", "2020-09-01", "2021-09-30", "2021-09-30", "2021-03-31"],
        ["2021-03-25", "2020-09-01", "2021-09-30", "2021-09-30", "2021-04-30"],
    ]
    assert (
        "2020年9月1日(マイナポイントの申込前は対象外)から2021年9月30日まで"
        in programme.terms[2].source
    )
    assert "2021年4月末までに" in programme.terms[2].source
    assert "assumed" in programme.terms[0].source


def test_a_programme_is_loaded_from_a_file_by_text_or_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "small.toml"
    file.write_bytes(PROGRAMME.encode())
    (tmp_path / "plain").write_bytes(PROGRAMME.encode())
    monkeypatch.chdir(tmp_path)
    for given in (file, str(file), "small.toml", Path("small.toml"), Path("plain"), "./plain"):
        assert load_programme(given) == parse_programme(PROGRAMME, "here")


def test_a_built_in_id_wins_over_a_file_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mynapoint-2020").write_bytes(PROGRAMME.encode())
    monkeypatch.chdir(tmp_path)
    assert load_programme("mynapoint-2020").programme_id == "mynapoint-2020"
    assert load_programme("./mynapoint-2020").programme_id == "small"
    assert load_programme(Path("mynapoint-2020")).programme_id == "small"


@pytest.mark.parametrize(
    "unknown", ["mynapoint-2021", "", "nul\0", "two\nlines", "p" * 5_000, "MYNAPOINT-2020"]
)
def test_an_unknown_programme_id_is_refused_and_the_known_ones_are_listed(unknown: str) -> None:
    with pytest.raises(InputError, match="no built-in programme has this ID") as caught:
        load_programme(unknown)
    assert "mynapoint-2020" in caught.value.hint
    assert_is_for_people(caught.value)


# --- The services -------------------------------------------------------------------------

MOVED_SERVICE: dict[str, tuple[str, Any]] = {
    "service_id": ('service_id = "gate"', "gate"),
    "name": ('name = "another"', "another"),
    "basis": ('basis = "either"', "either"),
    "rounding": ('rounding = "transaction"', "transaction"),
    "counts_from": ('counts_from = "next_day"', "next_day"),
    "preregistration": ("preregistration = true", True),
    "applications_close_on": ("applications_close_on = 2021-03-15", day("2021-03-15")),
    "awards_close_on": ("awards_close_on = 2021-03-31", day("2021-03-31")),
    "excluded_methods": ('excluded_methods = ["points", "gift"]', ("points", "gift")),
    "payout": (
        'payout = { when = "days_after", days = 30 }',
        Payout(when="days_after", days=30),
    ),
    "earning_methods": ('earning_methods = ["cash", "card"]', ("cash", "card")),
    "registered_number": ('registered_number = "MP0000064"', "MP0000064"),
    "sources": ('sources = { rounding = "a page" }', (("rounding", "a page"),)),
}


def test_every_parameter_of_a_service_changes_what_is_read_and_nothing_else() -> None:
    (before,) = parse_services(SERVICE, "here").services
    assert {f.name for f in fields(Service)} == {*MOVED_SERVICE, "lapse_rate"}
    for name, (line, value) in MOVED_SERVICE.items():
        kept = re.sub(rf"(?m)^{name} = .*\n", "", SERVICE)
        (after,) = parse_services(f"{kept}{line}\n", "here").services
        assert getattr(after, name) == value != getattr(before, name)
        assert after == replace(before, **{name: value})


SCHEDULES = {
    '{ when = "at_once" }': Payout(),
    '{ when = "days_after", days = 0 }': Payout(when="days_after"),
    '{ when = "month_day", months = 1, day = 28 }': Payout(when="month_day", months=1, day=28),
    '{ when = "month_day", months = 0, day = "last", cut_day = 7 }': Payout(
        when="month_day", day=31, cut_day=7
    ),
    '{ when = "on_reaching", yen = 20_000, months = 2, day = 25, rest_on = 2021-11-30 }': Payout(
        when="on_reaching", yen=20_000, months=2, day=25, rest_on=dt.date(2021, 11, 30)
    ),
    '{ when = "at_once", take_back_from = 2021-10-01, last_payout_on = 2022-01-31, '
    'hold_codes = ["closed"], ignore_codes = ["repeated"] }': Payout(
        take_back_from=dt.date(2021, 10, 1),
        last_payout_on=dt.date(2022, 1, 31),
        hold_codes=("closed",),
        ignore_codes=("repeated",),
    ),
}


@pytest.mark.parametrize("written", SCHEDULES)
def test_every_schedule_of_payouts_is_read(written: str) -> None:
    (service,) = parse_services(f"{SERVICE}payout = {written}\n", "here").services
    assert service.payout == SCHEDULES[written]


def test_a_lapse_rate_is_taken_with_its_source() -> None:
    text = f'{SERVICE}lapse_rate = [3, 100]\nsources = {{ lapse_rate = "filed on 2020-08-01" }}\n'
    (service,) = parse_services(text, "here").services
    assert service.lapse_rate == (3, 100)


def test_a_service_with_the_required_keys_alone_has_the_defaults() -> None:
    (service,) = parse_services(SERVICE, "here").services
    assert service == Service(service_id="coin", name="a coin", basis="purchase")
    assert service == Service(
        service_id="coin",
        name="a coin",
        basis="purchase",
        rounding="cumulative",
        counts_from="instant",
        preregistration=False,
        applications_close_on=None,
        awards_close_on=None,
        excluded_methods=(),
        payout=Payout(),
        lapse_rate=None,
        registered_number=None,
        sources=(),
    )


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("basis", ["charge", "purchase", "either"]),
        ("rounding", ["cumulative", "month", "transaction"]),
        ("counts_from", ["instant", "application_day", "next_day"]),
    ],
)
def test_every_listed_word_is_taken(key: str, words: list[str]) -> None:
    kept = re.sub(rf"(?m)^{key} = .*\n", "", SERVICE)
    for word in words:
        (service,) = parse_services(f'{kept}{key} = "{word}"\n', "here").services
        assert getattr(service, key) == word


def test_the_bounds_of_an_id_belong_to_it() -> None:
    for service_id in ("c", "c" * 64, "決" * 64, "with space", "x-0_1.y"):
        text = SERVICE.replace('"coin"', f'"{service_id}"')
        assert list(parse_services(text, "here").by_id) == [service_id]


def test_awards_may_close_on_the_day_applications_close() -> None:
    text = SERVICE + "applications_close_on = 2021-03-31\nawards_close_on = 2021-03-31\n"
    (service,) = parse_services(text, "here").services
    assert service.applications_close_on == service.awards_close_on == day("2021-03-31")


def test_services_are_kept_in_order_and_found_by_id() -> None:
    text = "".join(SERVICE.replace("coin", name) for name in ("zeta", "alpha", "mid"))
    services = parse_services(text, "here")
    assert [s.service_id for s in services.services] == ["zeta", "alpha", "mid"]
    assert services.by_id == {s.service_id: s for s in services.services}


def test_a_source_is_found_by_key() -> None:
    (service,) = parse_services(f'{SERVICE}[services.sources]\nname = "a page"\n', "h").services
    assert service.source_of("name") == "a page"
    assert service.source_of("rounding") is None


def test_the_built_in_registry_has_the_known_services() -> None:
    services = load_services(None)
    basis = {
        "charge": {
            "suica", "pasmo", "icoca", "waon", "nanaco", "rakuten-edy", "majica", "aupay",
        },
        "purchase": {
            "merpay", "rakuten-pay", "rakuten-card", "aeon-card", "smbc-card", "aupay-card",
            "d-card", "yucho-pay",
        },
        "either": {"paypay", "dbarai"},
    }  # fmt: skip
    for word, ids in basis.items():
        assert {s.service_id for s in services.services if s.basis == word} == ids

    def ids_with(holds: Callable[[Service], object]) -> set[str]:
        return {s.service_id for s in services.services if holds(s)}

    by_id = services.by_id
    assert ids_with(lambda s: s.preregistration) == {
        "suica", "pasmo", "icoca", "majica", "aeon-card",
    }  # fmt: skip
    assert ids_with(lambda s: s.awards_close_on) == {"pasmo", "smbc-card"}
    assert by_id["pasmo"].awards_close_on == day("2021-03-31")
    assert by_id["smbc-card"].awards_close_on == day("2021-09-30")
    assert ids_with(lambda s: s.rounding == "month") == {"suica", "waon"}
    assert ids_with(lambda s: s.rounding == "transaction") == {"rakuten-edy"}
    assert ids_with(lambda s: s.counts_from == "application_day") == {
        "rakuten-edy", "majica", "smbc-card",
    }  # fmt: skip
    assert ids_with(lambda s: s.excluded_methods) == {"waon", "paypay"}
    assert by_id["icoca"].registered_number == "MP0000064"
    assert by_id["majica"].registered_number == "MP0000034"
    assert by_id["dbarai"].name == "d払い"


def test_every_value_of_the_built_in_registry_names_its_source_or_says_assumed() -> None:
    optional = {"registered_number", "earning_methods", "sources"}
    for service in load_services(None).services:
        named = {f.name for f in fields(Service)} - optional
        if service.registered_number is not None:
            named.add("registered_number")
        if service.earning_methods:
            named.add("earning_methods")
        assert {key for key, _ in service.sources} == named, service.service_id
        for key, source in service.sources:
            assert source.startswith(("public: ", "assumed: ")), (service.service_id, key)


# --- Both ---------------------------------------------------------------------------------


def test_other_line_ends_and_a_bom_change_no_value() -> None:
    for text in (PROGRAMME.replace("\n", "\r\n"), f"\ufeff{PROGRAMME}"):
        assert without_text(parse_programme(text, "h")) == without_text(
            parse_programme(PROGRAMME, "h")
        )
    for text in (SERVICE.replace("\n", "\r\n"), f"\ufeff{SERVICE}"):
        assert parse_services(text, "h").services == parse_services(SERVICE, "h").services


def test_the_text_and_the_sha256_are_those_of_the_bytes_in_the_file(tmp_path: Path) -> None:
    for text in (SERVICE, SERVICE.replace("\n", "\r\n"), f"\ufeff{SERVICE}# 決済\n"):
        file = tmp_path / "services.toml"
        file.write_bytes(text.encode())
        services = load_services(file)
        assert services.text == text
        assert services.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    package = Path(str(engine.__path__[0])) / "terms"
    for loaded, name in (
        (load_services(None), "service_registries/japan-2020.toml"),
        (load_programme("mynapoint-2020"), "programmes/mynapoint-2020.toml"),
    ):
        assert loaded.sha256 == hashlib.sha256((package / name).read_bytes()).hexdigest()
        assert loaded.text.encode() == (package / name).read_bytes()


def test_what_was_loaded_can_be_parsed_again_from_its_text() -> None:
    services, programme = load_services(None), load_programme("mynapoint-2020")
    assert parse_services(services.text, "kept") == services
    assert parse_programme(programme.text, "kept") == programme


def test_what_was_loaded_cannot_be_changed_and_survives_pickling() -> None:
    services, programme = load_services(None), load_programme("mynapoint-2020")
    with pytest.raises(FrozenInstanceError):
        programme.cap_yen = 1  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        services.services[0].basis = "either"  # type: ignore[misc]
    copy = pickle.loads(pickle.dumps(services))
    assert copy == services
    assert copy.by_id == services.by_id
    assert pickle.loads(pickle.dumps(programme)) == programme
    assert len({*services.services, *copy.services}) == len(services.services)


@pytest.mark.parametrize(("kind", "exit_code"), [(InputError, 2), (BookError, 3)])
def test_an_error_keeps_its_hint_and_exit_code_when_pickled(
    kind: type[MynapointError], exit_code: int
) -> None:
    error = pickle.loads(pickle.dumps(kind("what, where", hint="do this")))
    assert type(error) is kind
    assert (error.message, error.hint, error.exit_code) == ("what, where", "do this", exit_code)


def test_an_error_stays_on_one_line_whatever_is_in_it() -> None:
    error = InputError("a\nb\r\x1b[31m\u2028\udc83 \u3000決済", hint="c\x85d")
    assert error.message == r"a\nb\r\x1b[31m\u2028\udc83 \u3000決済"
    assert error.hint == r"c\x85d"
    error.message.encode("utf-8")


def test_importing_these_modules_imports_no_third_party_package() -> None:
    program = (
        "import sys; before = set(sys.modules)\n"
        "import engine.errors, engine.terms.programme, engine.terms.services\n"
        "new = {m.partition('.')[0] for m in set(sys.modules) - before}\n"
        "print(*sorted(new - sys.stdlib_module_names - {'engine'}))"
    )
    root = Path(str(engine.__path__[0])).parent
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.split() == []
