"""`danlu show`: everything a run found out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from danlu.cli.output import console, json_option, name_argument, print_json, with_workspace, workspace_option

if TYPE_CHECKING:
    from danlu.report.words import Language


@click.command()
@name_argument
@click.option("--open", "open_", is_flag=True, help="Write the report and open it in the browser.")
@click.option("--last", is_flag=True, help="Show the last run even if it was stopped or failed before its verdict.")
@click.option(
    "--lang",
    type=click.Choice(["en", "zh"]),
    default="en",
    show_default=True,
    help="Language of the report and of what is printed.",
)
@workspace_option
@json_option
def show(name: str, open_: bool, last: bool, lang: Language, workspace: Path, as_json: bool) -> None:
    """NAME is the name inside the recipe. Shown is its last run with a verdict, shipped or refused; that a later run
    was stopped is said, and --last shows that one. With --json every number of the report is printed.
    """
    from danlu.core.store import Workspace
    from danlu.report.summary import summary

    run, later = _runs(name, workspace, last)
    numbers = summary(run, Workspace(workspace), later)
    if as_json:
        print_json(numbers)
    elif not open_:
        _draw(numbers, lang, workspace, last)
    if open_:
        import webbrowser

        from danlu.report.page import write_report

        page = write_report(numbers, Workspace(workspace).root / "runs" / name, lang)
        page.with_suffix(".of").unlink(missing_ok=True)
        click.echo(f"Report: {page}", err=as_json)
        if numbers["later_sentence"] and not as_json:
            click.echo(numbers["later_sentence"][lang])
        if not webbrowser.open(page.as_uri()):
            click.echo("No browser could be started here; open that file yourself.", err=True)


def _runs(name: str, workspace: Path, last: bool) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The record to show, and that of a later run without a verdict where there is one."""
    from danlu import api

    latest = api.latest_run(name, workspace=workspace)
    judged = latest if last else api.judged_run(name, workspace=workspace)
    return judged, None if judged["started"] == latest["started"] else latest


def _draw(numbers: dict[str, Any], lang: Language, workspace: Path, last: bool) -> None:
    """Print the summary, and how to see the other run where there are two to look at."""
    from danlu import api
    from danlu.cli.tables import draw_summary
    from danlu.report.words import words

    name, other = numbers["name"], ""
    if numbers["later"]:
        other = words(lang)["see_later"].format(command=with_workspace(f"danlu show {name} --last", workspace))
    elif last and numbers["started"] != api.judged_run(name, workspace=workspace)["started"]:
        other = words(lang)["see_judged"].format(command=with_workspace(f"danlu show {name}", workspace))
    draw_summary(console(), numbers, lang, other)
