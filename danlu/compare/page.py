"""A comparison as one HTML page that needs nothing else, neither network nor script; and its one plot."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import danlu.report
from danlu.compare.lines import lines
from danlu.compare.sentences import SHARES
from danlu.compare.words import words
from danlu.core.lazy import need
from danlu.core.store import write_atomically
from danlu.report.drawing import ACCENT, INK, MUTED, as_share, drawing, label_rows, short
from danlu.report.numbers import count
from danlu.report.words import Language

_HERE = Path(__file__).parent
_STYLE = Path(next(iter(danlu.report.__path__))) / "page.css"


def write_page(table: Mapping[str, Any], path: Path, language: Language = "en") -> Path:
    """Write the page of a comparison (see `danlu.compare.table.compare`) and return its path."""
    write_atomically(path, page(table, language))
    return path


def page(table: Mapping[str, Any], language: Language = "en") -> str:
    """The whole HTML page as text; the same comparison gives the same text."""
    said = words(language)
    markup = need("markupsafe", extra="report").Markup
    metric, first = said.get(table["primary"], table["primary"]), table["entrants"][0]["name"]
    drawn = plot(table, said)
    return str(
        _template().render(
            t=table,
            w=said,
            language=language,
            html_language={"en": "en", "zh": "zh-CN"}[language],
            css=markup(_STYLE.read_text(encoding="utf-8")),
            under=under(table, said),
            lines=lines(table, said),
            plot=drawn and markup(drawn),
            plot_title=said["plot"].format(metric=metric) + (f" ({said['lower']})" if table["lower_is_better"] else ""),
            caption=said["plot_caption"].format(first=first),
            footer=footer(table, said),
        )
    )


def under(table: Mapping[str, Any], said: Mapping[str, str]) -> str:
    """What was compared on, in one line."""
    return said["under"].format(
        rows=count(table["rows"]),
        part=said[f"part_{table['part']}"],
        run=table["run"],
        resamples=count(table["resamples"]),
        cpu=table["machine"]["cpu"],
        threads=table["threads"],
    )


def footer(table: Mapping[str, Any], said: Mapping[str, str]) -> str:
    """How differences are to be read."""
    many = sum(entrant["comparison"] is not None for entrant in table["entrants"])
    return said["footer"].format(many=many, level=table["level"])


def plot(table: Mapping[str, Any], said: Mapping[str, str]) -> str | None:
    """The primary score of every entrant with its interval, as inline SVG; None where nobody has one."""
    metric = table["primary"]
    scored = [
        (short(entrant["name"]), entrant["scores"][metric])
        for entrant in table["entrants"]
        if entrant["scores"] and entrant["scores"][metric]["value"] is not None
    ]
    if not scored:
        return None
    with drawing("compare", said["plot"].format(metric=said.get(metric, metric)), 0.55 + 0.34 * len(scored)) as canvas:
        axes = canvas.axes
        band = scored[0][1]
        if band["low"] is not None:
            axes.axvspan(band["low"], band["high"], color=MUTED, alpha=0.14, linewidth=0)
        for row, (_, score) in enumerate(scored):
            colour = ACCENT if row == 0 else INK
            if score["low"] is not None:
                axes.plot([score["low"], score["high"]], [row, row], color=colour, linewidth=1.6)
            axes.plot([score["value"]], [row], marker="o", markersize=5, color=colour)
        axes.grid(axis="x")
        if metric in SHARES:
            axes.xaxis.set_major_formatter(lambda value, _: as_share(value))
        axes.locator_params(axis="x", nbins=5)
        label_rows(canvas, [name for name, _ in scored])
    return canvas.svg


@functools.cache
def _template() -> Any:
    jinja2 = need("jinja2")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,  # names and answers come from outside and are never trusted
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")
