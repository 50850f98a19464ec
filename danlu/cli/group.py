"""A Click group that knows its commands by name and imports one only when it is called."""

from __future__ import annotations

import difflib
import importlib
import inspect
from typing import Any

import click

from danlu.cli.table import COMMANDS, ROADS


class ClosedPipe(Exception):
    """Who read the output went away. Not an `OSError`: Click would end the process with exit code 1."""


class LazyGroup(click.Group):
    """The top of the command line; `danlu.cli.table` says what is in it."""

    def make_context(self, *arguments: Any, **named: Any) -> click.Context:
        try:
            return super().make_context(*arguments, **named)
        except BrokenPipeError as error:  # --help and --version write here
            raise ClosedPipe from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ClosedPipe from error

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        return load_command(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.4)
            hint = f" Did you mean 'danlu {near[0]}'?" if near else f" There are: {', '.join(COMMANDS)}."
            raise click.UsageError(f"There is no command {name!r}.{hint}", ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(len(name) for name in COMMANDS)
        for road, entries in ROADS.items():
            with formatter.section(road):
                for name, entry in entries.items():
                    formatter.write(f"{'':{formatter.current_indent}}{name:{width}}  {entry.help}\n")
                    formatter.write(f"{'':{formatter.current_indent}}{'':{width}}  $ {entry.example}\n")


def load_command(name: str) -> click.Command:
    """Import the command `name` and give it the help line and the example of the table."""
    entry = COMMANDS[name]
    module, _, attribute = entry.target.partition(":")
    command: click.Command = getattr(importlib.import_module(module), attribute)
    if command.epilog is None:
        more = inspect.cleandoc(command.help or "")
        command.short_help = entry.help
        command.help = f"{entry.help}\n\n{more}" if more else entry.help
        command.epilog = f"\b\nExample:\n  $ {entry.example}"
    return command
