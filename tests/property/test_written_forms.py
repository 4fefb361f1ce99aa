"""Dates and amounts as providers write them: what is read, and what is nothing but malformed."""

import datetime as dt

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.layouts.amounts import read_amounts
from engine.layouts.dates import compile_form, read_dates, read_plain_dates

AMOUNTS: dict[str, int | None] = {
    "0": 0,
    "1": 1,
    "0012": 12,
    "10000": 10_000,
    "10,000": 10_000,
    "10,000円": 10_000,
    "1,234,567 円": 1_234_567,
    "\\10,612": 10_612,
    "\\ 10,612": 10_612,
    "¥500": 500,
    "￥５００": 500,
    "+10,000": 10_000,
    "１２，３４５円": 12_345,
    "-500": -500,
    "－５００": -500,
    "−500": -500,
    "▲300": -300,
    "△1,300": -1300,
    "\\-5": -5,
    "-\\5": -5,
    "(1,000)": -1000,
    "（１，０００円）": -1000,
    "1,00": None,
    "1,0000": None,
    ",100": None,
    "100,": None,
    "10,00,000": None,
    "1.5": None,
    "100.0": 100,
    "1 000": None,
    "一万円": None,
    "円": None,
    "(100": None,
    "100)": None,
    "--5": None,
    "100-": None,
    "$100": None,
    "1e3": None,
    "٣": None,
}


@pytest.mark.parametrize("among", ["alone", "with all others"])
@pytest.mark.parametrize("text", AMOUNTS)
def test_an_amount_is_read_as_it_is_meant_or_not_at_all(text: str, among: str) -> None:
    texts = [text] if among == "alone" else [text, *AMOUNTS]
    read = read_amounts(pl.Series(texts)).signed[0]
    assert (None if read == "?" else int(read)) == AMOUNTS[text]


@given(st.integers(0, 10**15), st.sampled_from(("{:,}円", "¥{:,}", "{}", "({:,})", "-{:,}")))
def test_any_amount_that_is_written_is_read(amount: int, form: str) -> None:
    read = read_amounts(pl.Series([form.format(amount)]))
    assert [int(digits) for digits in read.digits] == [amount]
    assert read.negative.to_list() == [form[0] in "(-"]


DATES: list[tuple[str, str, str | None]] = [
    ("YYYY/MM/DD", "2020/09/05", "2020-09-05 00:00:00"),
    ("YYYY/MM/DD", "2020/9/5", None),
    ("YYYY/MM/DD", "2021/02/30", None),
    ("YYYY/MM/DD", "2020/02/29", "2020-02-29 00:00:00"),
    ("YYYY/MM/DD", "2020-09-05", None),
    ("YYYY/MM/DD", "2020/09/05 ", None),
    ("YYYY/MM/DD", "0000/01/01", None),
    ("YYYY/MM/DD", "２０２０／０９／０５", "2020-09-05 00:00:00"),
    ("YYYY/M/D", "2018/10/22", "2018-10-22 00:00:00"),
    ("YYYY/M/D", "2018/1/2", "2018-01-02 00:00:00"),
    ("YYYY/M/D", "2018/13/2", None),
    ("YYYY/M/D", "2018/0/2", None),
    ("YYYY/M/D", "2018/001/2", None),
    ("YYYY/M/D H:mm:ss", "2020/9/5 7:05:09", "2020-09-05 07:05:09"),
    ("YYYY/M/D H:mm:ss", "2020/9/5 24:00:00", None),
    ("YYYY/M/D H:mm:ss", "2020/9/5 7:60:00", None),
    ("YYYY/MM/DD HH:mm:ss", "2020/09/05 23:59:59", "2020-09-05 23:59:59"),
    ("YYYY/MM/DD HH:mm:ss", "2020/09/05 23:59:60", None),
    ("YYYY/MM/DD HH:mm:ss", "2020/09/05 24:00:00", None),
    ("YYYY/MM/DD HH:mm:ss", "2020/09/05", None),
    ("YYYYMMDDHHmmss", "20200905070509", "2020-09-05 07:05:09"),
    ("YYYY-MM-DDTHH:mm", "2020-09-05T07:05", "2020-09-05 07:05:00"),
    ("YYYY年M月D日", "2020年9月5日", "2020-09-05 00:00:00"),
    ("YYYY年M月D日 H時m分", "２０２０年９月５日 ７時５分", "2020-09-05 07:05:00"),
    ("GE年M月D日", "令和2年9月5日", "2020-09-05 00:00:00"),
    ("GE年M月D日", "令和元年5月1日", "2019-05-01 00:00:00"),
    ("GE年M月D日", "令和元年4月30日", None),
    ("GE年M月D日", "平成31年4月30日", "2019-04-30 00:00:00"),
    ("GE年M月D日", "平成31年5月1日", None),
    ("GE年M月D日", "大正5年5月1日", None),
    ("GE年M月D日", "令和0年5月1日", None),
    ("GE.M.D", "R2.9.5", "2020-09-05 00:00:00"),
    ("GEEMMDD", "R020905", "2020-09-05 00:00:00"),
    ("YYMMDD", "200905", "2020-09-05 00:00:00"),
    ("YYMMDD", "210230", None),
]


