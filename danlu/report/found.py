"""The plot of a search: how far down the list the right text stands."""

from __future__ import annotations

from typing import Any

from danlu.report.drawing import ACCENT, SECOND, THIRD, Mark, Plot, Words, as_share, drawing


def found(numbers: dict[str, Any], words: Words) -> Plot | None:
    """The share of queries whose first right text is among so many hits, for the model and the baseline."""
    evidence, baseline = numbers["evidence"], numbers["baseline"] or {}
    if not evidence or not evidence.get("found"):
        return None
    rivals: tuple[tuple[Mark, Any, str, str], ...] = (
        (Mark(colour="accent", shape="dot", text=words["model"]), evidence["found"], ACCENT, "o"),
        (Mark(colour="second", shape="square", text=words["baseline_same"]), baseline.get("found"), SECOND, "s"),
        (
            Mark(colour="third", shape="diamond", text=words["baseline_all"]),
            (baseline.get("all_rows") or {}).get("found"),
            THIRD,
            "D",
        ),
    )
    shown = [rival for rival in rivals if rival[1]]
    with drawing("found", words["plot_found"], 2.5) as canvas:
        axes = canvas.axes
        for _, rows, colour, marker in shown:
            axes.plot(
                [row["depth"] for row in rows or ()],
                [row["share"] for row in rows or ()],
                color=colour,
                marker=marker,
                markersize=3.5,
            )
        axes.set_xscale("log")
        axes.minorticks_off()
        depths = [row["depth"] for row in evidence["found"]]
        axes.set_xticks(depths, [str(depth) for depth in depths])
        axes.yaxis.set_major_formatter(lambda value, _: as_share(value))
        axes.set_ylim(top=1.02)
        axes.set_xlabel(words["depth_axis"])
        axes.grid(axis="y")
        canvas.margins(bottom=38)
    return Plot(svg=canvas.svg, legend=tuple(mark for mark, _, _, _ in shown))
