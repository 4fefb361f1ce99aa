"""The codes of `method`: what the layouts that ship say, and what the registry that ships knows."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import in_this_process, without_note
from deliveries import Desk, as_csv, enrollment, transaction
from laid_out_files import read

from engine.layouts.catalogue import built_in_layouts, load_layout
from engine.layouts.model import Layout
from engine.terms.services import load_services

# What a provider's file leaves out of its own accord, or skips by another column.
NOT_IN_THE_FILES = {
    # Money that persons send each other stands in 取引内容 and is left out as no charge.
    ("paypay", "transfer"),
}


def codes_of(layout: Layout) -> Iterator[str]:
    source = layout.columns.get("method")
    if source is not None:
        yield from (source.words or {}).values()
        yield from (code.code for code in source.codes)


@pytest.mark.parametrize("layout_id", built_in_layouts())
def test_each_code_of_a_layout_that_ships_is_known_to_the_registry(layout_id: str) -> None:
    known = load_services(None).known_methods
    assert {*codes_of(load_layout(layout_id))} <= known


def test_each_code_that_a_service_excludes_comes_out_of_a_layout_of_its_files() -> None:
    layouts = [load_layout(layout_id) for layout_id in built_in_layouts()]
    for service in load_services(None).services:
        own_layouts = [
            layout
            for layout in layouts
            if layout.columns["service_id"].constant in (None, service.service_id)
        ]
        come_out = {code for layout in own_layouts for code in codes_of(layout)}
        left = {code for code in service.excluded_methods if code not in come_out}
        assert {(service.service_id, code) for code in left} <= NOT_IN_THE_FILES


PAYPAY = "取引日,出金金額（円）,入金金額（円）,取引内容,取引先,取引方法,支払い区分,取引番号\n"


@pytest.mark.parametrize(
    ("method", "instalments", "code"),
    [
        ("クレジット VISA 0000", "-", "other_credit_card"),
        ('"PayPayポイント (4円), クレジット VISA 0000 (6円)"', "-", "other_credit_card"),
        ('"PayPayポイント (400円), PayPay残高 (600円)"', "-", "mixed"),
        ("PayPayカード 0000", "-", "paypay_card"),
        ("PayPayカード 0000", "分割払い", "instalment"),
        ("PayPayカード 0000", "3回", "instalment"),
        ("PayPayカード 0000", "1回", "paypay_card"),
        ("PayPayカード 0000", "リボ払い", "revolving"),
        ("PayPayポイント", "-", "points"),
        ("PayPay残高", "-", "balance"),
        ("セブン銀行ATM", "-", "atm"),
        ("架空銀行", "-", "bank"),
        ("ギフトカード", "-", "gift_card"),
        # What nobody knows stays as it is, and the run names it.
        ("新しい払い方", "-", "新しい払い方"),
        ("-", "-", ""),
    ],
)
def test_a_payments_means_become_the_registrys_codes(
    method: str, instalments: str, code: str, tmp_path: Path
) -> None:
    path = tmp_path / "paypay.csv"
    row = f"2020/10/02 12:00:01,500,-,支払い,架空,{method},{instalments},1"
    path.write_text(f"{PAYPAY}{row}\n")
    assert [row["method"] for row in read(path, "paypay", account_id="Y1").rows] == [code]


SERVICES = """
[[services]]
service_id = "coin"
name = "Coin"
basis = "purchase"
excluded_methods = ["points"]
earning_methods = ["balance"]
"""


def test_a_method_that_no_service_lists_is_named_and_a_known_one_is_not(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    methods = ["balance", "Points", "points", "", "Points", "card 1234567890123456"]
    rows = [transaction(number, method=method) for number, method in enumerate(methods, 1)]
    path = desk.write("t.csv", as_csv(rows))
    services = desk.write("methods.toml", SERVICES)
    done = in_this_process(
        *("run", desk.book, "--booked-on", "2020-10-01", "--services", services),
        *("--enrollments", desk.enrollments, "--transactions", path),
    )
    assert done.returncode == 0
    assert without_note(done.stderr) == (
        f'warning: {path}: row 2: method "Points" is listed by no service of the registry (2 rows)'
        f'\nwarning: {path}: row 6: method "card …" is listed by no service of the registry (1 row)'
        "\n"
    )
    assert "1234" not in done.stderr


def test_nothing_is_named_where_the_registry_lists_no_methods(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    path = desk.write("t.csv", as_csv([transaction(1, method="anything")]))
    assert not desk.run(path).record.warnings


def test_of_many_unknown_methods_a_few_are_named_and_the_rest_counted(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.services.write_text(SERVICES)
    rows = [transaction(number, method=f"m{number}") for number in range(1, 41)]
    warnings = desk.run(desk.write("t.csv", as_csv(rows))).record.warnings
    assert len(warnings) == 11
    assert warnings[-1].what == "30 more methods are listed by no service"


def test_the_account_that_may_be_enrolled_is_not_part_of_it(tmp_path: Path) -> None:
    """Rows that cannot be read are not looked at: quarantine names them already."""
    desk = Desk(tmp_path)
    desk.services.write_text(SERVICES)
    rows = [transaction(1), transaction(2, method="odd", amount="x")]
    path = desk.write("t.csv", as_csv(rows))
    desk.write("enrollments.csv", as_csv([enrollment(1)]))
    assert not desk.run(path, max_quarantined=1).record.warnings
