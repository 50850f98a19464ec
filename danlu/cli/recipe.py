"""`danlu recipe`: check one, print the schema, print the reference."""

from __future__ import annotations

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
        click.echo(f"{file}: a good recipe for {found.name!r} ({found.task}). Next: danlu plan {file}")
    if note:
        click.echo(note, err=True)


@recipe.command()
def reference() -> None:
    """Print the reference of every section and field, as the documentation has it.

    \b
    Example:
      $ danlu recipe reference | less
    """
    from danlu.cli.reference import recipe_page

    click.echo(recipe_page(), nl=False)
