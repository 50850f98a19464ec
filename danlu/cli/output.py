"""What several commands share: the options, JSON on standard output, names for the shell to complete."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

DEFAULT_WORKSPACE = Path(".danlu")

workspace_option = click.option(
    "--workspace",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_WORKSPACE,
    show_default=True,
    help="Folder where artifacts and releases live.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else on standard output.")


def print_json(value: Any) -> None:
    """Write `value` to standard output as readable JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def console(*, stderr: bool = False) -> Console:
    """A Rich console that draws colours only where they can be seen."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, no_color=True if os.environ.get("NO_COLOR") else None)


def run_names(workspace: Path) -> list[str]:
    """The names that have a run in the workspace, sorted."""
    return sorted(path.parent.name for path in (workspace / "runs").glob("*/latest.json"))


def complete_names(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names for the shell to complete."""
    workspace = ctx.params.get("workspace") or DEFAULT_WORKSPACE
    return [name for name in run_names(Path(workspace)) if name.startswith(incomplete)]


name_argument = click.argument("name", shell_complete=complete_names)


def with_workspace(command: str, workspace: Path) -> str:
    """`command` as the user must type it: names the workspace unless it is the usual one."""
    return command if workspace == DEFAULT_WORKSPACE else f"{command} --workspace {workspace}"