@pytest.mark.parametrize(("form", "text", "expected"), DATES)
def test_a_date_is_read_in_its_form_alone(form: str, text: str, expected: str | None) -> None:
    read = read_dates(pl.Series([text, None]), [compile_form(form)]).to_list()
    assert read == [None if expected is None else dt.datetime.fromisoformat(expected), None]


def test_years_of_an_era_that_is_not_written_are_those_that_the_layout_says() -> None:
    form = compile_form("EEMMDD")
    read = read_dates(pl.Series(["020905", "310101"]), [form], era="令和").to_list()
    assert read == [dt.datetime(2020, 9, 5), dt.datetime(2049, 1, 1)]


def test_a_date_without_a_year_is_the_latest_up_to_the_day_that_was_given() -> None:
    texts = pl.Series(["1/15", "1/16", "12/31", "2/29", "2/30"])
    read = read_dates(texts, [compile_form("M/D")], latest=dt.date(2021, 1, 15)).to_list()
    assert [None if at is None else at.date().isoformat() for at in read] == [
        *("2021-01-15", "2020-01-16", "2020-12-31", "2020-02-29"),
        None,
    ]


def test_forms_are_tried_in_their_order() -> None:
    forms = [compile_form("YYYY/M/D H:mm"), compile_form("YYYY/M/D"), compile_form("YYMMDD")]
    read = read_dates(pl.Series(["2020/9/5", "200906", "2020/9/7 1:00", "x"]), forms).to_list()
    assert read == [*(dt.datetime(2020, 9, n) for n in (5, 6)), dt.datetime(2020, 9, 7, 1), None]


INSTANTS = st.datetimes(dt.datetime(1, 1, 1))
FIXED = INSTANTS.map(lambda at: f"{at.year:04}/{at:%m/%d %H:%M:%S}")
VARIED = INSTANTS.map(lambda at: f"{at.year:04}/{at.month}/{at.day} {at.hour}:{at:%M:%S}")
NEARLY = st.sampled_from(
    (
        *("2020/02/30 00:00:00", "2020/01/01 24:00:00", "0000/01/01 00:00:00", "2020/1/1 1:2:03"),
        *("/2020/1/1 1:02:03", "20201/1/1 1:02:03", "2020//1 1:02:03", "2020/1/1 1:02:03 "),
        *("2020/111/1 1:02:03", "2020/1/1:1 02:03", "20201001 010203", "2020/1/1 12:03"),
    )
)
MANY_FORMS = [
    ["YYYY/MM/DD HH:mm:ss"],
    ["YYYY/M/D H:mm:ss"],
    ["YYYYMMDD HHmmss", "YYYY/M/D H:mm:ss"],
    ["YYYY/M/D H:mm", "YYYY/MM/DD HH:mm:ss", "YYYY/M/D H:mm:ss"],
    ["YYYY/D/M H:mm:ss", "YYYY/M/D H:mm:ss"],
    ["YYYYMMDD H:mm:ss", "YYYY/M/D H:mm:ss"],
]


@pytest.mark.parametrize("forms", MANY_FORMS, ids=" or ".join)
@settings(deadline=None)
@given(st.lists(FIXED, min_size=1, max_size=4) | st.lists(VARIED | NEARLY, min_size=1, max_size=4))
def test_the_fast_way_reads_what_the_thorough_way_reads_or_nothing(
    forms: list[str], texts: list[str]
) -> None:
    compiled = [compile_form(form) for form in forms]
    fast = read_plain_dates([pa.array(texts)], "", compiled)
    assert fast is None or fast.to_list() == read_dates(pl.Series(texts), compiled).to_list()


