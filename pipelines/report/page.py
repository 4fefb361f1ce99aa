"""The page: one file that needs no network, and may not use one."""

import base64
import hashlib
from collections.abc import Collection, Mapping
from importlib.metadata import version
from importlib.resources import files
from typing import Any, Final

from pipelines.report.charts import Charts
from pipelines.report.figures import Figures
from pipelines.report.status import ReportStatus
from pipelines.report.table import Table, share, shown
from pipelines.report.tables import Tables
from pipelines.shown.head import head_facts
from pipelines.shown.terminal import plain
from pipelines.shown.texts import Texts

MOST_ROWS: Final = 10_000
_SECTIONS: Final = (
    *("overview", "status", "points", "cap", "declined", "waiting", "corrections", "quarantine"),
    *("refunds", "applications", "runs", "terms", "services", "payouts"),
)
# Shown where the book has any.
_OPTIONAL: Final = ("waiting", "corrections", "payouts")


def page(
    figures: Figures, tables: Tables, all_tables: list[Table], status: ReportStatus, texts: Texts
) -> str:
    """The report as HTML."""
    from jinja2 import Environment, StrictUndefined

    opened = figures.opened
    style, script = _kept("page.css"), _kept("page.js")
    library = _kept("vendor", "dataTables.min.js")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_kept("page.html.jinja"))
    records = opened.records
    return template.render(
        t=texts,
        shown=shown,
        most_rows=MOST_ROWS,
        policy=_policy(library, script),
        style=style,
        library=library,
        script=script,
        words=_words(texts),
        sections=_sections({table.name for table in all_tables}),
        # The folder's name alone: its path may name people.
        book=plain(opened.book.path.resolve().name),
        last=records[-1],
        keys=_keys(figures, texts),
        status=status,
        tables={table.name: table for table in all_tables},
        charts=_Charts(Charts(figures, tables, texts).all()),
        cap=f"{figures.cap_yen:,}",
        programme=opened.programme(opened.runs),
        programme_changed=len({record.programme.sha256 for record in records}) > 1,
        services_changed=len({record.services_sha256 for record in records}) > 1,
        version=version("mynapoint"),
        head="; ".join(
            f"{label}: {fact}"
            for label, fact in head_facts(opened.chain_sha256, opened.seals, texts.lang)
        ),
    )


def _sections(names: Collection[str]) -> list[str]:
    return [name for name in _SECTIONS if name not in _OPTIONAL or name in names]


class _Charts(dict[str, Any]):
    """The charts by name; None for one that has nothing to show."""

    def __missing__(self, name: str) -> None:
        return None


def _kept(*path: str) -> str:
    return files(__package__).joinpath(*path).read_text(encoding="utf-8")


def _policy(*scripts: str) -> str:
    """A policy that allows no fetching, and no scripts but these."""
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    # Sorting and paging set widths on elements, which counts as inline style.
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _words(t: Texts) -> Mapping[str, Any]:
    """The texts of the tables' controls."""
    return {
        "search": t("dt_search"),
        "lengthMenu": t("dt_length"),
        "info": t("dt_info"),
        "infoEmpty": t("dt_info_empty"),
        "infoFiltered": t("dt_info_filtered"),
        "zeroRecords": t("dt_zero"),
        "emptyTable": t("none"),
        "thousands": ",",
        "pages": t("dt_pages"),
        "aria": {
            "orderable": f": {t('dt_orderable')}",
            "orderableReverse": f": {t('dt_orderable_reverse')}",
            "orderableRemove": f": {t('dt_orderable_remove')}",
            "paginate": {name: t(f"dt_{name}") for name in ("first", "previous", "next", "last")},
        },
        "paginate": {"first": "«", "previous": "‹", "next": "›", "last": "»"},
    }


def _keys(figures: Figures, t: Texts) -> list[dict[str, str]]:
    """The key figures at the top of the page."""
    records = figures.opened.records
    counts = [record.counts for record in records]
    awarded = sum(record.points.awarded for record in records)
    reversed_ = sum(record.points.reversed for record in records)
    accepted = sum(run_counts.enrollments.accepted for run_counts in counts)
    capped = figures.people_by_band[-1]
    declined = sum(run_counts.all_declined for run_counts in counts)
    declined_yen = sum(record.yen.all_declined for record in records)
    unreadable = sum(run_counts.quarantined for run_counts in counts)
    unreadable_too = sum(run_counts.enrollments.quarantined for run_counts in counts)
    unreadable_events = sum(run_counts.events.quarantined for run_counts in counts)
    refunds = int(figures.by_day["refunds"].sum())
    booked_yen = sum(record.yen.booked for record in records)
    capped_share = shown(share(capped, figures.people), "share")
    keys = {
        "net": (awarded - reversed_, {"awarded": f"{awarded:,}", "reversed": f"{reversed_:,}"}),
        "people": (figures.people, {"accepted": f"{accepted:,}"}),
        "cap": (capped, {"share": capped_share, "cap": f"{figures.cap_yen:,}"}),
        "booked": (
            sum(run_counts.booked for run_counts in counts),
            {"yen": f"{booked_yen:,}", "refunds": f"{refunds:,}"},
        ),
        "declined": (declined, {"yen": f"{declined_yen:,}"}),
        "quarantined": (
            unreadable + unreadable_too + unreadable_events,
            {
                "transactions": f"{unreadable:,}",
                "enrollments": f"{unreadable_too:,}",
                "events": f"{unreadable_events:,}",
            },
        ),
    }
    return [
        {"name": t(f"k_{name}"), "value": f"{value:,}", "note": t(f"k_{name}_note", **note)}
        for name, (value, note) in keys.items()
    ]
