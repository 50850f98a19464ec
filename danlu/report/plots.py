"""The plots of a report, one function each; `danlu.report.drawing` is what they draw with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from danlu.core.lazy import need
from danlu.report import abstained, found, search
from danlu.report.drawing import (
    ACCENT,
    BAD,
    INK,
    LINE,
    MUTED,
    SECOND,
    THIRD,
    Mark,
    Plot,
    Words,
    as_share,
    drawing,
    label_rows,
    short,
    width_of,
)
from danlu.report.numbers import base_of, count, duration
from danlu.report.targets import score_name

_MOST_LABELS = 16

#: Scores of each of several targets that are drawn; those of all would be a plot that nobody reads.
_PLOTTED_OF_TARGETS = ("macro_f1", "average_precision")


def funnel(numbers: dict[str, Any], words: Words) -> Plot | None:
    """Rows left after each step of the data stage, and how many each step dropped."""
    data = numbers["data"]
    if not data or not data["funnel"]:
        return None
    read = data["funnel"][0]["rows_in"]
    steps = [step for step in data["funnel"] if step["rows_in"] != step["rows_out"]]
    names = [words["rows_read"], *(short(words.get(f"step_{step['step']}", step["step"])) for step in steps)]
    left = [read, *(step["rows_out"] for step in steps)]
    with drawing("funnel", words["plot_funnel"], 0.5 + 0.32 * len(names)) as canvas:
        axes = canvas.axes
        axes.barh(range(len(left)), left, color=ACCENT, alpha=0.85, height=0.62)
        for row, rows in enumerate(left):
            lost = left[row - 1] - rows if row else 0
            text = count(rows) + (f"  (−{count(lost)})" if lost else "")
            axes.annotate(text, (rows, row), (4, 0), textcoords="offset points", va="center", color=INK)
        axes.set_xlim(0, max(left, default=1) * 1.38 or 1)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        label_rows(canvas, names, bottom=4)
    return Plot(svg=canvas.svg)


def loss(numbers: dict[str, Any], words: Words) -> Plot | None:
    """Training and validation loss over the steps, with the step whose weights were kept."""
    history = (numbers["training"] or {}).get("history") or []
    if len(history) < 2:  # one point is no course
        return None
    with drawing("loss", words["plot_loss"], 2.5) as canvas:
        axes = canvas.axes
        for key, colour, marker in (("train_loss", ACCENT, "o"), ("validation_loss", SECOND, "s")):
            points = [(row["step"], row[key]) for row in history if row.get(key) is not None]
            if points:
                axes.plot(*zip(*points, strict=True), color=colour, marker=marker, markersize=3.5)
        best = (numbers["training"].get("best") or {}).get("step")
        if best is not None:
            axes.axvline(best, color=MUTED, linewidth=0.9, linestyle=(0, (3, 3)))
        axes.set_xlabel(words["step"])
        axes.set_xlim(left=0)
        axes.grid(axis="y")
        axes.xaxis.set_major_formatter(lambda value, _: count(value))
        canvas.margins(bottom=38)
    legend = (
        Mark(colour="accent", shape="dot", text=words["train_loss"]),
        Mark(colour="second", shape="square", text=words["validation_loss"]),
        Mark(colour="muted", shape="dashes", text=words["best_step"]),
    )
    return Plot(svg=canvas.svg, legend=legend)


def confusion(numbers: dict[str, Any], words: Words) -> Plot | None:
    """Truth against answer; the shade is the share of the true label's rows."""
    table = (numbers["evidence"] or {}).get("confusion")
    if not table:
        return None
    keep = _busiest(table["matrix"])
    labels = [short(table["labels"][index]) for index in keep]
    matrix = [[table["matrix"][row][column] for column in keep] for row in keep]
    totals = [max(1, sum(table["matrix"][row])) for row in keep]
    side = min(4.6, 1.5 + 0.42 * len(labels))
    with drawing("confusion", words["plot_confusion"], side) as canvas:
        axes = canvas.axes
        axes.set_aspect("equal")
        rectangle = need("matplotlib.patches").Rectangle
        for row, cells in enumerate(matrix):
            for column, rows in enumerate(cells):
                share = rows / totals[row]
                colour = ACCENT if row == column else BAD
                axes.add_patch(
                    rectangle((column - 0.48, row - 0.48), 0.96, 0.96, color=colour, alpha=0.06 + 0.5 * share, lw=0)
                )
                if len(labels) <= 8:
                    axes.text(column, row, count(rows), ha="center", va="center", fontsize=9)
        widest = max(map(width_of, labels))
        slanted = len(labels) * widest > 150
        axes.set_xticks(range(len(labels)), labels, rotation=35 if slanted else 0, rotation_mode="anchor")
        for tick in axes.get_xticklabels() if slanted else ():
            tick.set_horizontalalignment("right")
        axes.set_xlim(-0.55, len(labels) - 0.45)
        label_rows(canvas, labels, bottom=24 + (0.58 * widest + 8 if slanted else 14), more=20)
        axes.set_ylim(len(labels) - 0.45, -0.55)
        axes.tick_params(axis="x", length=0, labelcolor=INK)
        axes.set_xlabel(words["answer"])
        axes.set_ylabel(words["truth"])
        for spine in axes.spines.values():
            spine.set_visible(False)
    return Plot(svg=canvas.svg)


