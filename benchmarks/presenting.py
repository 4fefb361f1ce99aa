"""Measurements as Markdown tables and as pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from measuring import Spread


class Point(NamedTuple):
    """What one contestant took at one size."""

    rows: int
    wall_s: Spread
    peak_gb: Spread


Curve = Sequence[Point]


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; what cells hold cannot end them."""
    rows = [head, ["---"] * len(head), *lines]
    cells = ([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows)
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def draw_sizes(path: Path, curves: Mapping[str, Curve]) -> bool:
    """Draws time and memory against rows; bars where all have one size only. False when there is
    nothing to draw with.
    """
    curves = {title: curve for title, curve in curves.items() if curve}
    one_size = len({point.rows for curve in curves.values() for point in curve}) <= 1
    try:
        figure, axes = _figure(2)
    except ModuleNotFoundError:
        return False
    measures = {"wall_s": "time, s", "peak_gb": "peak memory, GB"}
    for axis, (measure, what) in zip(axes, measures.items(), strict=True):
        for number, (title, curve) in enumerate(curves.items()):
            spreads: list[Spread] = [getattr(point, measure) for point in curve]
            middles = [spread.median for spread in spreads]
            apart = [
                [spread.median - spread.least for spread in spreads],
                [spread.most - spread.median for spread in spreads],
            ]
            if one_size:
                axis.barh([title], middles, xerr=apart, color=f"C{number}")
            else:
                rows = [point.rows for point in curve]
                axis.errorbar(rows, middles, yerr=apart, marker="o", label=title)
        if one_size:
            axis.invert_yaxis()
            axis.set_xlabel(what)
        else:
            axis.set(xscale="log", yscale="log", xlabel="rows", ylabel=what)
            axis.grid(alpha=0.3)
    if one_size:
        axes[1].set_yticklabels([])
    else:
        axes[0].legend()
    _save(figure, path)
    return True


def draw_nights(path: Path, nights: Sequence[int], lines: Mapping[str, Sequence[float]]) -> bool:
    """Draws what each night took, one picture a measure; False when there is nothing to draw with.

    `lines` are the measures by their names, a value for each night.
    """
    try:
        figure, axes = _figure(len(lines))
    except ModuleNotFoundError:
        return False
    for axis, (what, values) in zip(axes, lines.items(), strict=True):
        axis.plot(nights, values, marker=".", linewidth=0.8)
        axis.set(xlabel="night", ylabel=what, ylim=(0, max(values) * 1.1))
        axis.grid(alpha=0.3)
    _save(figure, path)
    return True


def _figure(pictures: int) -> tuple[Any, Any]:
    import matplotlib as mpl

    # Text stays text, and the same measurements give the same file.
    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "mynapoint"})
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * pictures, 3.6), layout="constrained")
    return figure, figure.subplots(1, pictures, squeeze=False)[0]


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
