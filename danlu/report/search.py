"""The plots of a search for settings: how the trials scored, and which settings mattered."""

from __future__ import annotations

from typing import Any

from danlu.report.drawing import ACCENT, BAD, MUTED, SECOND, Mark, Plot, Words, drawing, label_rows, short
from danlu.report.numbers import number


def trials(numbers: dict[str, Any], words: Words) -> Plot | None:
    """The score of each trial in its turn, and the best so far."""
    study = numbers["study"]
    if not study:
        return None
    finished = [(place, row["value"]) for place, row in enumerate(study["trials"], 1) if row["state"] == "finished"]
    if not finished:
        return None
    better = max if study["higher_is_better"] else min
    best = [(place, better(value for before, value in finished if before <= place)) for place, _ in finished]
    with drawing("trials", words["plot_trials"], 2.5) as canvas:
        axes = canvas.axes
        axes.step(*zip(*best, (len(study["trials"]), best[-1][1]), strict=True), where="post", color=SECOND)
        axes.plot(*zip(*finished, strict=True), color=ACCENT, marker="o", markersize=4, linestyle="none")
        low, high = axes.get_ylim()
        others = {"pruned": MUTED, "failed": BAD}
        for place, row in enumerate(study["trials"], 1):
            if row["state"] in others:
                axes.plot(place, low, color=others[row["state"]], marker="x", markersize=4, clip_on=False)
        axes.set_ylim(low, high)
        axes.set_xlim(0.5, len(study["trials"]) + 0.5)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel(words["trial"])
        axes.grid(axis="y")
        canvas.margins(bottom=38)
    legend = (
        Mark(colour="accent", shape="dot", text=words.get(study["metric"], study["metric"])),
        Mark(colour="second", shape="square", text=words["best_so_far"]),
        Mark(colour="muted", shape="dot", text=words["not_finished"]),
    )
    return Plot(svg=canvas.svg, legend=legend)


def importance(numbers: dict[str, Any], words: Words) -> Plot | None:
    """How much of the scores' variation each setting explains."""
    found = (numbers["study"] or {}).get("importance")
    if not found:
        return None
    names, shares = list(found), list(found.values())
    with drawing("importance", words["plot_importance"], 0.5 + 0.32 * len(names)) as canvas:
        axes = canvas.axes
        axes.barh(range(len(names)), shares, height=0.62, color=ACCENT)
        for row, share in enumerate(shares):
            axes.annotate(number(100 * share, 0) + "%", (share, row), (4, 0), textcoords="offset points", va="center")
        axes.set_xlim(0, 1.15 * max(shares) or 1)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        label_rows(canvas, [short(name) for name in names], bottom=4)
    return Plot(svg=canvas.svg)
