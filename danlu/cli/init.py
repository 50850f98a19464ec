"""`danlu init`: from a data file to a recipe."""

from __future__ import annotations

from pathlib import Path

import click

from danlu.core.errors import UserError


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("recipe.yaml"),
    show_default=True,
    help="Recipe to write; - prints it.",
)
@click.option("--force", is_flag=True, help="Replace a recipe that is already there.")
def init(file: Path, output: Path, force: bool) -> None:
    """Reads CSV, Excel, JSONL, Parquet and text; finds the encoding, the text and label columns, the language, sizes
    and duplicates. The recipe is short, has comments, and runs as it is.
    """
    to_screen = str(output) == "-"
    if not to_screen and output.exists() and not force:
        raise UserError(f"There is already a file {str(output)!r}. Choose another with -o, or replace it with --force.")

    from danlu.data.inspect import inspect, recipe_text

    found = inspect(file)
    text = recipe_text(found, file if to_screen else _seen_from(output.parent, file))
    for warning in found.warnings:
        click.secho(f"warning: {warning}", fg="yellow", err=True)
    if to_screen:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"There is no folder {str(output.parent)!r} to write the recipe into; make it first.") from None
    click.echo(f"Wrote {output}. Read it, then:")
    click.echo(f"  danlu plan {output}    what a run would cost\n  danlu run {output}     do it")


def _seen_from(folder: Path, file: Path) -> Path:
    """`file` as a recipe in `folder` must name it: paths in a recipe start at the recipe's folder."""
    import os

    return file if file.is_absolute() else Path(os.path.relpath(file, folder))
