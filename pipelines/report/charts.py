"""The report's charts: Vega-Lite specifications, drawn to SVG when the report is made.

Colours are CSS variables of the page, so that one drawing does for light, dark and paper. Each
chart is drawn twice, for a desktop's and for a phone's width: text that is scaled down with its
drawing cannot be read.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from pipelines.report.figures import Figures
from pipelines.report.table import file_name, share, shown
from pipelines.report.tables import Tables
from pipelines.shown.terminal import plain
from pipelines.shown.texts import Texts

WIDTHS: Final = {"wide": 820, "narrow": 340}
_VEGA_LITE: Final = "6.1"
_MOST_DAYS: Final = 100
_MOST_SERVICES: Final = 6
_MOST_BARS: Final = 12
_SERIES: Final = [f"var(--series-{n})" for n in range(1, _MOST_SERVICES + 1)] + ["var(--rest)"]
_ACCENT: Final = "var(--series-1)"

_CONFIG: Final[dict[str, Any]] = {
    "background": None,
    "font": "system-ui, sans-serif",
    # The page says what a chart says, in words; see ``Chart.alternative``.
    "aria": False,
    "view": {"stroke": None},
    "axis": {
        "aria": False,
        "labelColor": "currentColor",
        "titleColor": "currentColor",
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "titlePadding": 12,
        "labelPadding": 5,
        "gridColor": "var(--grid)",
        "domainColor": "var(--grid)",
        "tickColor": "var(--grid)",
        "labelLimit": 220,
    },
    "legend": {
        "aria": False,
        "labelColor": "currentColor",
        "titleColor": "currentColor",
        "labelFontSize": 12,
        "title": None,
        "orient": "top",
    },
}


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, drawn.

    Attributes:
        name: one word for it, in no language.
        caption: what it shows.
        alternative: what it says, for those who do not see it.
        drawings: the SVG by width, a key of ``WIDTHS``.
    """

    name: str
    caption: str
    alternative: str
    drawings: dict[str, str]


class Charts:
    """The charts of one book's figures in one language; one with nothing to show is None."""

    def __init__(self, figures: Figures, tables: Tables, texts: Texts) -> None:
        self._figures, self._tables, self._t = figures, tables, texts

    def all(self) -> dict[str, Chart]:
        """All charts that have something to show, by name."""
        drawn = (
            *(self.points(), self.bands(), self.reached()),
            *(self.declined(), self.quarantined(), self.refunds()),
        )
        return {chart.name: chart for chart in drawn if chart is not None}

    def points(self) -> Chart | None:
        """Net points by day or week, stacked by service."""
        rows = self._figures.by_day.select(
            "day", "service_id", points=pl.col("awarded") - pl.col("reversed")
        )
        if rows.is_empty():
            return None
        by_service = (
            rows.group_by("service_id")
            .agg(pl.col("points").sum())
            .sort("points", "service_id", descending=[True, False])
        )
        leading = by_service["service_id"].head(_MOST_SERVICES).to_list()
        names = {service: self._tables.service_name(service) for service in leading}
        order = [*names.values()]
        if by_service.height > len(leading):
            order.append(self._t("other_services"))
        first, last = _days(rows)
        weekly = rows["day"].n_unique() > _MOST_DAYS
        series = pl.col("service_id").replace_strict(names, default=order[-1])
        by_date = (
            rows.group_by(pl.col("day").dt.truncate("1w" if weekly else "1d"), series=series)
            .agg(pl.col("points").sum())
            .sort("day", "series")
        )
        bars = {
            "mark": {"type": "bar", "stroke": "var(--page)", "strokeWidth": 0.4},
            "encoding": {
                "x": _time("day", "yearweek" if weekly else "yearmonthdate"),
                "y": _amount("points", self._t("a_points")),
                "color": {
                    "field": "series",
                    "type": "nominal",
                    "sort": order,
                    "scale": {"domain": order, "range": [*_SERIES[: len(leading)], _SERIES[-1]]},
                },
                "order": {"field": "order"},
            },
        }
        values = [
            {
                "day": day.isoformat(),
                "series": series,
                "points": points,
                "order": order.index(series),
            }
            for day, series, points in by_date.iter_rows()
        ]
        alternative = self._t(
            "g_points_alt",
            first=first,
            last=last,
            total=f"{rows['points'].sum():,}",
            service=self._tables.service_name(leading[0]),
            most=f"{by_service['points'][0]:,}",
        )
        caption = self._t("g_points_weekly" if weekly else "g_points")
        return _drawn("points", caption, alternative, bars, values, height=300, columns=(4, 2))

    def bands(self) -> Chart | None:
        """People by counted spend."""
        figures, table = self._figures, self._tables.bands()
        if not figures.people:
            return None
        bars = {
            "mark": {"type": "bar"},
            "encoding": {
                "x": {
                    "field": "band",
                    "type": "nominal",
                    "sort": None,
                    "title": None,
                    "axis": {"labelAngle": -40},
                },
                "y": _amount("people", self._t("a_people")),
                "color": {"field": "colour", "type": "nominal", "scale": None},
            },
        }
        last = len(table.rows) - 1
        values = [
            {"band": band, "people": people, "colour": _SERIES[1] if at == last else _ACCENT}
            for at, (band, people, _) in enumerate(table.rows)
        ]
        capped = figures.people_by_band[-1]
        alternative = self._t(
            "g_bands_alt",
            people=f"{figures.people:,}",
            capped=f"{capped:,}",
            share=shown(share(capped, figures.people), "share"),
        )
        return _drawn("bands", self._t("g_bands"), alternative, bars, values)

    def reached(self) -> Chart | None:
        """The share of people at the cap, by day."""
        by_day = self._figures.at_the_cap_by_day()
        if by_day.is_empty():
            return None
        line = {
            "mark": {"type": "area", "line": {"color": _ACCENT}, "color": _ACCENT, "opacity": 0.35},
            "encoding": {
                "x": _time("day", "yearmonthdate"),
                "y": {
                    "field": "share",
                    "type": "quantitative",
                    "title": self._t("a_share"),
                    "axis": {"format": ".0%"},
                    "scale": {"domain": [0, 1]},
                },
            },
        }
        values = [
            {"day": day.isoformat(), "share": share(at_cap, people)}
            for day, people, at_cap in by_day.iter_rows()
        ]
        first, last = _days(by_day)
        alternative = self._t(
            "g_reached_alt",
            first=first,
            last=last,
            start=shown(values[0]["share"], "share"),
            end=shown(values[-1]["share"], "share"),
        )
        return _drawn("reached", self._t("g_reached"), alternative, line, values)

    def declined(self) -> Chart | None:
        """Declined rows by reason."""
        table = self._tables.declined()
        rows = [(str(meaning), int(rows)) for meaning, _, rows, *_ in table.rows]  # type: ignore[arg-type]
        return self._ranked("declined", rows, "reason")

    def quarantined(self) -> Chart | None:
        """Quarantined rows by file name, the nights' together."""
        by_name: dict[str, int] = {}
        for _, file, rows in self._figures.quarantined.iter_rows():
            by_name[file_name(file)] = by_name.get(file_name(file), 0) + rows
        ranked = sorted(by_name.items(), key=lambda item: (-item[1], item[0]))
        if len(ranked) > _MOST_BARS:
            rest = sum(rows for _, rows in ranked[_MOST_BARS - 1 :])
            ranked = [*ranked[: _MOST_BARS - 1], (self._t("other_files"), rest)]
        return self._ranked("quarantined", ranked, "file")

    def refunds(self) -> Chart | None:
        """Points that refunds took back, by month."""
        table = self._tables.refunds()
        if not table.rows:
            return None
        bars = {
            "mark": {"type": "bar"},
            "encoding": {
                "x": {"field": "month", "type": "ordinal", "title": None},
                "y": _amount("points", self._t("a_points")),
                "color": {"value": _ACCENT},
            },
        }
        values = [{"month": row[0], "points": row[-1]} for row in table.rows]
        month, most = max(((row[0], row[-1]) for row in table.rows), key=lambda row: row[1])  # type: ignore[arg-type,return-value]
        total = sum(value["points"] for value in values)  # type: ignore[misc]
        alternative = self._t("g_refunds_alt", total=f"{total:,}", month=month, most=f"{most:,}")
        return _drawn("refunds", self._t("g_refunds"), alternative, bars, values, height=220)

    def _ranked(self, name: str, rows: list[tuple[str, int]], what: str) -> Chart | None:
        """Bars that lie, the longest on top."""
        if not rows:
            return None
        bars = {
            "mark": {"type": "bar"},
            "encoding": {
                "y": {"field": "name", "type": "nominal", "sort": None, "title": None},
                "x": _amount("rows", self._t("a_rows")),
                "color": {"value": _ACCENT},
            },
        }
        values = [{"name": label, "rows": number} for label, number in rows]
        alternative = self._t(f"g_{name}_alt", rows=f"{rows[0][1]:,}", **{what: rows[0][0]})
        height = 60 + 26 * len(rows)
        return _drawn(name, self._t(f"g_{name}"), alternative, bars, values, height=height)