# Forms, and how they are written.
AS_USUAL = {
    "YYYY/MM/DD HH:mm:ss": "{0.year:04}/{0:%m/%d %H:%M:%S}",
    "YYYY/M/D H:mm:ss": "{0.year:04}/{0.month}/{0.day} {0.hour}:{0:%M:%S}",
    "YYYY/M/D H:mm": "{0.year:04}/{0.month}/{0.day} {0.hour}:{0:%M}",
    "YYYY/M/D": "{0.year:04}/{0.month}/{0.day}",
    "YYYYMMDD H:mm:ss": "{0.year:04}{0:%m%d} {0.hour}:{0:%M:%S}",
    "YYYYMMDD HHmmss": "{0.year:04}{0:%m%d %H%M%S}",
    "YYYY/MM/DD HHmmss": "{0.year:04}/{0:%m/%d %H%M%S}",
    "YYYY-MM-DDTHHmmss": "{0.year:04}-{0:%m-%dT%H%M%S}",
    "YYYYMMDDHHmmss": "{0.year:04}{0:%m%d%H%M%S}",
    "YYYYMMDD": "{0.year:04}{0:%m%d}",
}


def written(form: str) -> st.SearchStrategy[list[str]]:
    return st.lists(INSTANTS.map(AS_USUAL[form].format), min_size=1, max_size=4)


@pytest.mark.parametrize("form", AS_USUAL)
@settings(deadline=None)
@given(data=st.data())
def test_what_is_written_as_usual_is_read_the_fast_way(form: str, data: st.DataObject) -> None:
    texts, forms = data.draw(written(form)), [compile_form(form)]
    fast, thorough = (
        read_plain_dates([pa.array(texts)], "", forms),
        read_dates(pl.Series(texts), forms),
    )
    assert not thorough.has_nulls()
    assert fast is not None
    assert fast.to_list() == thorough.to_list()


@pytest.mark.parametrize("form", AS_USUAL)
@settings(deadline=None)
@given(data=st.data())
def test_one_text_that_is_written_otherwise_is_never_read_for_another(
    form: str, data: st.DataObject
) -> None:
    texts, forms = data.draw(written(form)), [compile_form(form)]
    place = data.draw(st.integers(0, len(texts) - 1))
    text = texts[place]
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, len(text)))
    texts[place] = text[:start] + data.draw(st.text("059/:- T", max_size=3)) + text[stop:]
    fast = read_plain_dates([pa.array(texts)], "", forms)
    assert fast is None or fast.to_list() == read_dates(pl.Series(texts), forms).to_list()


@pytest.mark.parametrize("form", ["YYYYMMDD HHmmss", "YYYY/MM/DD HHmmss", "YYYY-MM-DDTHHmmss"])
def test_a_last_text_that_ends_too_early_is_not_read_beyond_its_end(form: str) -> None:
    whole = AS_USUAL[form].format(dt.datetime(2020, 10, 5, 9, 30))
    texts, forms = [whole, whole[:-3]], [compile_form(form)]
    assert read_plain_dates([pa.array(texts)], "", forms) is None


@settings(deadline=None)
@given(st.lists(INSTANTS, min_size=1, max_size=4))
def test_a_day_and_a_time_in_two_columns_are_read_as_if_they_were_in_one(
    instants: list[dt.datetime],
) -> None:
    instants = [at.replace(microsecond=0) for at in instants]
    days = pa.array([f"{at:%Y%m%d}".zfill(8) for at in instants])
    times = pa.array([f"{at:%H%M%S}" for at in instants])
    forms = [compile_form("YYYYMMDD HHmmss")]
    read = read_plain_dates([days, times], " ", forms)
    assert read is not None
    assert read.to_list() == instants
    assert read_plain_dates([days, times], "-", forms) is None
    assert read_plain_dates([times, days], " ", forms) is None


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2020/10/05 午前9:05", 9),
        ("2020/10/05 午後9:05", 21),
        ("2020/10/05 午前0:05", 0),
        ("2020/10/05 午前12:05", 0),
        ("2020/10/05 午後0:05", 12),
        ("2020/10/05 午後12:05", 12),
        ("2020/10/05 PM3:05", 15),
        ("2020/10/05 am３：05", 3),
        ("2020/10/05 午後13:05", None),
        ("2020/10/05 9:05", None),
        ("2020/10/05 夜9:05", None),
    ],
)
def test_an_hour_of_the_half_day_is_read_as_that_of_the_day(text: str, hour: int | None) -> None:
    expected = None if hour is None else dt.datetime(2020, 10, 5, hour, 5)
    assert read_dates(pl.Series([text]), [compile_form("YYYY/M/D Ah:mm")]).to_list() == [expected]


def test_an_afternoon_of_many_rows_is_read_as_each_is() -> None:
    texts = [
        f"2020/10/05 午{half}{hour}:{m:02}"
        for half in "前後"
        for hour in range(12)
        for m in (0, 59)
    ]
    made = read_dates(pl.Series(texts), [compile_form("YYYY/MM/DD Ah:mm")])
    assert made.is_sorted()
    assert made.n_unique() == 48
