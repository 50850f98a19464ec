"""`danlu serve`: the released model over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from danlu.cli.output import name_argument, run_names, workspace_option

if TYPE_CHECKING:
    from danlu.serve.config import ServeConfig


@click.command()
@name_argument
@click.option("--host", help="Address to listen on; the recipe's default is this machine only.")
@click.option("--port", type=click.IntRange(0, 65535), help="TCP port; 0 takes a free one.")
@click.option("--keys/--no-keys", default=None, help="Ask for an API key, or let everyone in.")
@click.option("--max-batch", type=click.IntRange(1), help="Most texts answered in one forward pass.")
@click.option(
    "--version",
    default="champion",
    show_default=True,
    help="champion or candidate, followed as they move, or a version number, which stays.",
)
@workspace_option
def serve(name: str, version: str, workspace: Path, **options: Any) -> None:
    """Settings come from the `serve` section of the recipe that was run; an option here overrides it.

    Runs until Ctrl-C; what is under way is answered first. The first start shows the API key, once.
    """
    from danlu.core.store import Workspace
    from danlu.serve.server import serve as answer

    given = {key: value for key, value in options.items() if value is not None}
    answer(name, Workspace(workspace), _config(workspace, name, given), version, say=click.echo)


def _config(workspace: Path, name: str, given: dict[str, Any]) -> ServeConfig:
    from danlu import api
    from danlu.serve.config import ServeConfig

    known = run_names(workspace)
    section = api.latest_run(name, workspace=workspace)["recipe"]["serve"] if name in known else {}
    return ServeConfig.model_validate(section | given)