def _time(field: str, unit: str) -> dict[str, Any]:
    return {
        "field": field,
        "type": "temporal",
        "timeUnit": f"utc{unit}",
        "title": None,
        "axis": {"format": "%Y-%m", "labelOverlap": "greedy", "labelSeparation": 14},
        "scale": {"type": "utc"},
    }


def _amount(field: str, title: str) -> dict[str, Any]:
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "axis": {"format": ",d", "tickMinStep": 1, "tickCount": 5},
    }


def _days(rows: pl.DataFrame) -> tuple[dt.date, dt.date]:
    first, last = rows.select(pl.col("day").min().alias("first"), last=pl.col("day").max()).row(0)
    return first, last


def _drawn(
    name: str,
    caption: str,
    alternative: str,
    layer: dict[str, Any],
    values: list[dict[str, Any]],
    height: int = 260,
    columns: tuple[int, int] = (4, 2),
) -> Chart:
    import vl_convert

    drawings = {}
    for (size, width), across in zip(WIDTHS.items(), columns, strict=True):
        config = _CONFIG | {"legend": _CONFIG["legend"] | {"columns": across}}
        if size == "narrow":
            config["axis"] = _CONFIG["axis"] | {"labelLimit": 120}
        spec = layer | {
            "width": width,
            "height": height,
            "autosize": {"type": "fit", "contains": "padding"},
            # The reader's fonts may be wider than those that the drawing was measured with.
            "padding": {"left": 16, "right": 20, "top": 5, "bottom": 8},
            "data": {"values": values},
            "config": config,
        }
        drawings[size] = vl_convert.vegalite_to_svg(_drawable(spec), vl_version=_VEGA_LITE)
    return Chart(plain(name), plain(caption), plain(alternative), drawings)


def _drawable(spec: Any) -> Any:  # noqa: ANN401 - JSON
    """A specification whose texts SVG can hold: the drawing library aborts at any other."""
    if isinstance(spec, str):
        return plain(spec)
    if isinstance(spec, dict):
        return {name: _drawable(value) for name, value in spec.items()}
    if isinstance(spec, list | tuple):
        return [_drawable(value) for value in spec]
    return spec
