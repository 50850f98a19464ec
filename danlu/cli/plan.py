"""`danlu plan`: what a run would need, before it starts."""

from __future__ import annotations

from pathlib import Path

import click

from danlu.cli.output import console, json_option, print_json, workspace_option


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
    warnings = check_budget(planned, load_recipe(recipe).budget)
    if as_json:
        print_json({**planned, "warnings": warnings})
        return
    from danlu.cli.plan_tables import draw_plan

    draw_plan(console(), planned, warnings)
    click.echo(f"Next: danlu run {recipe}")
