"""`danlu track`: runs and releases to MLflow."""

from __future__ import annotations

from pathlib import Path

import click

from danlu.cli.output import json_option, name_argument, print_json, workspace_option
from danlu.core.errors import UserError


@click.command()
@name_argument
@click.option("--uri", help="MLflow server or SQLAlchemy URL.  [default: tracking of the last run's recipe]")
@workspace_option
@json_option
def track(name: str, uri: str | None, workspace: Path, as_json: bool) -> None:
    """Every run becomes a run of the experiment NAME, with parameters, metrics, the course of training and the report;
    every release a version of the registered model NAME, with the aliases champion and candidate. What is there
    already is left alone, so it can be called as often as you like.
    """
    from danlu import api

    found = api.track(name, workspace=workspace, uri=uri)
    if found is None:
        raise UserError(
            f"The recipe of {name!r} has no tracking. Add `tracking: sqlite:///mlflow.db` to it, or give --uri."
        )
    if as_json:
        print_json(vars(found))
        return
    live = f"champion is version {found.champion}" if found.champion is not None else "none is live"
    click.echo(f"{found.where}: {found.runs} new runs, {found.versions} new versions of {name!r}; {live}.")
    if found.where.startswith("sqlite:"):
        click.echo(f"Look at them:\n  mlflow ui --backend-store-uri {found.where}")
