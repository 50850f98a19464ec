"""`danlu plan`: what a run would need, before it starts."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from danlu.cli.output import console, json_option, print_json, workspace_option

if TYPE_CHECKING:
    from danlu.recipe import Recipe

#: What stands in place of a recipe for the record of earlier plans; a file of that name is ./history.
_HISTORY = "history"


@click.command()
@click.argument("recipe", metavar="RECIPE|history", type=click.Path(path_type=Path))
@click.option("--options", is_flag=True, help="Compare accelerators, methods and micro-batches too (two minutes).")
@click.option("--budget", metavar="MONEY", help="Say what is fastest for so much, such as 200cny; implies --options.")
@click.option("--deadline", metavar="TIME", help="Say what is cheapest in so long, such as 6h; implies --options.")
@workspace_option
@json_option
@click.option("--quiet", is_flag=True, help="Show no progress.")
def plan(
    recipe: Path,
    options: bool,
    budget: str | None,
    deadline: str | None,
    workspace: Path,
    as_json: bool,
    quiet: bool,
) -> None:
    """Nothing is trained. Every figure comes with an interval; the report of the run sets it beside what came.

    Looks at the data, the model and this machine; names a few GPUs for comparison. With the word history in place of a
    recipe: every prediction of this workspace beside what came, and its error.
    """
    if recipe == Path(_HISTORY):
        _history(workspace, as_json=as_json)
        return
    from danlu import api
    from danlu.cli.display import display
    from danlu.cli.recipe_check import problems, remarks
    from danlu.core.errors import RecipeError
    from danlu.core.store import Workspace
    from danlu.plan.advice import answer, duration, money
    from danlu.plan.budget import check_budget
    from danlu.plan.history import history
    from danlu.plan.learned import since
    from danlu.recipe import load_recipe

    parsed = load_recipe(recipe)
    told = problems(recipe, parsed)
    if told:
        raise RecipeError("\n".join(told))
    rate = parsed.plan.cny_per_usd
    asked = {
        "deadline": None if deadline is None else duration(deadline),
        "budget": None if budget is None else money(budget, rate),
    }
    options = options or any(value is not None for value in asked.values())
    with display(console(stderr=True), quiet=quiet) as shown:
        planned = api.plan(recipe, workspace=workspace, observer=shown, options=options).json("plan.json")
    table = planned.get("options") or []
    advice = answer(table, method=parsed.train.method.kind, cny_per_usd=rate, **asked) if table else []
    warnings = [*remarks(recipe, parsed), *_outlook(parsed, recipe, workspace), *check_budget(planned, parsed.budget)]
    warnings += since(planned, history(Workspace(workspace)))
    if options and not table:
        warnings.append("There is no table of options: this training has no step that could be traced.")
    if as_json:
        print_json({**planned, "warnings": warnings, "advice": advice})
        return
    from danlu.cli.plan_tables import draw_options, draw_plan

    draw_plan(console(), planned, warnings)
    if table:
        draw_options(console(), table, advice, method=parsed.train.method.kind)
    click.echo(f"Next: danlu run {shlex.quote(str(recipe))}")


def _history(workspace: Path, *, as_json: bool) -> None:
    from dataclasses import asdict

    from danlu.core.store import Workspace
    from danlu.plan.history import history, summary

    tried = history(Workspace(workspace))
    if as_json:
        predictions = [asdict(one) | {"ratio": one.ratio, "inside": one.inside} for one in tried]
        print_json({"predictions": predictions, "summary": summary(tried)})
        return
    from danlu.cli.plan_tables import draw_history

    draw_history(console(), tried, summary(tried))


def _outlook(recipe: Recipe, file: Path, workspace: Path) -> list[str]:
    """What the run would stumble over in its data, which the plan has fetched where it was not on this machine."""
    from danlu.core.resource import Resolver, Site
    from danlu.core.store import Workspace
    from danlu.data.outlook import outlook

    root = Workspace(workspace).root
    resolver = Resolver(site=Site(base=file.resolve().parent, cache=root / "cache" / "sources", workspace=root))
    places = [getattr(source, source.place) for source in recipe.data.sources]
    return outlook(recipe.data, [resolver.of(place) for place in places], task=recipe.task)
