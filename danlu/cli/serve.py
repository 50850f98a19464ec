"""`danlu serve`: the released model over HTTP."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from danlu.cli.output import name_argument, workspace_option
from danlu.core.errors import UserError

if TYPE_CHECKING:
    from danlu.core.store import Workspace
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
    """Settings come from the `serve` section of the recipe that made the version; an option here overrides it.

    Runs until Ctrl-C; what is under way is answered first. The first start shows the API key, once.
    """
    from danlu.core.store import Workspace
    from danlu.serve.server import serve as answer

    given = {key: value for key, value in options.items() if value is not None}
    space = Workspace(workspace)
    answer(name, space, _config(space, name, version, given), version, say=click.echo)


def _config(workspace: Workspace, name: str, version: str, given: dict[str, Any]) -> ServeConfig:
    """The settings of the newest run that made this version, overridden by what was `given` here.

    A later run that was refused or stopped made another release or none, and changes nothing. Raises `UserError`
    when there is no such version, or the settings do not fit.
    """
    from pydantic import ValidationError

    from danlu.release.registry import Registry
    from danlu.serve.config import ServeConfig

    release = Registry(workspace, name).resolve(version).fingerprint
    made = [run for run in _runs(workspace, name) if _release_of(run) == release]
    newest = max(made, key=lambda run: str(run["started"]), default=None)
    section = newest["recipe"].get("serve", {}) if newest else {}
    try:
        return ServeConfig.model_validate(section | given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(("serve", *(str(part) for part in first["loc"])))
        said = first["msg"].removeprefix("Value error, ")
        raise UserError(
            f"{where}: {said}. Mend the `serve` section of the recipe and run it again, or give an option here."
        ) from None


def _runs(workspace: Workspace, name: str) -> Iterator[dict[str, Any]]:
    """The records of the runs of `name`; what cannot be read is passed over, since it only holds settings."""
    for path in (workspace.root / "runs" / name).glob("*.json"):
        with contextlib.suppress(OSError, ValueError):
            yield json.loads(path.read_bytes())


def _release_of(run: dict[str, Any]) -> str | None:
    return next((stage["fingerprint"] for stage in run["stages"] if stage["stage"] == "release"), None)
