"""Canonical rows as each shipped layout's provider would have written them."""

import csv
import datetime as dt
import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Literal

from engine.io.delivered.deliveries import DeliveredAs, find_delivered
from engine.io.delivered.role_files import Files
from engine.io.delivered.roles import ROLES, Role

Row = dict[str, str]
_ROLES: dict[str, Role] = {role.name: role for role in ROLES.values()}


# --- Reading --------------------------------------------------------------------------------------


@dataclass
class Read:
    """What a file was read to."""

    rows: list[Row] = field(default_factory=list)
    quarantined: dict[int, list[str]] = field(default_factory=dict)
    raw: dict[int, str] = field(default_factory=dict)
    skipped: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    read: int = 0
    rows_of_file: int = 0


def read(
    path: Path,
    layout: str | Path | None = None,
    role: str = "transactions",
    **parameters: str,
) -> Read:
    """Reads a file as a run does."""
    delivered = find_delivered([DeliveredAs(path, layout, parameters)], role)
    files = Files(_ROLES[role], delivered)
    made = Read()
    with ThreadPoolExecutor(2) as pool:
        for pieces, records in files.read(pool, 2, lambda rows: rows):
            made.read += records
            for rows in pieces:
                made.rows += [
                    {name: as_text(row[name]) for name in row if name != "row_ref"}
                    for row in rows.good.iter_rows(named=True)
                ]
                for row in files.as_quarantined(rows.faulty).iter_rows(named=True):
                    made.quarantined[row["row"]] = row["errors"]
                    made.raw[row["row"]] = row["raw"]
    made.skipped, made.rows_of_file = files.skipped, files.inputs[0].rows
    return made


def as_text(value: Any) -> str:
    return "" if value is None else str(value)


# --- Writing --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Event:
    """What happened; a refund is of the event with this number."""

    second: int
    kind: str
    amount: int
    refund_of: int | None = None

    @property
    def at(self) -> dt.datetime:
        return dt.datetime(2020, 9, 5) + dt.timedelta(seconds=self.second)

    @property
    def day(self) -> dt.datetime:
        return dt.datetime.combine(self.at.date(), dt.time())


@dataclass(frozen=True)
class Written:
    """A provider's file and the canonical rows that it stands for."""

    content: bytes
    rows: list[Row]
    parameters: Mapping[str, str]
    ending: str = ".csv"


Writer = Callable[[Sequence[Event], Random], Written]

ACCOUNT = "A-0001"


def canonical(
    event: Event,
    transaction_id: str,
    service_id: str,
    at: dt.datetime,
    original: str = "",
    **more: str,
) -> Row:
    return {
        "transaction_id": transaction_id,
        "service_id": service_id,
        "account_id": ACCOUNT,
        "occurred_at": str(at),
        "kind": event.kind,
        "amount": str(event.amount),
        "original_transaction_id": original,
        "method": "",
    } | more


