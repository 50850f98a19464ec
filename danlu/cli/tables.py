"""Tables that the reading commands draw on a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from danlu.report.numbers import count, duration, milliseconds, number, percent, size
from danlu.report.sentences import NOT_COMPARABLE

VERDICTS = {
    "ship": "[bold white on green] SHIP [/]",
    "refused": "[bold white on red] REFUSED [/]",
    "stopped": "[bold black on yellow] STOPPED [/]",
}


def table(*columns: str, numbers: int = 0, title: str | None = None) -> Table:
    """An unboxed table; its last `numbers` columns are set flush right."""
    made = Table(box=None, padding=(0, 2, 0, 0), title=title, title_justify="left", title_style="bold", pad_edge=False)
    for index, column in enumerate(columns):
        right = index >= len(columns) - numbers
        made.add_column(
            column, justify="right" if right else "left", no_wrap=right, header_style="dim", overflow="fold"
        )
    return made


def interval(score: dict[str, Any] | None) -> str:
    """A score with its 95% interval: `0.773 [0.759, 0.787]`."""
    if score is None or score.get("value") is None:
        return number(None)
    if score.get("low") is None or score.get("high") is None:
        return number(score["value"])
    return f"{number(score['value'])} [dim]\\[{number(score['low'])}, {number(score['high'])}][/]"


def draw_summary(screen: Console, summary: dict[str, Any], language: str = "en") -> None:
    """What `danlu show NAME` prints: the verdict, its sentence in `language`, then what it stands on."""
    version = f", version {summary['version']}" if summary["version"] is not None else ""
    screen.print(f"{VERDICTS[summary['verdict']]}  [bold]{escape(summary['name'])}[/]{version}")
    screen.print(escape(summary["sentence"][language]))
    for draw in (_gates, _scores, _forms, _data, _cost):
        draw(screen, summary)


def _gates(screen: Console, summary: dict[str, Any]) -> None:
    if not summary["gates"]:
        return
    made = table("", "gate", "what was seen")
    for gate in summary["gates"]:
        mark = "[green]✓[/]" if gate["passed"] else "[red]✗[/]"
        made.add_row(mark, escape(gate["expression"]), escape(str(gate["reason"] or number(gate["observed"]))))
    screen.print("\n[bold]Gates[/]", made, sep="\n")


def _scores(screen: Console, summary: dict[str, Any]) -> None:
    evidence, baseline = summary["evidence"], summary["baseline"]
    if not evidence:
        return
    made = table("score", "this model", "baseline", "baseline, all rows")
    same = (baseline or {}).get("scores") or {}
    every = ((baseline or {}).get("all_rows") or {}).get("scores") or {}
    for name, score in evidence["scores"].items():
        theirs, best = (None, None) if name in NOT_COMPARABLE else (same.get(name), every.get(name))
        made.add_row(name, interval(score), interval(theirs), number((best or {}).get("value")))
    screen.print(f"\n[bold]Scores[/] [dim]on {count(evidence['rows'])} test rows, 95% interval[/]", made, sep="\n")
    if summary["naive"]:
        screen.print(f"[yellow]{escape(summary['naive_sentence']['en'])}[/]")


def _forms(screen: Console, summary: dict[str, Any]) -> None:
    if not summary["forms"]:
        return
    made = table("form", "size", "p50", "p95", "texts/s", "differs from checkpoint", numbers=5)
    for form in summary["forms"]:
        parity = form["parity"] or {}
        made.add_row(
            f"{form['form']}{' [green](served)[/]' if form['shipped'] else ''}",
            size(form["bytes"]),
            milliseconds(form["p50_ms"]),
            milliseconds(form["p95_ms"]),
            number(form["throughput_per_second"]),
            percent(parity.get("disagreement")),
        )
    screen.print("\n[bold]Forms[/]", made, sep="\n")


def _data(screen: Console, summary: dict[str, Any]) -> None:
    data = summary["data"]
    if not data:
        return
    made = table("step", "in", "dropped", "out", "reasons", numbers=0)
    for step in data["funnel"]:
        if step["rows_in"] == step["rows_out"]:
            continue
        reasons = ", ".join(f"{reason} {count(rows)}" for reason, rows in step["dropped"].items() if rows)
        dropped = step["rows_in"] - step["rows_out"]
        made.add_row(step["step"], count(step["rows_in"]), count(dropped), count(step["rows_out"]), escape(reasons))
    screen.print("\n[bold]Data[/]", made, sep="\n")
    parts = ", ".join(f"{part} {count(numbers['rows'])}" for part, numbers in data["splits"].items())
    screen.print(f"Split: {parts}; leaked rows: {data['leaked_rows']}")


def _cost(screen: Console, summary: dict[str, Any]) -> None:
    made = table("stage", "predicted", "took", "peak memory", "", numbers=0)
    reused = {entry["stage"]: entry["reused"] for entry in summary["artifacts"]}
    for row in summary["plan"]["stages"]:
        seconds, memory = row["seconds"], row["peak_memory_bytes"]
        made.add_row(
            row["stage"],
            _predicted(seconds["predicted"]),
            duration(seconds["actual"]),
            size(memory["actual"]),
            "[dim]reused[/]" if reused.get(row["stage"]) else "",
        )
    screen.print("\n[bold]Time and memory[/]", made, sep="\n")


def _predicted(score: dict[str, Any] | None) -> str:
    if score is None or score.get("value") is None:
        return number(None)
    if score.get("low") is None or score.get("high") is None:
        return duration(score["value"])
    return f"{duration(score['value'])} [dim]({duration(score['low'])} to {duration(score['high'])})[/]"
