"""`danlu promote` and `danlu rollback`: which version is live."""

from __future__ import annotations

from pathlib import Path

import click

from danlu.cli.output import json_option, name_argument, print_json, workspace_option
from danlu.core.errors import UserError


@click.command()
@name_argument
@click.argument("version", default="candidate")
@workspace_option
@json_option
def promote(name: str, version: str, workspace: Path, as_json: bool) -> None:
    """VERSION is a number, or candidate, which it is without one: the newest release that passed its gates.

    A running server changes over by itself, without a failed request.
    """
    from danlu.core.store import Workspace
    from danlu.release.registry import Registry

    _say(name, Registry(Workspace(workspace), name).promote(version).number, workspace, as_json)


@click.command()
@name_argument
@workspace_option
@json_option
def rollback(name: str, workspace: Path, as_json: bool) -> None:
    """A running server changes over by itself, without a failed request."""
    from danlu.core.store import Workspace
    from danlu.release.registry import Registry

    _say(name, Registry(Workspace(workspace), name).rollback().number, workspace, as_json)


def _say(name: str, champion: int, workspace: Path, as_json: bool) -> None:
    """Say which version is live, and tell MLflow where the recipe asks for it."""
    from danlu import api

    try:
        api.track(name, workspace=workspace)
    except UserError as error:
        click.secho(f"warning: {error}", fg="yellow", err=True)
    if as_json:
        print_json({"name": name, "champion": champion})
    else:
        click.echo(f"{name}: version {champion} is the champion.")