def _busiest(matrix: list[list[int]]) -> list[int]:
    """The labels to draw: all, or those with the most rows where there are too many."""
    order = sorted(range(len(matrix)), key=lambda index: (-sum(matrix[index]), index))
    return sorted(order[:_MOST_LABELS])


def reliability(numbers: dict[str, Any], words: Words) -> Plot | None:
    """How often the model is right at each stated confidence; on the diagonal it can be taken at its word."""
    calibration = (numbers["evidence"] or {}).get("calibration")
    bins = [entry for entry in (calibration or {}).get("bins") or [] if entry["rows"]]
    if not bins:
        return None
    most = max(entry["rows"] for entry in bins)
    with drawing("reliability", words["plot_reliability"], 2.7) as canvas:
        axes = canvas.axes
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (3, 3)))
        for entry in bins:
            width = entry["high"] - entry["low"]
            axes.bar(entry["low"] + width / 2, entry["rows"] / most * 0.22, width * 0.9, color=LINE, zorder=0)
        axes.plot(
            [entry["confidence"] for entry in bins],
            [entry["accuracy"] for entry in bins],
            color=ACCENT,
            marker="o",
            markersize=4,
        )
        axes.set_xlim(min(0.5, *(entry["low"] for entry in bins)) if len(bins) > 1 else 0, 1.02)
        axes.set_ylim(0, 1.03)
        axes.set_xlabel(words["confidence_axis"])
        axes.set_ylabel(words["accuracy_axis"])
        axes.xaxis.set_major_formatter(lambda value, _: as_share(value))
        axes.yaxis.set_major_formatter(lambda value, _: as_share(value))
        axes.grid(axis="y")
        canvas.margins(left=58, bottom=38)
    legend = (
        Mark(colour="accent", shape="dot", text=words["model"]),
        Mark(colour="muted", shape="dashes", text=words["perfect"]),
        Mark(colour="line", shape="square", text=words["texts_there"]),
    )
    return Plot(svg=canvas.svg, legend=legend)


def points(numbers: dict[str, Any], words: Words) -> Plot | None:
    """The number that is true against the one that the model gives, a dot a test text."""
    found = (numbers["evidence"] or {}).get("points")
    if not found:
        return None
    truth, given = zip(*found, strict=True)
    with drawing("points", words["plot_points"], 3.2) as canvas:
        axes = canvas.axes
        ends = [min(*truth, *given), max(*truth, *given)]
        axes.plot(ends, ends, color=MUTED, linewidth=0.9, linestyle=(0, (3, 3)))
        axes.plot(truth, given, color=ACCENT, marker="o", markersize=3, linestyle="none", alpha=0.45)
        axes.set_xlabel(words["truth"])
        axes.set_ylabel(words["answer"])
        axes.grid(axis="y")
        canvas.margins(left=58, bottom=38)
    return Plot(svg=canvas.svg)


