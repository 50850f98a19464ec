"""`danlu recipe`: check one, print the schema, print the reference."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from danlu.cli.output import json_option, print_json


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def recipe() -> None:
    """A recipe is the one file you write; everything it leaves out has a default."""


@recipe.command()
def schema() -> None:
    """Print the JSON Schema (draft 2020-12), by which editors complete and check a recipe.

    \b
    Example:
      $ danlu recipe schema > recipe.schema.json
    and as the first line of the recipe:
      # yaml-language-server: $schema=recipe.schema.json
    """
    from danlu.cli.reference import recipe_schema

    print_json(recipe_schema())


@recipe.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def check(file: Path, as_json: bool) -> None:
    """Check a recipe file without running anything; names the line of each mistake. Files on this machine are opened
    to see whether they have the columns that the recipe names.

    \b
    Example:
      $ danlu recipe check recipe.yaml
    """
    from danlu.cli.recipe_check import problems, remarks
    from danlu.core.errors import MissingDependency, RecipeError
    from danlu.recipe import load_recipe
    from danlu.stages import stages_of

    found, note = load_recipe(file), ""
    stages_of(found)  # says which third-party stage does not fit in
    try:
        told = problems(file, found)
    except MissingDependency as error:
        told, note = [], f"The columns of its data were not looked at. {error}"
    if told:
        raise RecipeError("\n".join(told))
    for remark in remarks(file, found):
        click.secho(f"warning: {remark}", fg="yellow", err=True)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        click.echo(
            f"{file}: a good recipe for {found.name!r} ({found.task}). Next: danlu plan {shlex.quote(str(file))}"
        )
    if note:
        click.echo(note, err=True)


@recipe.command()
@click.option("--task", metavar="TASK", help="Only those that are a good start for this task, such as classify.")
@json_option
def bases(task: str | None, as_json: bool) -> None:
    """List the pretrained models that a recipe may name shortly: model: {base: qwen3-0.6b}.

    Each comes from the Hugging Face hub (HF_ENDPOINT names a mirror), or from ModelScope where the recipe says
    modelscope://NAME. Any other model can be named by its address or its folder.

    \b
    Example:
      $ danlu recipe bases --task generate
    """
    import dataclasses

    from danlu.core.bases import BASES
    from danlu.core.errors import UserError

    found = {name: base for name, base in BASES.items() if task is None or task in base.tasks}
    if not found:
        tasks = sorted({each for base in BASES.values() for each in base.tasks})
        raise UserError(f"No base is listed for the task {task!r}; expected one of {', '.join(tasks)}.")
    if as_json:
        print_json([{"name": name} | dataclasses.asdict(base) for name, base in found.items()])
        return
    from rich.markup import escape

    from danlu.cli.output import console
    from danlu.cli.tables import table
    from danlu.report.numbers import count

    shown = table("name", "weights", "tokens", "licence", "languages", "task", "ModelScope")
    for name, base in found.items():
        copy = "" if base.modelscope is None else "also"
        cells = (base.licence, " ".join(base.languages), ", ".join(base.tasks), copy)
        shown.add_row(f"[bold]{escape(name)}[/]", _short(base.parameters), count(base.context), *map(escape, cells))
    for column in shown.columns[:4]:
        column.no_wrap = True
    screen = console()
    screen.print(shown)
    for name, base in found.items():
        for note in filter(None, (base.restricted, base.note)):
            screen.print(f"[dim]· {escape(name)}: {escape(note)}[/]")
    click.echo("In a recipe: model: {base: NAME}, or {base: modelscope://NAME}. Addresses and sources: --json")


def _short(parameters: int) -> str:
    """A number of parameters as people say it: 596M, 4.0B."""
    return f"{parameters / 1e9:.1f}B" if parameters >= 1e9 else f"{parameters / 1e6:.0f}M"


@recipe.command()
def reference() -> None:
    """Print the reference of every section and field, as the documentation has it.

    \b
    Example:
      $ danlu recipe reference | less
    """
    from danlu.cli.reference import recipe_page

    click.echo(recipe_page(), nl=False)
