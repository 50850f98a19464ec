"""The data card as one HTML file that needs nothing else: no network, no script, no library.

It is drawn by hand, for it is part of the Corpus: the same card gives the same bytes whatever is installed. Both
languages are in it; that of the corpus is shown first.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from danlu.data.card import added_rows, dropped, trained_rows
from danlu.data.page.style import STYLE
from danlu.data.page.words import WORDS

PARTS = ("train", "validation", "test")
_MOST_LABELS = 30
_MOST_FILES = 20
_MINUS = "−"


def page(card: Mapping[str, Any]) -> str:
    """The whole page for the values of a `card.json`."""
    sections = (
        _top(card),
        _two(_funnel(card), _parts(card)),
        _naive(card["naive"]),
        _sources(card["sources"]),
        _two(_personal(card), _lengths(card)),
        _mix(card.get("mix") or {}),
        _two(_duplicates(card), _warnings(card["warnings"])),
    )
    chinese = card["language"] == "zh"
    return "\n".join(
        (
            "<!doctype html>",
            f'<html lang="{"zh-CN" if chinese else "en"}">',
            '<head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            f"<title>{' · '.join(WORDS['title'])} · Danlu</title>",
            f"<style>\n{STYLE}</style></head>",
            "<body>",
            _radio("en", not chinese),
            _radio("zh", chinese),
            "<main>",
            *(section for section in sections if section),
            f"<footer>{_say('footer')}</footer>",
            "</main></body></html>\n",
        )
    )


def _radio(language: str, on: bool) -> str:
    name = {"en": "English", "zh": "中文"}[language]
    return (
        f'<input class="lang" type="radio" name="lang" id="lang-{language}" aria-label="{name}"'
        f"{' checked' if on else ''}>"
    )


def _say(key: str, **values: str) -> str:
    """The words for `key` in both languages, of which one is shown; `values` are markup."""
    english, chinese = (words.format(**values) if values else words for words in WORDS[key])
    return english if english == chinese else _both(english, chinese)


def _both(english: str, chinese: str) -> str:
    return f'<span class="en" lang="en">{english}</span><span class="zh" lang="zh-CN">{chinese}</span>'


def _named(prefix: str, name: str) -> str:
    """A name from the data stage in words, or as it is where there are none for it."""
    return _say(f"{prefix}{name}") if f"{prefix}{name}" in WORDS else _text(name.replace("_", " "))


def _text(value: object) -> str:
    return html.escape(str(value), quote=True)


def _count(value: int) -> str:
    return f"{value:,}"


def _section(title: str, *body: str, kind: str = "") -> str:
    return (
        f'<section class="card{kind}">\n<h2>{title}</h2>\n' + "\n".join(part for part in body if part) + "\n</section>"
    )


def _two(*sections: str) -> str:
    there = [section for section in sections if section]
    return f'<div class="two">\n{"".join(there)}\n</div>' if len(there) > 1 else "".join(there)


@dataclass(frozen=True, kw_only=True)
class _Bar:
    """One row of a bar chart: its name and value as markup, and its pieces as (class, share of the width)."""

    name: str
    value: str
    pieces: Sequence[tuple[str, float]]
    why: str = ""
    interval: tuple[float, float] | None = None


def _bars(bars: Iterable[_Bar]) -> str:
    return '<ul class="bars">\n' + "\n".join(_bar(bar) for bar in bars) + "\n</ul>"


def _bar(bar: _Bar) -> str:
    drawn = ['<rect class="track" width="100%" height="100%" rx="3"/>']
    start = 0.0
    for kind, share in bar.pieces:
        if share > 0:
            drawn.append(f'<rect class="{kind}" x="{_percent(start)}" width="{_percent(share)}" height="100%" rx="2"/>')
        start += share
    if bar.interval is not None:
        low, high = (_percent(end) for end in bar.interval)
        drawn.append(f'<line x1="{low}" x2="{high}" y1="50%" y2="50%"/>')
    why = f'<span class="why">{bar.why}</span>' if bar.why else ""
    return (
        f'<li><span>{bar.name}</span><svg aria-hidden="true">{"".join(drawn)}</svg>'
        f'<span class="value">{bar.value}</span>{why}</li>'
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"


def _top(card: Mapping[str, Any]) -> str:
    read = card["funnel"][0]["rows_in"] if card["funnel"] else 0
    kept = sum(part["rows"] for part in card["splits"].values())
    tiles = [(_count(card["splits"][part]["rows"]), _say(part)) for part in PARTS]
    if card["labels"]:
        tiles.append((_count(len(card["labels"])), _say("classes")))
    tiles.append((_count(card["leaked_rows"]), _say("leaked_rows")))
    if card["masked"]:
        tiles.append((_count(sum(card["masked"].values())), _say("masked_values")))
    said = _say(
        "sentence",
        read=_count(read),
        kept=_count(kept),
        dropped=_count(sum(dropped(card).values())),
    )
    if added_rows(card):
        said += " " + _say("sentence_added", added=_count(added_rows(card)), trained=_count(trained_rows(card)))
    drawn = "".join(f'<div class="tile"><b>{value}</b><span>{what}</span></div>' for value, what in tiles)
    return (
        '<section class="card top">\n<div class="switch"><label for="lang-en" lang="en">English</label>'
        f'<label for="lang-zh" lang="zh-CN">中文</label></div>\n<h1>{_say("title")}</h1>\n'
        f'<p class="sentence">{said}</p>\n<div class="tiles">{drawn}</div>\n</section>'
    )


def _funnel(card: Mapping[str, Any]) -> str:
    steps = card["funnel"]
    if not steps:
        return ""
    whole = max(1, steps[0]["rows_in"])
    bars = [_Bar(name=_say("rows_read"), value=_count(steps[0]["rows_in"]), pieces=[("", 1.0)])]
    for step in steps:
        reasons = sorted(step["dropped"].items(), key=lambda pair: (-pair[1], pair[0]))
        if reasons:
            why = " · ".join(f"{_MINUS}{_count(rows)} {_named('reason_', reason)}" for reason, rows in reasons)
            bars.append(
                _Bar(
                    name=_named("step_", step["step"]),
                    value=_count(step["rows_out"]),
                    pieces=[("", step["rows_out"] / whole)],
                    why=why,
                )
            )
    return _section(_say("funnel"), _bars(bars), f'<p class="small">{_say("funnel_note")}</p>')


def _parts(card: Mapping[str, Any]) -> str:
    parts = card["splits"]
    kept = max(1, sum(part["rows"] for part in parts.values()))
    bars = [
        _Bar(
            name=_say(part),
            value=_count(parts[part]["rows"]),
            pieces=[(part, parts[part]["rows"] / kept)],
            why=f"{_count(parts[part]['characters'])} {_say('characters')}",
        )
        for part in PARTS
    ]
    how = "parts_by_time" if card["split"].get("by") == "time" else "parts_by_hash"
    body = [f'<p class="small">{_say(how)}</p>', _extends(card["split"]), _bars(bars)]
    if card["labels"]:
        body += [_legend(), *_labels(card["labels"], parts)]
    return _section(_say("parts"), *body)


def _legend() -> str:
    keys = "".join(
        f'<span class="key"><svg aria-hidden="true"><rect class="{part}" width="100%" height="100%"/></svg>'
        f"{_say(part)}</span>"
        for part in PARTS
    )
    return f'<p class="legend">{keys}</p>'


def _labels(labels: Sequence[str], parts: Mapping[str, Any]) -> list[str]:
    """Rows of each label in each part, the most frequent labels first."""
    rows = {label: [parts[part]["labels"].get(label, 0) for part in PARTS] for label in labels}
    order = sorted(rows, key=lambda label: (-sum(rows[label]), label))
    most = max(1, *(sum(counts) for counts in rows.values()))
    bars = [
        _Bar(
            name=_text(label),
            value=_count(sum(rows[label])),
            pieces=[(part, count / most) for part, count in zip(PARTS, rows[label], strict=True)],
        )
        for label in order[:_MOST_LABELS]
    ]
    more = len(order) - len(bars)
    return [_bars(bars), f'<p class="small">{_say("more_labels", count=_count(more))}</p>' if more else ""]


def _lengths(card: Mapping[str, Any]) -> str:
    lengths, bins = card["lengths"], card["length_bins"]
    most = max(1, *(entry["rows"] for entry in bins))
    # From the first length that there is on; the empty ones in between stay, for they are part of the shape.
    first = next((number for number, entry in enumerate(bins) if entry["rows"]), 0)
    bars = [
        _Bar(name=f"≤ {_count(entry['up_to'])}", value=_count(entry["rows"]), pieces=[("", entry["rows"] / most)])
        for entry in bins[first:]
    ]
    said = _say("lengths_text", **{name: _count(value) for name, value in lengths.items()})
    return _section(_say("lengths"), _bars(bars), f'<p class="small">{said}</p>')


def _sources(sources: Sequence[Mapping[str, Any]]) -> str:
    return _section(_say("sources"), *(_source(source) for source in sources))


def _source(source: Mapping[str, Any]) -> str:
    unknown = _say("not_named")
    consent = _say(f"consent_{source['consent']}")
    if source["consent_note"]:
        consent += f" ({_text(source['consent_note'])})"
    facts = [
        (_say("licence"), unknown if source["licence"] == "unknown" else _text(source["licence"])),
        (_say("origin"), _text(source["origin"]) if source["origin"] else unknown),
        (_say("consent"), consent),
    ]
    if source["fetched"] is not None:
        facts.append((_say("fetched"), f"{_text(source['fetched']['taken'])}: {_text(source['fetched']['place'])}"))
    facts.append((_say("hash"), f"<code>{_text(source['sha256'])}</code>"))
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    return f'<div class="source"><h3>{_text(source["name"])}</h3><dl>{listed}</dl>{_files(source["files"])}</div>'


def _files(files: Sequence[Mapping[str, Any]]) -> str:
    columns = ("file", "format", "rows", "unreadable", "hash")
    head = "".join(f"<th{_numeric(name)}>{_say(name)}</th>" for name in columns)
    rows = []
    for file in files[:_MOST_FILES]:
        shown = _text(file["format"]) + (f", {_text(file['encoding'])}" if file["encoding"] else "")
        digest = f'<code title="{_text(file["sha256"])}">{_text(file["sha256"][:12])}</code>'
        cells = (_text(file["name"]), shown, _count(file["rows"]), _count(file["bad_rows"]), digest)
        drawn = "".join(
            f'<td{_numeric(name)}><span class="name">{_say(name)}</span><span>{cell}</span></td>'
            for name, cell in zip(columns, cells, strict=True)
        )
        rows.append(f"<tr>{drawn}</tr>")
    more = len(files) - len(rows)
    rest = f'<p class="small">{_say("more_files", count=_count(more))}</p>' if more else ""
    return f'<table class="stack"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>{rest}'


def _numeric(column: str) -> str:
    return ' class="n"' if column in {"rows", "unreadable"} else ""


def _personal(card: Mapping[str, Any]) -> str:
    if not card["masked"]:
        return _section(_say("personal"), f"<p>{_say('personal_none')}</p>")
    body = [f'<p class="small">{_say("personal_note")}</p>', _kinds(card["masked"])]
    if card["near_misses"]:
        body += [f"<h3>{_say('near_misses')}</h3>", f'<p class="small">{_say("near_misses_note")}</p>']
        body.append(_kinds(card["near_misses"]))
    return _section(_say("personal"), *body)


def _kinds(counts: Mapping[str, int]) -> str:
    """What was found, most first; then, in a line, what was looked for and not found."""
    most = max(1, *counts.values())
    order = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    drawn = _bars(
        _Bar(name=_named("kind_", kind), value=_count(count), pieces=[("", count / most)])
        for kind, count in order
        if count
    )
    absent = " · ".join(_named("kind_", kind) for kind, count in order if not count)
    return drawn + (f'<p class="small">{_say("not_found")} {absent}</p>' if absent else "")


def _duplicates(card: Mapping[str, Any]) -> str:
    found = card["duplicates"]
    exact = _count(found["exact_dropped"])
    if found["threshold"] is None:
        said = [_say("duplicates_exact", exact=exact)]
    else:
        near = {"rows": _count(found["near_rows"]), "clusters": _count(found["near_clusters"])}
        said = [_say("duplicates_text", exact=exact, threshold=f"{found['threshold']:g}", **near)]
    if found["truncated_buckets"]:
        said.append(_say("truncated", count=_count(found["truncated_buckets"])))
    body = [f"<p>{sentence}</p>" for sentence in said]
    if card["relabelled"]:
        counts = {name: _count(value) for name, value in card["relabelled"].items()}
        body += [f"<h3>{_say('relabelled')}</h3>", f"<p>{_say('relabelled_text', **counts)}</p>"]
    return _section(_say("duplicates"), *body)


def _mix(mix: Mapping[str, Any]) -> str:
    if not mix:
        return ""
    head = "".join(f"<th{_right(place)}>{_say(word)}</th>" for place, word in enumerate(_MIX_COLUMNS))
    rows = []
    for source in mix["sources"]:
        shares = [
            _count(source["before"]),
            f"{source['times']:.3g}",
            _share(source["wanted"]),
            _share(source["reached"]),
        ]
        cells = "".join(f'<td class="n">{value}</td>' for value in shares)
        rows.append(f"<tr><td>{_text(source['name'])}</td>{cells}</tr>")
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return _section(_say("mix"), f"<p>{_say('mix_note', unit=_say(mix['unit']))}</p>", table)


_MIX_COLUMNS = ("source", "mix_before", "mix_times", "mix_wanted", "mix_reached")


def _right(place: int) -> str:
    return ' class="n"' if place else ""


def _extends(split: Mapping[str, Any]) -> str:
    if "extends" not in split:
        return ""
    return f"<p>{_say('extends', **{name: _count(value) for name, value in split['extends'].items()})}</p>"


def _naive(naive: Mapping[str, Any] | None) -> str:
    if naive is None:
        return ""
    said = _say(
        "naive_text",
        model=_text(naive["model"]),
        rows=_count(naive["rows"]),
        available=_count(naive["rows_available"]),
    )
    bars = [_score("naive_split", naive["naive"], "naive"), _score("honest_split", naive["clean"], "")]
    body = [f"<p>{said}</p>", _bars(bars)]
    if naive["straddling_share"] is not None:
        body.append(f"<p>{_say('naive_share', share=_share(naive['straddling_share']))}</p>")
    body.append(f'<p class="small">{_say("accuracy")}</p>')
    return _section(_say("naive"), *body, kind=" callout")


def _score(name: str, score: Mapping[str, float | None], kind: str) -> _Bar:
    value, low, high = score["value"], score["low"], score["high"]
    if value is None:
        return _Bar(name=_say(name), value=_say("not_measurable"), pieces=[])
    if low is None or high is None:
        return _Bar(name=_say(name), value=_share(value), pieces=[(kind, value)])
    return _Bar(
        name=_say(name),
        value=_share(value),
        pieces=[(kind, value)],
        why=f"{_share(low)} – {_share(high)}",
        interval=(low, high),
    )


def _share(value: float) -> str:
    return f"{value:.1%}"


def _warnings(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    return _section(
        _say("warnings"), "<ul>" + "".join(f'<li lang="en">{_text(said)}</li>' for said in warnings) + "</ul>"
    )
