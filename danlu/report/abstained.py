"""The plot of abstention: how right the model is on the texts it is surest of."""

from __future__ import annotations

from typing import Any

from danlu.report.drawing import ACCENT, MUTED, Mark, Plot, Words, as_share, drawing


def abstention(numbers: dict[str, Any], words: Words) -> Plot | None:
    """Accuracy with its interval against the share of texts that the model answers."""
    points = (numbers["evidence"] or {}).get("abstention") or []
    if len(points) < 2:  # a model that is equally sure of everything has nothing to hold back
        return None
    shares = [point["coverage"] for point in points]
    with drawing("abstention", words["plot_abstention"], 2.5) as canvas:
        axes = canvas.axes
        low, value, high = ([point["accuracy"][end] for point in points] for end in ("low", "value", "high"))
        axes.fill_between(shares, low, high, color=ACCENT, alpha=0.15, linewidth=0)
        axes.axhline(value[-1], color=MUTED, linewidth=0.9, linestyle=(0, (3, 3)))
        axes.plot(shares, value, color=ACCENT, marker="o", markersize=3.5)
        axes.set_xlim(min(shares) - 0.02, 1.02)
        axes.set_ylim(top=1.005)
        axes.set_xlabel(words["coverage_axis"])
        axes.set_ylabel(words["accuracy_axis"])
        axes.xaxis.set_major_formatter(lambda value, _: as_share(value))
        axes.yaxis.set_major_formatter(lambda value, _: as_share(value))
        axes.grid(axis="y")
        canvas.margins(left=58, bottom=38)
    legend = (
        Mark(colour="accent", shape="dot", text=words["model"]),
        Mark(colour="muted", shape="dashes", text=words["all_answered"]),
    )
    return Plot(svg=canvas.svg, legend=legend)