def scores(numbers: dict[str, Any], words: Words) -> Plot | None:
    """Each score with its 95 % interval, for the model and the baseline on the same and on all training rows."""
    evidence, baseline = numbers["evidence"], numbers["baseline"] or {}
    if not evidence:
        return None
    rivals: tuple[tuple[Mark, dict[str, Any], str, str], ...] = (
        (Mark(colour="accent", shape="dot", text=words["model"]), evidence["scores"], ACCENT, "o"),
        (
            Mark(colour="second", shape="square", text=words["baseline_same"]),
            baseline.get("scores") or {},
            SECOND,
            "s",
        ),
        (
            Mark(colour="third", shape="diamond", text=words["baseline_all"]),
            (baseline.get("all_rows") or {}).get("scores") or {},
            THIRD,
            "D",
        ),
    )
    plotted = words["plotted_scores"].split()
    metrics = [name for name in plotted if name in evidence["scores"]]
    # Of several targets those that are told of each, by their names.
    metrics += [name for name in evidence["scores"] if "." in name and base_of(name) in _PLOTTED_OF_TARGETS]
    if not metrics:
        return None
    with drawing("scores", words["plot_scores"], 0.5 + 0.52 * len(metrics)) as canvas:
        axes = canvas.axes
        for index, (_, values, colour, marker) in enumerate(rivals):
            shown = [(row, values[metric]) for row, metric in enumerate(metrics) if _has_value(values.get(metric))]
            for row, score in shown:
                at = row + 0.22 * (index - 1)
                low, high = score.get("low"), score.get("high")
                if low is not None and high is not None:
                    axes.plot([low, high], [at, at], color=colour, linewidth=2.2, alpha=0.55, solid_capstyle="round")
            if shown:
                axes.plot(
                    [score["value"] for _, score in shown],
                    [row + 0.22 * (index - 1) for row, _ in shown],
                    color=colour,
                    marker=marker,
                    markersize=4.5,
                    linestyle="none",
                )
        axes.grid(axis="x")
        axes.margins(x=0.08)
        axes.xaxis.set_major_locator(need("matplotlib.ticker").MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        if evidence["primary"] != "perplexity":
            axes.xaxis.set_major_formatter(lambda value, _: as_share(value))
        label_rows(canvas, [score_name(metric, words) for metric in metrics])
    shown_rivals = [mark for mark, values, _, _ in rivals if any(_has_value(values.get(metric)) for metric in metrics)]
    return Plot(svg=canvas.svg, legend=tuple(shown_rivals))


def _has_value(score: dict[str, Any] | None) -> bool:
    return score is not None and score.get("value") is not None


def cost(numbers: dict[str, Any], words: Words) -> Plot | None:
    """Predicted time (with its interval) against the time each stage took, on a logarithmic axis."""
    rows = [row for row in numbers["plan"]["stages"] if _predicted(row) and row["seconds"]["actual"]]
    if not rows:
        return None
    with drawing("cost", words["plot_cost"], 0.5 + 0.36 * len(rows)) as canvas:
        axes = canvas.axes
        for at, row in enumerate(rows):
            low, high = _span(row["seconds"]["predicted"])
            axes.plot([low, high], [at, at], color=ACCENT, linewidth=7, alpha=0.3, solid_capstyle="round")
        axes.plot(
            [_predicted(row) for row in rows],
            range(len(rows)),
            color=ACCENT,
            marker="o",
            linestyle="none",
            markersize=4.5,
        )
        axes.plot(
            [row["seconds"]["actual"] for row in rows],
            range(len(rows)),
            color=SECOND,
            marker="D",
            linestyle="none",
            markersize=5,
        )
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xticks(_marks(rows))
        axes.xaxis.set_major_formatter(lambda value, _: _tick(value))
        axes.grid(axis="x")
        label_rows(canvas, [short(words.get(f"stage_{row['stage']}", row["stage"])) for row in rows])
    legend = (
        Mark(colour="accent", shape="dot", text=words["predicted"]),
        Mark(colour="second", shape="diamond", text=words["actual"]),
    )
    return Plot(svg=canvas.svg, legend=legend)


def _predicted(row: dict[str, Any]) -> float | None:
    score = row["seconds"]["predicted"]
    return score["value"] if score and score.get("value") else None


def _span(score: dict[str, Any]) -> tuple[float, float]:
    value = score["value"]
    low = score["low"] if score.get("low") is not None else value
    high = score["high"] if score.get("high") is not None else value
    return max(low, value / 100), high


def _marks(rows: list[dict[str, Any]]) -> list[float]:
    """Round times (seconds) from a little below the shortest to a little above the longest."""
    round_times = [0.1, 1, 10, 60, 600, 3600, 36_000, 360_000]
    spans = [_span(row["seconds"]["predicted"]) for row in rows]
    least = min(*(low for low, _ in spans), *(row["seconds"]["actual"] for row in rows), 1e9)
    most = max(*(high for _, high in spans), *(row["seconds"]["actual"] for row in rows), 0)
    inside = [mark for mark in round_times if least / 3 <= mark <= most * 3]
    return inside if len(inside) > 1 else [least, most]


def _tick(seconds: float) -> str:
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds // unit:.0f} {name}"
    return f"{seconds:g} s" if seconds in {0.1, 1, 10} else duration(seconds)


PLOTS: dict[str, Callable[[dict[str, Any], Words], Plot | None]] = {
    "funnel": funnel,
    "loss": loss,
    "confusion": confusion,
    "reliability": reliability,
    "abstention": abstained.abstention,
    "points": points,
    "scores": scores,
    "found": found.found,
    "cost": cost,
    "trials": search.trials,
    "importance": search.importance,
}
