"""How a plan looks on a terminal: this machine and a few GPUs, every figure over its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from danlu.cli.tables import predicted, table
from danlu.plan.history import FEWEST, Tried
from danlu.report.numbers import count, money, within
from danlu.stages import STAGES

_PLACES = {stage.name: place for place, stage in enumerate(STAGES)}

#: The figures of a place by column: key in plan.json -> kind.
_COLUMNS = {"seconds": "seconds", "memory_bytes": "bytes", "usd": "usd", "kg_co2": "kilograms"}


def span(score: dict[str, Any] | None, kind: str) -> str:
    """A prediction, and under it from where to where it may come out; short, so that four fit side by side."""
    value, ends = within(score, kind)
    return f"{value}\n[dim]{ends}[/]" if ends else value


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
        stages.add_row(stage, predicted(cost["seconds"], "seconds"), predicted(cost["memory_bytes"], "bytes"))
    screen.print(stages)
    screen.print()
    for note in plan["notes"]:
        screen.print(f"[dim]· {escape(note)}[/]")
    for warning in warnings:
        screen.print(f"[yellow]! {escape(warning)}[/]")


def draw_options(screen: Console, rows: Sequence[dict[str, Any]], advice: Sequence[str], *, method: str) -> None:
    """Print for each accelerator how few hold the training by `method`, or why none do; `advice` last."""
    title = f"Where else, by method {method}"
    made = table("accelerator", "how", "memory", "time", "money", numbers=3, title=title)
    for name in dict.fromkeys(row["gpu"] for row in rows):
        own = [row for row in rows if row["gpu"] == name and row["method"] == method]
        if not own:
            continue
        row = next((row for row in own if row["fits"]), own[-1])
        many = f"{row['count']} x " if row["count"] > 1 else ""
        capacity = within({"value": row["capacity_bytes"]}, "bytes")[0]
        place = f"{many}{escape(name.removeprefix('NVIDIA '))}\n[dim]{capacity} each[/]"
        needs = span(row["memory_bytes"], "bytes")
        if not row["fits"]:
            made.add_row(place, f"[red]{escape(row['why'])}[/]", needs, "", "")
            continue
        how = f"micro-batch {row['micro_batch']}" + (", checkpointing" if row["checkpointing"] else "")
        how += "\n[dim]state spread over all[/]" if row["sharded"] else ""
        how += "\n[dim]interpolated[/]" if row["interpolated"] else ""
        how += f"\n[yellow]needs {escape(row['needs'])}[/]" if row["needs"] else ""
        price = row["price"]
        cost = "[dim]no price known,\ngive yours[/]"
        if price is not None:
            seller = escape(f"{price['provider']} {price['kind']}, {price['date']}")
            cost = f"{within({'value': row['usd']}, 'usd')[0]}\n[dim]{seller}[/]"
        made.add_row(place, how, needs, span(row["seconds"], "seconds"), cost)
    screen.print(made)
    screen.print("[dim]None of these was measured; the shares of the peak that are assumed are in docs/plan.md.[/]")
    for sentence in advice:
        screen.print(f"[bold]→ {escape(sentence)}[/]")
    screen.print()


def draw_history(screen: Console, tried: Sequence[Tried], rows: Sequence[dict[str, Any]]) -> None:
    """Print every prediction beside what came, newest last, and how far off each stage's were."""
    if not tried:
        screen.print("No prediction was put to the test yet: danlu run does that.")
        return
    kinds = {"seconds": ("time", "seconds"), "memory_bytes": ("memory", "bytes")}
    each = table("run", "stage", "what", "plan", "came", "came / plan", numbers=3, title="Predictions and what came")
    for one in tried:
        what, kind = kinds[one.quantity]
        interval = {"value": one.value, "low": one.low, "high": one.high}
        came = within({"value": one.actual}, kind)[0]
        ratio = f"{one.ratio:.2f}" if one.inside else f"[red]{one.ratio:.2f}[/]"
        each.add_row(
            f"{escape(one.name)}\n[dim]{one.when[:16].replace('T', ' ')}[/]",
            one.stage,
            what if one.whole else f"{what} [dim](stopped early)[/]",
            span(interval, kind),
            came,
            ratio,
        )
    screen.print(each)
    screen.print()
    over = table("stage", "what", "predictions", "median error", "within the interval", numbers=3, title="By stage")
    for row in rows:
        over.add_row(
            row["stage"],
            kinds[row["quantity"]][0],
            str(row["count"]),
            f"{row['median_error']:.0%}",
            f"{row['inside']:.0%}",
        )
    screen.print(over)
    screen.print(
        f"[dim]From {FEWEST} predictions on, of one kind of model, by the same formulas and on the same machine, the "
        "next new plan is moved by their median.[/]"
    )


def _cells(cost: dict[str, Any]) -> tuple[str, ...]:
    return tuple(span(cost[key], kind) for key, kind in _COLUMNS.items())
