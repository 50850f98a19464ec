"""How a plan looks on a terminal: this machine and a few GPUs, every figure over its interval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markup import escape

from danlu.cli.tables import table
from danlu.report.numbers import MISSING, between, count, duration, mass, money, size
from danlu.stages import STAGES

_PLACES = {stage.name: place for place, stage in enumerate(STAGES)}

#: Kind of a figure -> how it is told.
_SHOW: dict[str, Callable[[float | None], str]] = {
    "seconds": duration,
    "bytes": size,
    "usd": money,
    "kilograms": mass,
}

#: The figures of a place by column: key in plan.json -> kind.
_COLUMNS = {"seconds": "seconds", "memory_bytes": "bytes", "usd": "usd", "kg_co2": "kilograms"}


def span(score: dict[str, Any] | None, kind: str) -> str:
    """A prediction, and under it from where to where it may come out; short, so that four fit side by side."""
    if score is None:
        return MISSING
    return "\n".join(_told(score, kind))


def draw_plan(screen: Console, plan: dict[str, Any], warnings: list[str]) -> None:
    """Print the content of plan.json, what is out of reach first, and the caps that it may exceed."""
    for sentence in plan.get("beyond", ()):
        screen.print(f"[bold red]✗ {escape(sentence)}[/]\n")
    if plan["max_length"] is None:
        screen.print(f"{count(plan['samples'])} training texts, from {count(plan['rows'])} rows; no neural network\n")
    else:
        screen.print(
            f"{count(plan['samples'])} training samples in {count(plan['steps'])} steps, from {count(plan['rows'])} "
            f"rows; {count(plan['parameters'])} parameters, {plan['precision']}, at most {plan['max_length']} tokens a "
            "text\n"
        )
    where = table("where", "time", "memory", "money", "CO2", numbers=4, title="The whole run")
    machine = plan["machine"]
    screen.print(f"[dim]This machine: {escape(machine['cpu'])}, {machine['threads']} threads.[/]")
    here = "[bold]this machine[/]"
    where.add_row(here, *_cells(plan["total"]))
    for gpu in plan["elsewhere"]:
        rented = f"{escape(gpu['name'].removeprefix('NVIDIA '))}\n[dim]{money(gpu['price_usd_per_hour'])}/h[/]"
        if gpu["fits"]:
            where.add_row(rented, *_cells(gpu))
        else:
            where.add_row(rented, "[red]does not fit[/]", span(gpu["memory_bytes"], "bytes"), "", "")
    screen.print(where)
    if plan["elsewhere"]:
        screen.print(
            "[dim]GPUs were not measured: a share of their peak and a dated price (see --json) are assumed.[/]"
        )
    screen.print()
    stages = table("stage", "time", "memory", numbers=2, title="By stage, on this machine")
    for stage, cost in sorted(plan["stages"].items(), key=lambda item: _PLACES.get(item[0], len(_PLACES))):
        stages.add_row(stage, _line(cost["seconds"], "seconds"), _line(cost["memory_bytes"], "bytes"))
    screen.print(stages)
    screen.print()
    for note in plan["notes"]:
        screen.print(f"[dim]· {escape(note)}[/]")
    for warning in warnings:
        screen.print(f"[yellow]! {escape(warning)}[/]")


def _cells(cost: dict[str, Any]) -> tuple[str, ...]:
    return tuple(span(cost[key], kind) for key, kind in _COLUMNS.items())


def _line(score: dict[str, Any], kind: str) -> str:
    value, *ends = _told(score, kind)
    return value + "".join(f" ({end})" for end in ends)


def _told(score: dict[str, Any], kind: str) -> list[str]:
    """The value, and its interval where that says more."""
    value, ends = _SHOW[kind](score["value"]), between(score["low"], score["high"], kind)
    return [value] if ends == value else [value, f"[dim]{ends}[/]"]
