"""`danlu list`: what a workspace holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from danlu.cli.output import console, json_option, print_json, run_names, workspace_option


@click.command(name="list")
@workspace_option
@json_option
def listing(workspace: Path, as_json: bool) -> None:
    """The champion is what `danlu serve` and `danlu predict` use, the candidate the newest release that passed its
    gates; a refused one gets no version.

    Of each name the last run with a verdict is listed; a later one that was stopped is mentioned.
    """
    found = {"runs": _runs(workspace), "releases": _releases(workspace)}
    if as_json:
        print_json(found)
    elif not found["runs"] and not found["releases"]:
        click.echo(
            f"The workspace {str(workspace)!r} is empty. Start with: danlu init FILE, then danlu run recipe.yaml"
        )
    else:
        _draw(found)


def _runs(workspace: Path) -> list[dict[str, Any]]:
    from danlu import api
    from danlu.core.store import Workspace
    from danlu.report.sentences import standing
    from danlu.report.summary import summary

    keys = ("name", "verdict", "version", "finished", "seconds", "recipe_path")
    runs = []
    for name in run_names(workspace):
        run, latest = api.judged_run(name, workspace=workspace), api.latest_run(name, workspace=workspace)
        later = None if latest["started"] == run["started"] else {key: latest.get(key) for key in keys[1:]}
        told = {"standing": standing(summary(run, Workspace(workspace))), "task": run["recipe"]["task"]}
        runs.append({key: run.get(key) for key in keys} | told | {"later": later})
    return runs


def _releases(workspace: Path) -> list[dict[str, Any]]:
    from danlu.core.store import Workspace
    from danlu.release.registry import ALIASES, Registry, names

    releases = []
    for name in names(Workspace(workspace)):
        registry = Registry(Workspace(workspace), name)
        live = {alias: registry.alias(alias) for alias in ALIASES}
        releases += [
            {
                "name": name,
                "version": version.number,
                **{alias: found is not None and found.number == version.number for alias, found in live.items()},
                "created": version.created,
                "fingerprint": version.fingerprint,
            }
            for version in registry.versions()
        ]
    return releases


def _draw(found: dict[str, list[dict[str, Any]]]) -> None:
    from rich.markup import escape

    from danlu.cli.tables import badge, table
    from danlu.report.numbers import duration

    screen = console()
    runs = table("name", "task", "verdict", "version", "finished (UTC)", "took")
    for run in found["runs"]:
        version = "" if run["version"] is None else str(run["version"])
        runs.add_row(
            escape(run["name"]),
            run["task"],
            badge(run["standing"]),
            version,
            _minute(run["finished"]),
            duration(run["seconds"]),
        )
        if run["later"]:
            runs.add_row("", "", "[dim]later: stopped[/]", "", f"[dim]{_minute(run['later']['finished'])}[/]", "")
    screen.print("[bold]Runs[/]", runs, sep="\n")
    if not found["releases"]:
        return
    releases = table("name", "version", "", "created (UTC)", "fingerprint")
    for release in found["releases"]:
        releases.add_row(
            escape(release["name"]),
            str(release["version"]),
            "[green]champion[/]" if release["champion"] else "candidate" if release["candidate"] else "",
            _minute(release["created"]),
            release["fingerprint"][:12],
        )
    screen.print("\n[bold]Releases[/]", releases, sep="\n")


def _minute(text: str) -> str:
    """An ISO time to the minute, its zone being in the column's head: `2026-11-23 14:05`."""
    return f"{text[:10]} {text[11:16]}"
