"""How a run looks while it goes on: live bars on a terminal, plain lines elsewhere, nothing when asked.

Each display is called with the events of a run (see `danlu.core.context`) and is a context manager.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import click
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.text import Text

from danlu.report.numbers import count, duration, number

_SECONDS_BETWEEN_LINES = 5.0
_NAME_WIDTH = 9
_BAR_WIDTH = 24

Event = Mapping[str, Any]


class Display(Protocol):
    """Takes the events of a run."""

    def __enter__(self) -> Display: ...

    def __exit__(self, *_: object) -> None: ...

    def __call__(self, event: Event) -> None: ...


def display(console: Console, *, quiet: bool) -> Display:
    """The display that fits: silent, live on a terminal, plain lines elsewhere."""
    if quiet:
        return Silent()
    return Live(console) if console.is_terminal else Plain(err=console.stderr)


def _beside(info: Mapping[str, Any]) -> str:
    """What a stage shows beside its bar, such as the loss: `loss 0.412`."""
    return "  ".join(
        f"{key} {number(value) if isinstance(value, int | float) else value}" for key, value in info.items()
    )


class Silent:
    """Shows only warnings, on standard error."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def __call__(self, event: Event) -> None:
        if event["type"] == "warn":
            click.echo(f"warning: {event['text']}", err=True)


class Plain:
    """Lines for logs and pipes; progress at most once every few seconds."""

    def __init__(self, *, err: bool = False) -> None:
        self._err = err
        self._last_line = time.monotonic()
        self._began: dict[tuple[str, str], tuple[float, float]] = {}
        self._on: dict[str, Callable[[Event], None]] = {
            "stage": self._stage,
            "progress": self._progress,
            "say": lambda event: self._line(f"{event['stage']}: {event['text']}"),
            "warn": lambda event: self._line(f"{event['stage']}: warning: {event['text']}"),
        }

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def __call__(self, event: Event) -> None:
        if event["type"] in self._on:  # measurements are for the logs
            self._on[event["type"]](event)

    def _line(self, text: str) -> None:
        click.echo(text, err=self._err)

    def _stage(self, event: Event) -> None:
        said = {
            "started": "started",
            "reused": "reused",
            "finished": f"done in {duration(event.get('seconds'))}",
            "failed": "stopped",
        }
        self._line(f"{event['stage']}: {said[event['state']]}")

    def _progress(self, event: Event) -> None:
        now = time.monotonic()
        began, at = self._began.setdefault((event["stage"], event["what"]), (now, event["done"]))
        if event["ended"] or now - self._last_line < _SECONDS_BETWEEN_LINES:
            return
        done, total = event["done"], event["total"]
        if not done and now - began < _SECONDS_BETWEEN_LINES:
            return  # it has only begun: nothing to tell yet
        self._last_line = now
        amount = f" {count(done)}{f'/{count(total)}' if total else ''} {event['unit']}" if done or total else ""
        parts = [f"{event['stage']}: {event['what']}{amount}"]
        rate = (done - at) / (now - began) if now > began else 0.0
        if rate > 0:
            parts.append(f"{number(rate)} {event['unit']}/s")
            if total:
                parts.append(f"{duration((total - done) / rate)} left")
        if event["info"]:
            parts.append(_beside(event["info"]))
        self._line(", ".join(parts))


class _Bar(ProgressColumn):
    """A bar where there is a total; for a stage as a whole, and where the total is not known, a sign of life."""

    max_refresh = 0.1

    def __init__(self) -> None:
        super().__init__()
        self._spinner = Spinner("dots")

    def render(self, task: Task) -> RenderableType:
        if task.total:
            return ProgressBar(total=task.total, completed=task.completed, width=_BAR_WIDTH)
        return self._spinner


class _Amount(ProgressColumn):
    """`1,280/6,400 rows  37.1/s  2 min 18 s left  loss 0.412` for a bar; the time so far for a stage."""

    def render(self, task: Task) -> Text:
        if task.fields["unit"] is None:
            return Text(duration(task.elapsed), style="dim")
        text = Text(count(task.completed))
        if task.total:
            text.append(f"/{count(task.total)}")
        text.append(f" {task.fields['unit']}")
        if task.speed:
            text.append(f"  {number(task.speed)}/s", style="cyan")
            if task.total:
                text.append(f"  {duration(task.time_remaining)} left")
        if task.fields["info"]:
            text.append(f"  {task.fields['info']}", style="magenta")
        return text


class Live:
    """Bars on a terminal: one line stays for each stage, the bars below it go when they are full."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: dict[tuple[str, str | None], TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            _Bar(),
            _Amount(),
            console=console,
            transient=True,
        )
        self._on: dict[str, Callable[[Event], None]] = {
            "stage": self._on_stage,
            "progress": self._on_progress,
            "say": lambda event: self._note(event, "dim"),
            "warn": lambda event: self._note(event, "yellow"),
        }

    def __enter__(self) -> Live:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        if event["type"] in self._on:  # measurements are for the logs
            self._on[event["type"]](event)

    def _note(self, event: Event, style: str) -> None:
        mark = "!" if event["type"] == "warn" else " "
        self._console.print(f"  {mark} [{style}]{escape(event['text'])}[/]")

    def _on_stage(self, event: Event) -> None:
        stage, state = event["stage"], event["state"]
        if state == "started":
            self._bars[(stage, None)] = self._progress.add_task(
                f"{stage:{_NAME_WIDTH}}", total=None, unit=None, info=""
            )
            return
        for key in [key for key in self._bars if key[0] == stage]:
            self._progress.remove_task(self._bars.pop(key))
        lines = {
            "reused": f"[dim]= {stage:{_NAME_WIDTH}} reused[/]",
            "finished": f"[green]✓[/] {stage:{_NAME_WIDTH}} {duration(event.get('seconds'))}",
            "failed": f"[red]✗[/] {stage:{_NAME_WIDTH}} stopped",
        }
        self._console.print(lines[state])

    def _on_progress(self, event: Event) -> None:
        key = (event["stage"], event["what"])
        if event["ended"]:
            if key in self._bars:
                self._progress.remove_task(self._bars.pop(key))
            return
        if key not in self._bars:
            self._bars[key] = self._progress.add_task(
                f"  {escape(event['what'])}", total=event["total"], completed=event["done"], unit=event["unit"], info=""
            )
        self._progress.update(
            self._bars[key], completed=event["done"], total=event["total"], info=_beside(event["info"])
        )
