"""The comparison as lines of cells, for the terminal and for the page alike: one line a fact, one cell an entrant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from danlu.compare.sentences import difference, dollars, ends, p_values, standing, value
from danlu.report import numbers as show

Words = Mapping[str, str]
Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one entrant has; `more` is smaller below it, `standing` colours it (see `sentences.standing`)."""

    text: str
    more: str = ""
    standing: str = ""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One fact of all entrants, in their order."""

    name: str
    cells: tuple[Cell, ...]


def lines(table: Row, said: Words) -> list[Line]:
    """Every line that at least one entrant has something for."""
    made = [_scores(table, said, metric) for metric in table["shown"]]
    first = table["entrants"][0]["name"]
    made += [
        Line(
            name=said[name].format(first=first),
            cells=tuple(cell(entrant, table, said) for entrant in table["entrants"]),
        )
        for name, cell in _CELLS.items()
    ]
    return [line for line in made if any(cell.text != show.MISSING for cell in line.cells)]


def _scores(table: Row, said: Words, metric: str) -> Line:
    cells = []
    for entrant in table["entrants"]:
        if entrant["scores"] is None:
            cells.append(Cell(text=said["not_comparable"] if metric == table["primary"] else show.MISSING))
            continue
        score = entrant["scores"].get(metric)
        cells.append(Cell(text=value(score, metric), more=ends(score, metric)))
    return Line(name=said.get(metric, metric), cells=tuple(cells))


_NOTHING = Cell(text=show.MISSING)


def _difference(entrant: Row, _table: Row, said: Words) -> Cell:
    if entrant["comparison"] is None:
        return _NOTHING
    text, more = difference(entrant["comparison"])
    metric = entrant["comparison"]["metric"]
    return Cell(text=f"{text} {said.get(metric, metric)}", more=more)


def _p(entrant: Row, _table: Row, _said: Words) -> Cell:
    return _NOTHING if entrant["comparison"] is None else Cell(text=p_values(entrant["comparison"]))


def _verdict(entrant: Row, table: Row, said: Words) -> Cell:
    how = standing(entrant, table)
    return Cell(text=said[how], standing=how)


def _unanswered(entrant: Row, _table: Row, _said: Words) -> Cell:
    return Cell(text=show.count(entrant["unanswered"])) if entrant["unanswered"] else _NOTHING


def _latency(entrant: Row, _table: Row, _said: Words) -> Cell:
    found = entrant["latency"]
    if found is None:
        return _NOTHING
    return Cell(text=f"{show.milliseconds(found['p50_ms'])} / {show.milliseconds(found['p95_ms'])}")


def _cost(entrant: Row, _table: Row, said: Words) -> Cell:
    cost = entrant["cost"]
    if cost is None:
        return _NOTHING
    return Cell(text=said["unknown"] if cost["usd_per_1000"] is None else dollars(cost["usd_per_1000"]))


def _tokens(entrant: Row, _table: Row, _said: Words) -> Cell:
    cost = entrant["cost"] or {}
    if cost.get("prompt_tokens_per_1000") is None:
        return _NOTHING
    return Cell(text=f"{show.count(cost['prompt_tokens_per_1000'])} / {show.count(cost['completion_tokens_per_1000'])}")


def _size(entrant: Row, _table: Row, said: Words) -> Cell:
    if entrant["bytes"] is None:
        return Cell(text=said["unknown"])
    parameters = entrant["parameters"]
    more = entrant["form"]
    if parameters is not None:
        more += ", " + said["parameters"].format(parameters=show.count(parameters))
    return Cell(text=show.size(entrant["bytes"]), more=more)


def _licence(entrant: Row, _table: Row, said: Words) -> Cell:
    return Cell(text=entrant["licence"] or said["unknown"])


def _context(entrant: Row, _table: Row, said: Words) -> Cell:
    if entrant["context"] is None:
        return Cell(text=said["unknown"])
    if entrant["context"] == 0:
        return Cell(text=said["context_whole"])
    return Cell(text=said["context_tokens"].format(tokens=show.count(entrant["context"])))


def _data(entrant: Row, _table: Row, said: Words) -> Cell:
    data = entrant["data"]
    if data is None:
        return Cell(text=said["unknown"])
    facts = [said["data_rows"].format(rows=show.count(data["rows"]))]
    if data["tokens"] is not None:
        facts.append(said["data_tokens"].format(tokens=show.count(data["tokens"])))
    facts += data["languages"]
    facts += [f"{source['name']} ({source['licence']})" for source in data["sources"]]
    if entrant["base"]:
        facts.append(said["data_base"].format(base=entrant["base"].removeprefix("base://")))
    return Cell(text=facts[0], more=", ".join(facts[1:]))


_CELLS: dict[str, Callable[[Row, Row, Words], Cell]] = {
    "difference": _difference,
    "p_value": _p,
    "verdict": _verdict,
    "unanswered": _unanswered,
    "latency": _latency,
    "cost": _cost,
    "tokens": _tokens,
    "size": _size,
    "licence": _licence,
    "context": _context,
    "data": _data,
}
