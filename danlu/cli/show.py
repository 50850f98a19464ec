"""`danlu show`: everything a run found out."""

from __future__ import annotations

from pathlib import Path

import click

from danlu.cli.output import console, json_option, name_argument, print_json, workspace_option


@click.command()
@name_argument
@click.option("--open", "open_", is_flag=True, help="Write the report and open it in the browser.")
@click.option(
    "--lang",
    type=click.Choice(["en", "zh"]),
    default="en",
    show_default=True,
    help="Language of the report and the verdict.",
)
@workspace_option
@json_option
def show(name: str, open_: bool, lang: str, workspace: Path, as_json: bool) -> None:
    """NAME is the name inside the recipe. With --json every number of the report is printed."""
    from danlu import api
    from danlu.core.store import Workspace
    from danlu.report.summary import summary

    numbers = summary(api.latest_run(name, workspace=workspace), Workspace(workspace))
    if as_json:
        print_json(numbers)
    elif not open_:
        from danlu.cli.tables import draw_summary

        draw_summary(console(), numbers, lang)
    if open_:
        import webbrowser

        from danlu.report.page import write_report

        page = write_report(numbers, Workspace(workspace).root / "runs" / name, lang)
        click.echo(f"Report: {page}", err=as_json)
        if not webbrowser.open(page.as_uri()):
            click.echo("No browser could be started here; open that file yourself.", err=True)