def table(names: Sequence[str], rows: Sequence[Sequence[str]], random: Random, **form: Any) -> str:
    """As CSV, the line end and the quotes as chance has them."""
    text = io.StringIO(newline="")
    quotes: tuple[Literal[0, 1], ...] = (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
    writer = csv.writer(text, lineterminator="\n", quoting=random.choice(quotes), **form)
    writer.writerows([names, *rows])
    ends = random.choice(("\n", "\r\n", "both"))
    lines = text.getvalue().splitlines()
    return "".join(
        line + (random.choice(("\n", "\r\n")) if ends == "both" else ends) for line in lines
    )


def wide(text: str) -> str:
    return text.translate(str.maketrans("0123456789,-", "０１２３４５６７８９，－"))


def yen(amount: int, random: Random, *, signs: bool = False) -> str:
    """An amount as people write it."""
    grouped = f"{abs(amount):,}"
    plain = random.choice((str(abs(amount)), grouped))
    if amount < 0:
        return random.choice((f"-{plain}", f"({plain})", f"▲{plain}", wide(f"-{grouped}")))
    text = random.choice((plain, f"{plain}円", f"\\{plain}", f"￥{plain}", wide(grouped)))
    return f"+{plain}" if signs and random.random() < 0.3 else text


def numbered(ids: Sequence[str]) -> list[str]:
    """Rows with the same ID are numbered in their order."""
    seen: dict[str, int] = {}
    made = []
    for bare_id in ids:
        seen[bare_id] = seen.get(bare_id, 0) + 1
        made.append(f"{bare_id}-{seen[bare_id]}")
    return made


def day(event: Event, random: Random) -> str:
    at = event.at
    return random.choice((f"{at:%Y/%m/%d}", f"{at.year}/{at.month}/{at.day}"))


def waon(events: Sequence[Event], random: Random) -> Written:
    words = {"purchase": "支払", "charge": "チャージ", "refund": "支払取消"}
    ids = numbered([f"{ACCOUNT}-{e.day:%Y%m%d}-{words[e.kind]}-{e.amount}" for e in events])
    rows, made = [], []
    for event, row_id in zip(events, ids, strict=True):
        original = "" if event.refund_of is None else ids[event.refund_of]
        shop = random.choice(("㈱髙島①", "ﾏｯｸｽ～", "イオン"))
        rows.append(
            [day(event, random), shop, yen(event.amount, random), words[event.kind], "-", original]
        )
        made.append(canonical(event, row_id, "waon", event.day, original))
    names = ["取引年月日", "利用店舗", "利用金額（税込）", "利用区分", "チャージ区分", "元取引ID"]
    content = table(names, rows, random).encode("cp932")
    return Written(content, made, {"account_id": ACCOUNT})


def mobile_suica(events: Sequence[Event], random: Random) -> Written:
    events = [e for e in events if e.kind != "refund"]
    balance, rows, ids = 50_000, [], []
    for event in events:
        signed = event.amount if event.kind == "charge" else -event.amount
        balance += signed
        written = yen(signed, random, signs=True)
        at = random.choice((f"{event.at:%m/%d}", f"{event.at.month}月{event.at.day}日"))
        rows.append([at, "物販", "東京", "", "", yen(balance, random), written])
        ids.append(f"{ACCOUNT}-{event.day:%Y%m%d}-{balance}-{signed}")
    made = [
        canonical(event, row_id, "suica", event.day, method="goods")
        for event, row_id in zip(events, numbered(ids), strict=True)
    ]
    names = ["月日", "種別", "利用場所", "種別", "利用場所", "残高", "入金・利用額"]
    content = table(names, rows, random).encode("cp932")
    return Written(content, made, {"account_id": ACCOUNT, "as_of": "2021-01-20"})


def transit_card_reader(events: Sequence[Event], random: Random) -> Written:
    events = [e for e in events if e.kind != "refund"]
    rows, made = [], []
    for number, event in enumerate(events):
        signed = -event.amount if event.kind == "charge" else event.amount
        rows.append([day(event, random), str(number), "物販", "東京", yen(signed, random), "0"])
        row_id = f"{ACCOUNT}-{event.day:%Y%m%d}-{number}"
        made.append(canonical(event, row_id, "suica", event.day, method="goods"))
    names = ["利用日", "連番", "種別", "利用駅", "金額", "残額"]
    content = f"カードID={ACCOUNT}\r\n" + table(names, rows, random)
    return Written(content.encode("cp932"), made, {"service_id": "suica"})


def view_card(events: Sequence[Event], random: Random) -> Written:
    events = [e for e in events if e.kind != "charge"]
    whole = [e for e in events if e.refund_of is None]
    ids = dict(
        zip(
            map(id, whole),
            numbered([f"{ACCOUNT}-{e.day:%Y%m%d}-{e.amount}" for e in whole]),
            strict=True,
        )
    )
    rows, bare, originals = [], [], []
    for event in events:
        original = ids[id(whole[0])] if event.kind == "refund" else ""
        amounts = ["", yen(event.amount, random)] if original else [yen(event.amount, random), "0"]
        rows.append([day(event, random), "書店", *amounts, "", "１回払", original])
        end = f"-{original}" if original else ""
        bare.append(f"{ACCOUNT}-{event.day:%Y%m%d}-{event.amount}{end}")
        originals.append(original)
    made = [
        canonical(event, row_id, "view", event.day, original, method="one_time")
        for event, row_id, original in zip(events, numbered(bare), originals, strict=True)
    ]
    names = [
        "ご利用年月日",
        "ご利用箇所",
        "ご利用額",
        "払戻額",
        "ご請求額",
        "支払区分（回数）",
        "元取引ID",
    ]
    content = "会員番号,****\n対象カード,ビュー\n\n\nお支払日,2020/12/04\n" + table(
        names, rows, random
    )
    return Written(content.encode("cp932"), made, {"account_id": ACCOUNT, "service_id": "view"})


def paypay(events: Sequence[Event], random: Random) -> Written:
    words = {"purchase": "支払い", "charge": "チャージ", "refund": "返金"}
    rows, made = [], []
    for number, event in enumerate(events):
        amounts = [f"{event.amount:,}", "-"]
        if event.kind != "purchase":
            amounts.reverse()
        original = "-" if event.refund_of is None else f"{event.refund_of:020}"
        at = f"{event.at:%Y/%m/%d %H:%M:%S}"
        rows.append([at, *amounts, words[event.kind], "㈱髙田", "残高", f"{number:020}", original])
        made.append(
            canonical(
                event, f"{number:020}", "paypay", event.at, original.strip("-"), method="balance"
            )
        )
    names = [
        "取引日",
        "出金金額（円）",
        "入金金額（円）",
        "取引内容",
        "取引先",
        "取引方法",
        "取引番号",
    ]
    content = table([*names, "元取引番号"], rows, random)
    encoding = random.choice(("utf-8", "utf-8-sig"))
    return Written(content.encode(encoding), made, {"account_id": ACCOUNT})


def paypay_merchant(events: Sequence[Event], random: Random) -> Written:
    rows, made = [], []
    for number, event in enumerate(events):
        if event.kind == "charge" or (event.kind == "refund" and event.refund_of is None):
            continue
        refund = event.refund_of is not None
        payment_no = str(event.refund_of if refund else number)
        signed = -event.amount if refund else event.amount
        at, status = f"{event.at:%Y/%m/%d %H:%M:%S}", "返金完了" if refund else "取引完了"
        rows.append(
            [payment_no, "1", "2", status, at, random.choice((f"{signed:,}", str(signed))), "残高"]
        )
        own = f"{payment_no}-{at}-{signed}" if refund else payment_no
        original = payment_no if refund else ""
        made.append(canonical(event, own, "paypay", event.at, original, method="balance"))
    names = [
        "取引番号",
        "加盟店ID",
        "店舗ID",
        "取引ステータス",
        "取引日時",
        "取引金額",
        "支払い方法",
    ]
    return Written(table(names, rows, random).encode(), made, {"account_id": ACCOUNT})


def terminal_journal(events: Sequence[Event], random: Random) -> Written:
    words = {"purchase": "売上", "charge": "チャージ", "refund": "返品"}
    rows, made = [], []

    def key(number: int) -> tuple[str, str]:
        return f"{events[number].day:%Y%m%d}", f"{number:05}"

    for number, event in enumerate(events):
        its_day, slip = key(number)
        day_of, original = "", ""
        if event.refund_of is not None:
            day_of, slip_of = key(event.refund_of)
            original = f"{day_of}-T01-{slip_of}"
        at = event.at
        written_day = random.choice((its_day, f"{at.year}/{at.month}/{at.day}"))
        clock = f"{at:%H%M%S}" if written_day == its_day else f"{at.hour}:{at:%M:%S}"
        row = ["T01", written_day, clock, slip, ACCOUNT, words[event.kind]]
        rows.append([*row, yen(event.amount, random), day_of, original[-5:]])
        made.append(canonical(event, f"{its_day}-T01-{slip}", "tap", event.at, original))
    names = [
        *("端末番号", "取引日", "取引時刻", "伝票番号", "会員番号", "取引区分", "金額"),
        *("元取引日", "元伝票番号"),
    ]
    return Written(table(names, rows, random).encode("cp932"), made, {"service_id": "tap"})


def zengin_account_transfer(events: Sequence[Event], random: Random) -> Written:
    """One day, one charge a customer: the account is not ``ACCOUNT``."""
    first = events[0]
    records = [f"19100000012345{'ﾏｲﾅ':<40}{first.at:%m%d}".ljust(120)]
    made = []
    charges = [event for event in events if event.kind == "charge"]
    for number, event in enumerate(charges):
        customer = f"C{number:04}"
        records.append(
            f"2{'0009':<4}{'ﾐﾂｲ':<15}001{'ﾎﾝﾃﾝ':<15}    17654321{'ﾔﾏﾀﾞ':<30}{event.amount:010}0"
            f"{customer:<20}0".ljust(120)
        )
        row_id = f"{customer}-{first.day:%Y%m%d}"
        made.append(canonical(event, row_id, "bank", first.day) | {"account_id": customer})
    trailer = f"8{len(charges):06}{sum(event.amount for event in charges):012}"
    records += [trailer.ljust(120), "9".ljust(120)]
    end = random.choice(("", "\n", "\r\n"))
    content = "".join(record + end for record in records).encode("cp932")
    return Written(content, made, {"service_id": "bank", "as_of": "2020-12-31"}, ".txt")


def card_statement(
    names: Sequence[str],
    cells: Callable[[Event, str, Random], list[str]],
    *,
    encoding: str = "cp932",
    service: str | None = None,
    before: str = "",
    between: Callable[[int], list[str] | None] = lambda _: None,
    method: str = "one_time",
) -> Writer:
    """A card's statement: no numbers, refunds as negative amounts with an original filled in."""

    def write(events: Sequence[Event], random: Random) -> Written:
        events = [e for e in events if e.kind != "charge"]
        whole = [e for e in events if e.refund_of is None]
        bare = [f"{ACCOUNT}-{e.day:%Y%m%d}-{e.amount}" for e in whole]
        ids = dict(zip(map(id, whole), numbered(bare), strict=True))
        rows, all_ids, originals = [], [], []
        for number, event in enumerate(events):
            original = ids[id(whole[0])] if event.kind == "refund" else ""
            signed = -event.amount if original else event.amount
            if (line := between(number)) is not None:
                rows.append([*line, *[""] * (len(names) + 1 - len(line))])
            rows.append([*cells(event, yen(signed, random), random), original])
            end = f"-{original}" if original else ""
            all_ids.append(f"{ACCOUNT}-{event.day:%Y%m%d}-{signed}{end}")
            originals.append(original)
        made = [
            canonical(event, row_id, service or "card", event.day, original, method=method)
            for event, row_id, original in zip(events, numbered(all_ids), originals, strict=True)
        ]
        text = before + table([*names, "元取引ID"], rows, random)
        parameters = {"account_id": ACCOUNT} | ({} if service else {"service_id": "card"})
        return Written(text.encode(encoding), made, parameters)

    return write


def vpass(open_month: bool) -> Writer:
    def write(events: Sequence[Event], random: Random) -> Written:
        events = [e for e in events if e.kind == "purchase"]
        ids = numbered([f"{ACCOUNT}-{e.day:%Y%m%d}-{e.amount}" for e in events])
        rows = []
        for number, event in enumerate(events):
            if open_month:
                row = [day(event, random), "書店", "ご本人", "1回払い", "", "'20/11"]
                rows.append([*row, yen(event.amount, random), str(event.amount), *[""] * 5])
                continue
            if number % 3 == 0:
                rows.append(["架空　花子　様", f"9999-9{number}**-****", "架空カード"])
            amount = yen(event.amount, random)
            rows.append([day(event, random), "書店", amount, "１", "１", str(event.amount), ""])
        if not open_month:
            rows.append(["", "", "", "", "", "8593", ""])
        made = [
            canonical(event, row_id, "smbc-card", event.day, method="one_time")
            for event, row_id in zip(events, ids, strict=True)
        ]
        # Without a header: the first of the lines is left out.
        text = table([""], rows, random).split("\n", 1)[1]
        return Written(text.encode("cp932"), made, {"account_id": ACCOUNT})

    return write


def sfcard_viewer(events: Sequence[Event], random: Random) -> Written:
    events = [e for e in events if e.kind != "refund"]
    rows, ids = [], []
    for number, event in enumerate(events):
        signed = -event.amount if event.kind == "charge" else event.amount
        place = ["", "", "", "", "", ""]
        written = [yen(signed, random), str(number), "物販"]
        rows.append([day(event, random), *place, *written])
        ids.append(f"{ACCOUNT}-{event.day:%Y%m%d}-{number}-{signed}")
    made = [
        canonical(event, row_id, "suica", event.day, method="goods")
        for event, row_id in zip(events, numbered(ids), strict=True)
    ]
    names = ["利用年月日", "定期", "鉄道会社名", "入場駅/事業者名", "定期", "鉄道会社名"]
    names += ["出場駅/降車場所", "利用額(円)", "残額(円)", "メモ"]
    content = f"カードID={ACCOUNT}\r\n" + table(names, rows, random)
    return Written(content.encode("cp932"), made, {"service_id": "suica"})


def moneyforward_me(events: Sequence[Event], random: Random) -> Written:
    events = [e for e in events if e.kind != "refund"]
    rows, made = [], []
    for number, event in enumerate(events):
        signed = event.amount if event.kind == "charge" else -event.amount
        at = f"{event.at:%Y/%m/%d}"
        rows.append(["1", at, "書店", yen(signed, random), ACCOUNT, "", "", "", "0", f"n_{number}"])
        made.append(canonical(event, f"n_{number}", "card", event.day))
    names = ["計算対象", "日付", "内容", "金額（円）", "保有金融機関", "大項目", "中項目", "メモ"]
    content = table([*names, "振替", "ID"], rows, random)
    return Written(content.encode("cp932"), made, {"service_id": "card"})


def stripe(events: Sequence[Event], random: Random) -> Written:
    """A refund has its payment's time and customer."""
    rows, made, refunds = [], [], []
    for number, event in enumerate(e for e in events if e.kind == "purchase"):
        refunded = random.choice((0, event.amount, 1))
        status = {0: "Paid", event.amount: "Refunded"}.get(refunded, "Partially refunded")
        fraction = random.choice(("", ".00"))
        at = event.at - dt.timedelta(hours=9)
        row = [f"ch_{number}", str(at), f"{event.amount}{fraction}", f"{refunded}{fraction}"]
        rows.append([*row, "jpy", status, ACCOUNT])
        made.append(canonical(event, f"ch_{number}", "card", event.at))
        if refunded:
            refund = Event(event.second, "refund", refunded)
            refund_id = f"ch_{number}-refund"
            refunds.append(canonical(refund, refund_id, "card", event.at, f"ch_{number}"))
    names = ["id", "Created date (UTC)", "Amount", "Amount Refunded", "Currency", "Status"]
    content = table([*names, "Customer ID"], rows, random)
    return Written(content.encode(), [*made, *refunds], {"service_id": "card"})


def smaregi(events: Sequence[Event], random: Random) -> Written:
    """A cancelled sale stands there twice; a refund is of a whole sale."""
    rows, made = [], []
    for number, event in enumerate(e for e in events if e.kind == "purchase"):
        day = event.at.strftime(random.choice(("%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M:%S")))
        row = [str(number), day, "1", "0", str(event.amount), "0", ACCOUNT]
        rows.append(row)
        made.append(canonical(event, str(number), "card", event.at))
        if random.random() < 0.3:
            rows.append([*row[:3], "1", *row[4:]])
            refund = Event(event.second, "refund", event.amount)
            made.append(canonical(refund, f"{number}-1", "card", event.at, str(number)))
    names = ["取引ID", "取引日時", "取引区分", "取消区分", "合計", "内消費税", "会員ID"]
    encoding = random.choice(("utf-8-sig", "cp932"))
    return Written(table(names, rows, random).encode(encoding), made, {"service_id": "card"})


def square(events: Sequence[Event], random: Random) -> Written:
    """Dates in either form; a refund has its payment's number."""
    rows, made = [], []
    names = ["Date", "Time", "Time Zone", "Total Collected", "Transaction ID", "Payment ID"]
    for number, event in enumerate(e for e in events if e.kind != "charge"):
        of = 0 if event.kind == "refund" else number
        form = random.choice((("%Y-%m-%d", "%H:%M:%S"), ("%m/%d/%Y", "%I:%M:%S %p")))
        day, time = (event.at.strftime(part_of_form) for part_of_form in form)
        sign, word = ("-", "Refund") if event.kind == "refund" else ("", "Payment")
        ids = [f"TX{of}", f"PM{number}"]
        rows.append([day, time, "Tokyo", f"{sign}¥{event.amount:,}", *ids, word, ACCOUNT])
        own = "-".join(ids) if event.kind == "refund" else ids[0]
        original = ids[0] if event.kind == "refund" else ""
        made.append(canonical(event, own, "card", event.at, original))
    content = table([*names, "Event Type", "Customer ID"], rows, random)
    return Written(content.encode(), made, {"service_id": "card"})


def ymd(event: Event) -> str:
    return f"{event.at:%Y/%m/%d}"


CARDS: Mapping[str, Writer] = {
    "rakuten-card": card_statement(
        ["利用日", "利用店名・商品名", "利用者", "支払方法", "利用金額", "10月支払金額"],
        lambda e, amount, random: [day(e, random), "㈱書店", "本人", "1回払い", amount, ""],
        encoding="utf-8-sig",
        service="rakuten-card",
    ),
    "paypay-card": card_statement(
        ["利用日/キャンセル日", "利用店名・商品名", "利用者", "支払区分", "利用金額", "手数料"],
        lambda e, amount, random: [day(e, random), "書店", "本人*", "1回", amount, "0"],
        encoding="utf-8-sig",
    ),
    "amex-card": card_statement(
        ["ご利用日", "データ処理日", "ご利用内容", "カード会員様名", "会員番号 #", "金額"],
        lambda e, amount, _: [ymd(e), ymd(e), "書店", "KAKU HANAKO", "-29015", amount],
        method="",
    ),
    "aeon-card": card_statement(
        ["ご利用日", "利用者区分", "ご利用先", "支払方法", "", "", "ご利用金額", "備考"],
        lambda e, amount, _: [f"{e.at:%y%m%d}", "本人", "書店", "１回", "", "", amount, ""],
        service="aeon-card",
        before="ご利用カード,架空カード\r\n",
    ),
    "saison-card": card_statement(
        [
            *("利用日", "ご利用店名及び商品名", "本人・家族区分", "支払区分名称"),
            *("締前入金区分", "利用金額", "備考"),
        ],
        lambda e, amount, _: [ymd(e), "書店", "1", "1回", "", amount, ""],
        before="カード名称,架空カード\r\nお支払日,2020/12/04\r\n\r\n",
        between=lambda number: [
            "",
            "ご利用者名:カクウ ハナコ     様" if number % 2 else "【小計】",
        ],
    ),
    "epos-card": card_statement(
        [
            *("種別（ショッピング、キャッシング、その他）", "ご利用年月日", "ご利用場所"),
            *("ご利用内容", "ご利用金額（キャッシングでは元金になります）", "支払区分"),
        ],
        lambda e, amount, _: [
            *("ショッピング", f"{e.at.year}年{e.at.month}月{e.at.day}日", "書店"),
            *("－", amount, "1回払い"),
        ],
        before="月別ご利用明細　架空　様,,,\r\n",
        between=lambda number: ["※１　注釈"] if number == 1 else None,
    ),
    "jcb-card": card_statement(
        [
            *("ご利用者", "カテゴリ", "ご利用日", "ご利用先など", "ご利用金額(￥)"),
            *("支払区分", "今回回数", "訂正サイン", "お支払い金額(￥)"),
        ],
        lambda e, amount, random: [
            *("****-9901　様", f"≪ショッピング取組（{random.choice(('国内', '海外'))}）≫"),
            *(f" {ymd(e)}", "書店", amount, "１回", "", "", amount),
        ],
        before='"","","今回のお支払日","2020/11/10"\r\n"【ご利用明細】"\r\n',
    ),
    "vpass": vpass(open_month=False),
    "vpass-open": vpass(open_month=True),
}

WRITERS: Mapping[str, Writer] = {
    **CARDS,
    "sfcard-viewer": sfcard_viewer,
    "moneyforward-me": moneyforward_me,
    "stripe": stripe,
    "smaregi": smaregi,
    "square": square,
    "waon": waon,
    "mobile-suica": mobile_suica,
    "transit-card-reader": transit_card_reader,
    "view-card": view_card,
    "paypay": paypay,
    "paypay-merchant": paypay_merchant,
    "terminal-journal": terminal_journal,
    "zengin-account-transfer": zengin_account_transfer,
}
