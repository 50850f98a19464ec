"""Tables that the reading commands draw on a terminal, in English or Chinese, at 80 columns."""

from __future__ import annotations

import re
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape, render
from rich.table import Table

from danlu.report.numbers import (
    count,
    duration,
    energy_known,
    milliseconds,
    money,
    number,
    percent,
    size,
    within,
)
from danlu.report.sentences import NOT_COMPARABLE, gate_sentence, standing, training_notes
from danlu.report.targets import score_name
from danlu.report.words import Language, stage_name, words

_COLOURS = {
    "ship": "white on green",
    "doubted": "black on yellow",
    "refused": "white on red",
    "undecided": "black on yellow",
    "stopped": "black on yellow",
    "asked": "white on green",
}

Words = dict[str, str]

#: What a line of text is broken between: words and Chinese signs. A number keeps its unit or counter, and no line
#: begins with a mark that closes or ends with one that opens.
_HAN = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef"
_WORD = rf"[^\s{_HAN}“”]"
_NUMBER = rf"(?:[<=≤≥→] )?{_WORD}*\d{_WORD}*(?: (?:{_WORD}+|[\u4e00-\u9fff]))?"
_PIECES = re.compile(rf"\s*[“（《]*(?:{_NUMBER}|{_WORD}+|[{_HAN}])?[，。；：、！？）》”]*")


def say(screen: Console, text: str, style: str = "", before: str = "") -> None:
    """Print `text`, which is no markup, behind the markup `before`, in lines that fit.

    Rich breaks a line at every space and, where there is none, anywhere: between 3 and 道, and before a full stop.
    """
    lines = [""]
    for piece in _PIECES.findall(text):
        room = screen.width - (cell_len(render(before).plain) if len(lines) == 1 else 0)
        if lines[-1] and cell_len(lines[-1] + piece) > room:
            lines.append("")
        lines[-1] += piece if lines[-1] else piece.lstrip()
    told = escape("\n".join(lines))
    screen.print(before + (f"[{style}]{told}[/]" if style else told))


def badge(verdict: str, language: Language = "en") -> str:
    """A verdict, or a standing as `danlu.report.sentences.standing` has it, as a coloured word."""
    return f"[bold {_COLOURS[verdict]}] {words(language)[f'badge_{verdict}']} [/]"


def draw_advice(screen: Console, summary: dict[str, Any], language: Language = "en") -> None:
    """What to do, a line a point; nothing where nothing is to be done."""
    if summary["advice"]:
        screen.print(f"[bold]{words(language)['advice_' + summary['verdict']]}[/]")
    for point in summary["advice"]:
        say(screen, point[language], before="  [yellow]→[/] ")


def table(*columns: str, numbers: int = 0, title: str | None = None) -> Table:
    """An unboxed table; its last `numbers` columns are set flush right."""
    made = Table(box=None, padding=(0, 2, 0, 0), title=title, title_justify="left", title_style="bold", pad_edge=False)
    for index, column in enumerate(columns):
        right = index >= len(columns) - numbers
        made.add_column(
            column, justify="right" if right else "left", no_wrap=right, header_style="dim", overflow="fold"
        )
    return made


def predicted(score: dict[str, Any] | None, kind: str) -> str:
    """A prediction of a kind of `danlu.report.numbers.within`, and behind it its interval."""
    value, ends = within(score, kind)
    return f"{value} [dim]({ends})[/]" if ends else value


def interval(score: dict[str, Any] | None) -> str:
    """A score with its 95% interval: `0.773 [0.759, 0.787]`."""
    if score is None or score.get("value") is None:
        return number(None)
    if score.get("low") is None or score.get("high") is None:
        return number(score["value"])
    return f"{number(score['value'])} [dim]\\[{number(score['low'])}, {number(score['high'])}][/]"


def draw_summary(screen: Console, summary: dict[str, Any], language: Language = "en", other: str = "") -> None:
    """What `danlu show NAME` prints: the verdict, its sentence, then what it stands on; all in `language`.

    `other` is a line that says how to see another run of the same name; empty where there is none.
    """
    said = words(language)
    version = f"{said['comma']}{said['version']} {summary['version']}" if summary["version"] is not None else ""
    doubt = f"  [yellow]{escape(summary['doubt'][language])}[/]" if summary["doubt"] else ""
    screen.print(f"{badge(standing(summary), language)}  [bold]{escape(summary['name'])}[/]{version}{doubt}")
    say(screen, summary["sentence"][language])
    draw_advice(screen, summary, language)
    if summary["later_sentence"]:
        say(screen, summary["later_sentence"][language], "yellow")
    if other:
        screen.print(escape(other), soft_wrap=True)
    for draw in (_gates, _scores, _forms, _data, _cost):
        draw(screen, summary, said, language)


