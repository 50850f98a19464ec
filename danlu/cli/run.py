"""`danlu run`: walk the road, show how it goes, end with the verdict."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from danlu.cli.output import console, json_option, print_json, with_workspace, workspace_option
from danlu.core.errors import Refused

if TYPE_CHECKING:
    from rich.console import Console

    from danlu.api import RunResult

_WAIT_SECONDS = 7 * 24 * 3600.0


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--until", metavar="STAGE", help="Stop after this stage: plan, data, train, compress, evaluate, speed or release."
)
@workspace_option
@click.option("--wait", is_flag=True, help="Wait while another run holds the workspace, instead of refusing.")
@click.option("--refresh", is_flag=True, help="Fetch sources in databases and behind URLs anew, instead of the cache.")
@json_option
@click.option("--quiet", is_flag=True, help="Show no progress, only warnings and the end.")
@click.pass_context
def run(
    ctx: click.Context,
    recipe: Path,
    until: str | None,
    workspace: Path,
    wait: bool,
    refresh: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Stages whose inputs did not change are reused. A run that was stopped or killed continues where it was.

    Ends with exit code 0 when the release passed its gates, 3 when a gate refused it, 4 at a cap of the budget.
    """
    from danlu import api
    from danlu.cli.display import display

    screen = console(stderr=as_json)
    with display(screen, quiet=quiet) as shown:
        result = api.run(
            recipe,
            workspace=workspace,
            until=until,
            observer=shown,
            wait_seconds=_WAIT_SECONDS if wait else 0.0,
            refresh=refresh,
        )
    summary = _summary(result, workspace)
    if as_json:
        print_json(_as_json(result, summary))
    else:
        _draw(console(), result, summary, workspace, recipe)
    if result.verdict == "refused":
        ctx.exit(Refused.exit_code)


def _summary(result: RunResult, workspace: Path) -> dict[str, Any]:
    from danlu import api
    from danlu.core.store import Workspace
    from danlu.report.summary import summary

    return summary(api.latest_run(result.name, workspace=workspace), Workspace(workspace))


def _as_json(result: RunResult, summary: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": result.name,
        "verdict": result.verdict,
        "version": result.version,
        "sentence": summary["sentence"],
        "doubt": summary["doubt"],
        "advice": summary["advice"],
        "gates": summary["gates"],
        "seconds": round(result.seconds, 3),
        "report": None if result.report is None else str(result.report),
        "stages": [
            {
                "stage": stage.stage,
                "fingerprint": stage.fingerprint,
                "folder": str(stage.folder),
                "reused": stage.reused,
                "seconds": stage.seconds,
            }
            for stage in result.stages
        ],
    }


def _draw(screen: Console, result: RunResult, summary: dict[str, Any], workspace: Path, recipe: Path) -> None:
    from rich.markup import escape

    from danlu.cli.tables import badge, draw_advice
    from danlu.report.numbers import duration
    from danlu.report.sentences import standing

    screen.print()
    version = f", version {result.version}" if result.version is not None else ""
    doubt = f"  [yellow]{escape(summary['doubt']['en'])}[/]" if summary["doubt"] else ""
    named = f"[bold]{result.name}[/]{version}  [dim]{duration(result.seconds)}[/]"
    screen.print(f"{badge(standing(summary))}  {named}{doubt}")
    screen.print(escape(summary["sentence"]["en"]))
    for gate in summary["gates"] or []:
        if not gate["passed"]:
            screen.print(f"  [red]✗[/] {escape(gate['expression'])}: {escape(str(gate['reason']))}")
    draw_advice(screen, summary)
    screen.print()
    if result.report is not None:
        screen.print(f"Report: {escape(str(_short(result.report)))}", soft_wrap=True)
    champion = _champion(result, workspace)
    live = _standing(result, champion)
    if live is not None:
        screen.print(live)
    screen.print("Next:")
    for command in _next(result, summary, champion, recipe):
        screen.print(f"  {escape(with_workspace(command, workspace))}", soft_wrap=True)


def _champion(result: RunResult, workspace: Path) -> int | None:
    """The version that is live after the run; None where none is."""
    from danlu.core.store import Workspace
    from danlu.release.registry import Registry

    live = Registry(Workspace(workspace), result.name).champion()
    return None if live is None else live.number


def _standing(result: RunResult, champion: int | None) -> str | None:
    """What is live after a run that did not change it, in a sentence; None where there is nothing to say."""
    live = "no version is live yet" if champion is None else f"version {champion} stays the champion, which is live"
    if result.verdict == "refused":
        return f"Nothing was released; {live}. Change the data or the recipe and run again; the rest is reused."
    if result.verdict == "ship" and result.version != champion:
        return f"Version {result.version} is the candidate; {live}."
    return None


def _next(result: RunResult, summary: dict[str, Any], champion: int | None, recipe: Path) -> tuple[str, ...]:
    """The commands to try next."""
    from danlu.report.sentences import standing

    name, version = result.name, result.version
    look, go_on = f"danlu show {name} --open", f"danlu run {shlex.quote(str(recipe))}"
    if result.verdict == "ship" and version == champion:
        return (look, f'danlu predict {name} "..."', f"danlu serve {name}")
    if result.verdict == "ship":
        return (look, f'danlu predict {name} "..." --version {version}', f"danlu promote {name} {version}")
    if result.verdict == "refused":
        return (look, go_on)
    if standing(summary) == "asked":
        made = {stage.stage for stage in result.stages}
        card = (f"danlu data card {name}",) if "data" in made else (f"danlu plan {shlex.quote(str(recipe))}",)
        return (go_on, *card)
    return (f"danlu show {name} --last --open", f"danlu show {name} --last")


def _short(path: Path) -> Path:
    """`path` relative to the current folder where it lies below it."""
    try:
        return path.resolve().relative_to(Path.cwd())
    except ValueError:
        return path
