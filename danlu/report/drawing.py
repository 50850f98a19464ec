"""Plots as inline SVG: real text, colours from the page (light and dark), the same bytes for the same numbers.

Matplotlib draws with stand-in colours, which are then replaced by the page's CSS variables.
"""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from danlu.core.lazy import need

#: stand-in colour -> CSS variable of the page
_COLOURS = {
    "#010203": "var(--ink)",
    "#040506": "var(--muted)",
    "#070809": "var(--line)",
    "#0a0b0c": "var(--accent)",
    "#0d0e0f": "var(--second)",
    "#101112": "var(--third)",
    "#131415": "var(--bad)",
}
INK, MUTED, LINE, ACCENT, SECOND, THIRD, BAD = _COLOURS

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "danlu",
    "text.parse_math": False,  # a label such as "$5" is text
    "font.size": 10.0,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.unicode_minus": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}
_FONT = 10.0  # points
_WIDTH = 4.3  # inches; on a page 1.3 times larger, on a phone about as large
_LABEL_CHARACTERS = 18

Words = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One entry of a legend, which the page draws: `colour` is a CSS variable, `shape` a class of its style."""

    colour: str
    shape: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Plot:
    """An inline `<svg>` and what its marks mean."""

    svg: str
    legend: tuple[Mark, ...] = ()


class Canvas:
    """One figure and its only axes; `svg` is filled when the drawing ends."""

    def __init__(self, height: float) -> None:
        self.figure = need("matplotlib.figure").Figure(figsize=(_WIDTH, height))
        self.axes = self.figure.add_subplot()
        self.svg = ""

    def margins(self, left: float = 40, bottom: float = 22, top: float = 8, right: float = 20) -> None:
        """Space around the axes, in points. Matplotlib cannot find it out: its font has no Chinese to measure."""
        width, height = (72 * inches for inches in self.figure.get_size_inches())
        self.figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height)


def width_of(text: str) -> float:
    """About how wide a browser draws `text`, in points."""
    return _FONT * sum(1.0 if unicodedata.east_asian_width(letter) in "WF" else 0.6 for letter in text)


@contextmanager
def drawing(name: str, title: str, height: float) -> Iterator[Canvas]:
    matplotlib = need("matplotlib")
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # Matplotlib measures with its own font, which has no Chinese; the browser draws with one that has.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        canvas = Canvas(height)
        yield canvas
        raw = io.StringIO()
        canvas.figure.savefig(raw, format="svg", metadata={"Date": None, "Creator": None})
        canvas.svg = _clean(raw.getvalue(), name, title)


def _clean(svg: str, name: str, title: str) -> str:
    """The bare `<svg>` element: page colours, ids of its own, no fixed size, no style that leaks into the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    head, rest = svg.split(">", 1)
    view = re.search(r'viewBox="[^"]*"', head)
    svg = f'<svg class="plot" role="img" aria-label="{_attribute(title)}" {view.group(0) if view else ""}>{rest}'
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    svg = svg.replace("url(#", f"url(#{name}-").replace("xlink:href", "href")
    for stand_in, variable in _COLOURS.items():
        svg = svg.replace(stand_in, variable)
    return re.sub(r"\n\s*", "\n", svg).strip()


def _attribute(text: str) -> str:
    import html

    return html.escape(text, quote=True)


def as_share(value: float) -> str:
    """A share on an axis, never rounded to what it is not: 70%, 72.5%."""
    return f"{round(100 * value, 2):g}%"


def short(label: str) -> str:
    label = " ".join("".join(character if character.isprintable() else " " for character in label).split())
    return label if len(label) <= _LABEL_CHARACTERS else label[: _LABEL_CHARACTERS - 1] + "…"


def label_rows(canvas: Canvas, names: Sequence[str], *, bottom: float = 22, more: float = 0) -> None:
    """Set up a plot with one named row each, the first on top; `more` points are left free beside the names."""
    canvas.margins(left=max(map(width_of, names)) + 8 + more, bottom=bottom)
    axes = canvas.axes
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