def _gates(screen: Console, summary: dict[str, Any], said: Words, language: Language) -> None:
    if not summary["gates"]:
        return
    made = table("", said["gate"], said["seen"])
    for gate in summary["gates"]:
        mark = "[green]✓[/]" if gate["passed"] else "[red]✗[/]"
        made.add_row(mark, escape(gate["expression"]), escape(gate_sentence(gate, summary)[language]))
    made.columns[1].no_wrap = True
    screen.print(f"\n[bold]{said['gates']}[/]", made, sep="\n")


def _scores(screen: Console, summary: dict[str, Any], said: Words, language: Language) -> None:
    evidence, baseline = summary["evidence"], summary["baseline"]
    if not evidence:
        return
    made = table(said["score"], said["model"], said["short_baseline_same"], said["short_baseline_all"], numbers=3)
    same = (baseline or {}).get("scores") or {}
    every = ((baseline or {}).get("all_rows") or {}).get("scores") or {}
    for name, score in evidence["scores"].items():
        theirs, best = (None, None) if name in NOT_COMPARABLE else (same.get(name), every.get(name))
        made.add_row(score_name(name, said), interval(score), interval(theirs), number((best or {}).get("value")))
    on = said["scores_on"].format(rows=count(evidence["rows"]))
    screen.print(f"\n[bold]{said['scores']}[/] [dim]{on}[/]", made, sep="\n")
    if every:
        screen.print(f"[dim]{said['all_rows_note']}[/]")
    if summary["questions_sentence"]:
        say(screen, summary["questions_sentence"][language])
    if summary["folds_sentence"]:
        say(screen, summary["folds_sentence"][language])
    for key in ("champion_sentence", "abstention_sentence", "slices_sentence"):
        if summary[key]:
            say(screen, summary[key][language])
    if summary["naive"]:
        say(screen, summary["naive_sentence"][language], "yellow")


def _forms(screen: Console, summary: dict[str, Any], said: Words, _language: Language) -> None:
    if not summary["forms"]:
        return
    made = table(
        said["form"], said["size"], said["p50"], said["p95"], said["throughput"], said["short_parity"], numbers=5
    )
    for form in summary["forms"]:
        parity = form["parity"] or {}
        made.add_row(
            f"{form['form']}{' [green](' + said['served'] + ')[/]' if form['shipped'] else ''}",
            size(form["bytes"]),
            milliseconds(form["p50_ms"]),
            milliseconds(form["p95_ms"]),
            number(form["throughput_per_second"]),
            percent(parity.get("disagreement")),
        )
    screen.print(f"\n[bold]{said['forms_short']}[/]", made, f"[dim]{said['parity_note']}[/]", sep="\n")


def _data(screen: Console, summary: dict[str, Any], said: Words, _language: Language) -> None:
    data = summary["data"]
    if not data:
        return
    made = table(*(said[f"funnel_{column}"] for column in ("step", "in", "dropped", "out", "reasons")))
    for column in made.columns[1:4]:
        column.justify, column.no_wrap = "right", True
    for step in data["funnel"]:
        if step["rows_in"] == step["rows_out"]:
            continue
        reasons = said["comma"].join(
            f"{said.get(f'reason_{reason}', reason)} {count(rows)}" for reason, rows in step["dropped"].items() if rows
        )
        made.add_row(
            said.get(f"step_{step['step']}", step["step"]),
            count(step["rows_in"]),
            count(step["rows_in"] - step["rows_out"]),
            count(step["rows_out"]),
            escape(reasons),
        )
    screen.print(f"\n[bold]{said['data']}[/]")
    if made.row_count:
        screen.print(made)
    parts = said["comma"].join(
        f"{said.get(f'part_{part}', part)} {count(numbers['rows'])}" for part, numbers in data["splits"].items()
    )
    screen.print(said["split"].format(parts=parts, leaked=count(data["leaked_rows"])))
    for note in training_notes(summary, said):
        say(screen, note)


def _cost(screen: Console, summary: dict[str, Any], said: Words, language: Language) -> None:
    made = table(said["stage"], said["predicted"], said["stage_took"], said["peak_memory"], "")
    reused = {entry["stage"]: entry["reused"] for entry in summary["artifacts"]}
    for row in summary["plan"]["stages"]:
        seconds, memory = row["seconds"], row["peak_memory_bytes"]
        made.add_row(
            stage_name(row["stage"], language),
            predicted(seconds["predicted"], "seconds"),
            duration(seconds["actual"]),
            size(memory["actual"]),
            f"[dim]{said['reused']}[/]" if reused.get(row["stage"]) else "",
        )
    screen.print(f"\n[bold]{said['time_and_memory']}[/]", made, sep="\n")
    total = summary["plan"]["total"]
    co2 = total["kg_co2"]
    if total["kwh"]["actual"] is not None and co2["actual"] is not None and co2["predicted"]:
        took, ends = within({**co2["predicted"], "value": co2["actual"]}, "kilograms")
        line = said["energy_line"].format(
            kwh=number(total["kwh"]["actual"], 2),
            money=money(total["usd"]["actual"]),
            co2=took,
            how=energy_known(summary["plan"]["kwh_by"], said),
            predicted=ends or took,
        )
        say(screen, line, "dim")
