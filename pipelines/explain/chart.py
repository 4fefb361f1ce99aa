"""The picture of an account: net spend, what of it counts, and the cap, entry by entry."""

from collections.abc import Sequence
from typing import Any

from pipelines.explain.account import EntryExplanation
from pipelines.explain.wording import Words

_DOTS_UP_TO = 40
_LABELS = 8


def spending_chart(entries: Sequence[EntryExplanation], cap_yen: int, words: Words) -> str:
    """An SVG element, in booking order, since a late delivery counts after earlier ones.

    It contains no script and loads nothing from the network.
    """
    import pygal
    from pygal.style import Style

    chart = pygal.XY(
        width=960,
        height=380,
        style=Style(
            background="transparent",
            plot_background="transparent",
            colors=("#1a9b6c", "#2f6fd0", "#c8442f"),
            font_family="inherit",
            label_font_size=12,
            legend_font_size=13,
        ),
        show_dots=len(entries) <= _DOTS_UP_TO,
        stroke_style={"width": 2},
        legend_at_bottom=True,
        legend_at_bottom_columns=3,
        include_x_axis=True,
        show_x_guides=False,
        js=[],
        no_data_text="",
        value_formatter=lambda yen: f"{yen:,.0f}",
        x_value_formatter=lambda seq: _day(entries, seq),
    )
    every = max(1, -(-len(entries) // _LABELS))
    chart.x_labels = [explained.entry.entry_seq for explained in entries[::every]]
    counted = 0
    net_steps: list[tuple[int, int]] = []
    counted_steps: list[tuple[int, int]] = []
    first = entries[0].entry.entry_seq
    for explained in entries:
        seq = explained.entry.entry_seq
        net_steps += [(seq, explained.net_before_yen), (seq, explained.entry.net_spend_after)]
        counted_steps.append((seq, counted))
        counted += explained.entry.counted_amount
        counted_steps.append((seq, counted))
    last = entries[-1].entry.entry_seq + 1
    net_steps.append((last, net_steps[-1][1]))
    counted_steps.append((last, counted))
    chart.add(words.texts("chart_counted"), counted_steps, fill=True)
    chart.add(words.texts("chart_net"), net_steps)
    chart.add(words.texts("chart_cap"), [(first, cap_yen), (last, cap_yen)], show_dots=False)
    return _element(chart, words.texts("chart_title"))


def _day(entries: Sequence[EntryExplanation], seq: float) -> str:
    place = round(seq) - entries[0].entry.entry_seq
    return f"{entries[place].entry.occurred_at:%Y-%m-%d}" if 0 <= place < len(entries) else ""


def _element(chart: Any, title: str) -> str:  # noqa: ANN401 - pygal has no types
    from xml.etree import ElementTree as ET

    root = chart.render_tree()
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in ("script", "{http://www.w3.org/2000/svg}script"):
                parent.remove(child)
    root.set("role", "img")
    root.set("aria-label", title)
    return ET.tostring(root, encoding="unicode")
