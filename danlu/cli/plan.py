"""`danlu plan`: what a run would need, before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from danlu.cli.output import console, json_option, print_json, workspace_option

if TYPE_CHECKING:
    from danlu.recipe import Recipe


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@workspace_option
@json_option
@click.option("--quiet", is_flag=True, help="Show no progress.")
def plan(recipe: Path, workspace: Path, as_json: bool, quiet: bool) -> None:
    """Nothing is trained. Every figure comes with an interval; the report of the run sets it beside what came.

    Looks at the data, the model and this machine; names a few GPUs for comparison.
    """
    from danlu import api
    from danlu.cli.display import display
    from danlu.plan.budget import check_budget
    from danlu.recipe import load_recipe

    with display(console(stderr=True), quiet=quiet) as shown:
        planned = api.plan(recipe, workspace=workspace, observer=shown).json("plan.json")
    parsed = load_recipe(recipe)
    warnings = [*_outlook(parsed, recipe), *check_budget(planned, parsed.budget)]
    if as_json:
        print_json({**planned, "warnings": warnings})
        return
    from danlu.cli.plan_tables import draw_plan

    draw_plan(console(), planned, warnings)
    click.echo(f"Next: danlu run {recipe}")


def _outlook(recipe: Recipe, file: Path) -> list[str]:
    """What the run would stumble over in its data; only where all of it is on this machine."""
    from danlu.core.resource import is_local, resolve
    from danlu.data.outlook import outlook

    places = [source.path for source in recipe.data.sources]
    local = [place for place in places if place is not None and is_local(place)]
    if len(local) < len(places):
        return []
    paths = [resolve(place, file.resolve().parent) for place in local]
    return outlook(recipe.data, paths, task=recipe.task)
