"""The sample's files: enrollments, a transactions file for each provider, the README."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa

from engine.records import ENROLLMENT_COLUMNS, EVENT_COLUMNS
from pipelines.sample.calendar import HOUR, Calendar
from pipelines.sample.flaws import DAMAGED_ENROLLMENTS, DAMAGED_TRANSACTIONS, Damage
from pipelines.sample.providers import Provider


def as_written(column: str, time_format: str) -> pl.Expr:
    return _moment(column).dt.strftime(time_format)


def _moment(column: str) -> pl.Expr:
    return pl.from_epoch(pl.col(column), "s").cast(pl.Datetime("us"))


# -- files -------------------------------------------------------------------------------------


def write_enrollments(path: Path, rows: pl.DataFrame) -> Path:
    lines = _lines(rows.select(ENROLLMENT_COLUMNS), rows["damage"], DAMAGED_ENROLLMENTS)
    return _write_text(path, "\n".join([",".join(ENROLLMENT_COLUMNS), *lines, ""]))


def write_events(path: Path, rows: pl.DataFrame) -> Path:
    lines = _lines(rows.select(EVENT_COLUMNS), pl.Series([], dtype=pl.Int64), ())
    return _write_text(path, "\n".join([",".join(EVENT_COLUMNS), *lines, ""]))


def write_transactions(path: Path, provider: Provider, rows: pl.DataFrame) -> Path:
    columns = provider.columns
    if provider.suffix == "parquet":
        rows.with_columns(occurred_at=_moment("at")).select(columns).write_parquet(path)
        return path
    written_at = pl.col("at") - provider.ahead_of_written_hours * HOUR
    text = rows.with_columns(
        pl.col("amount").cast(pl.String),
        occurred_at=pl.from_epoch(written_at, "s").dt.strftime(provider.time_format),
    ).select(columns)
    lines = _lines(text, rows["damage"], DAMAGED_TRANSACTIONS)
    whole = provider.line_end.join([",".join(columns), *lines, ""])
    return _write_text(path, "\ufeff" + whole if provider.bom else whole)


def _lines(text: pl.DataFrame, damage: pl.Series, damages: Sequence[Damage]) -> list[str]:
    """CSV lines; no sound value needs a quote. Damage is done by hand."""
    filled = text.with_columns(pl.all().fill_null(""))
    lines: list[str] = filled.select(pl.concat_str(pl.all(), separator=",")).to_series().to_list()
    for at in damage.is_not_null().arg_true().to_list():
        done = damages[damage[at]]
        if done == "short":
            lines[at] = lines[at].rsplit(",", 1)[0]
        elif done == "long":
            lines[at] += ",,"
        else:
            lines[at] = ",".join({**filled.row(at, named=True), **done}.values())
    return lines


def _write_text(path: Path, text: str) -> Path:
    # Arrow tells gzip and zstd from the name, and puts no time of day into the file.
    with pa.output_stream(path, compression="detect") as file:
        file.write(text.encode())
    return path


def readme_text(
    people: int,
    transactions: int,
    seed: int,
    calendar: Calendar,
    rows: Sequence[tuple[int, int, int]],
) -> str:
    table = "\n".join(
        f"| `night-{night:03}` | {calendar.booked_on(night)} "
        f"| {applications:,} | {moved:,} | {corrected} |"
        for night, (applications, moved, corrected) in enumerate(rows, 1)
    )
    return _README.format(
        people=people,
        transactions=transactions,
        nights=calendar.count,
        seed=seed,
        table=table,
        first=calendar.booked_on(1),
    )


_README: Final = """\
# Sample deliveries

Invented deliveries of payment services, made by

    mynapoint sample DIR --people {people} --transactions {transactions} \\
        --nights {nights} --seed {seed}

The same seed makes the same bytes. No person, account or payment in here is real.

| folder | booked on | enrollment rows | transaction rows | events |
|---|---|---|---|---|
{table}

Book the nights in order, one run each; from this folder, the first is

    mynapoint run BOOK --booked-on {first} \\
        --enrollments night-001/enrollments.csv --transactions 'night-001/transactions-*'

and, where the night has events, `--events night-002/events.csv` and the like.

Each night has its applications for points (`enrollments.csv`) and a transactions file for each
provider who had any. Providers write as their systems do: with a BOM and CRLF (`transit`), times
in UTC (`qr`) or with an offset (`rakuten`), columns in another order (`rakuten`) or more of them
(`paypay`), gzip, Zstandard or Parquet. Much is wrong in them, on purpose:

- refunds in whole and in part, of more than was paid, of what was given back already, of unknown,
  declined and reversed originals, on another account, ahead of their original, and after the
  programme;
- rows delivered twice, in one night or in two; rows with an old ID and other content;
- rows a night late, and enrollments a night late, with the declined rows delivered again;
- enrollments rejected for each of the reasons, some of them mended and delivered again;
- rows that cannot be read, a few for each fault, and lines with too few or too many fields;
- spending before the application, outside the window, not on the chosen basis, by an excluded
  method, after a service's end, of accounts that nobody enrolled;
- people whose service ended on 2021-03-31 and who go on with another; people past the cap;
- corrections (`events.csv`): a replaced account, a payment voided by name, an enrollment stopped,
  and one voided and granted to another person.

What points systems would answer to a payout, a few refusals among it, is made from its files:

    mynapoint payout BOOK --due-by 2021-11-30 --out payouts
    mynapoint sample answers --answers-to payouts
    mynapoint payout BOOK --answers answers/answers.csv

# サンプルデータ

決済サービスから届く受信データを模した架空のデータです。上のコマンドで作成しました。シードが同じなら、
同じ内容がバイト単位で再現されます。実在の個人・アカウント・決済は一切含みません。

表は、夜ごとのフォルダー、記帳日(booked on)、マイナポイントの申込の行数、取引の行数、訂正(events)
の件数です。記帳は夜の順に、一晩につき一回実行します。訂正のある夜は `--events` も指定します。

各フォルダーには、申込(`enrollments.csv`)と、事業者ごとの取引ファイルがあります。書き方は事業者により異なります。
BOM と CRLF(`transit`)、協定世界時(`qr`)、時差付きの時刻(`rakuten`)、列順の違い(`rakuten`)、
余分な列(`paypay`)、gzip・Zstandard・Parquet。次のものを意図的に混ぜてあります。

- 返金:全額、一部、元の額を超えるもの、返金済みのもの、元の取引が不明・対象外・返金であるもの、
  別アカウントのもの、元の取引より前のもの、事業終了後のもの
- 同じ行の再送(同じ夜、別の夜)、同じ取引番号で内容の違う行
- 一晩遅れの取引、一晩遅れの申込と、対象外となった取引の再送
- 却下される申込(全理由)と、直して再送された申込
- 読めない行(全種類)、項目の足りない行、多い行
- 申込前・期間外の取引、選択していない区分の取引、対象外の支払方法、サービス終了後の取引、
  申込のないアカウントの取引
- 2021年3月末で終了したサービスから別のサービスへ移った人、上限(2万円)を超えて利用した人
- 訂正(`events.csv`):アカウントの変更、取引の取消、申込の停止、取り消して別の人に付け替えた申込

支払の指図に対するポイントシステムの結果(一部は拒否)も、指図ファイルから作成できます。
`mynapoint sample answers --answers-to payouts` を実行してください。
"""
