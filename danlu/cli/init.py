"""`danlu init`: from a data file to a recipe."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from danlu.core.errors import UserError

if TYPE_CHECKING:
    from danlu.data.inspect import Inspection


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("recipe.yaml"),
    show_default=True,
    help="Recipe to write; - prints it.",
)
@click.option("--force", is_flag=True, help="Replace a recipe that is already there.")
def init(files: tuple[Path, ...], output: Path, force: bool) -> None:
    """Reads CSV, Excel, JSONL, Parquet and text, one or several files with the same columns, a folder, or a pattern
    such as 'data/*.csv'; finds the encoding, the text and label columns, the language, sizes and duplicates. The
    recipe is short, has comments, and runs as it is.
    """
    to_screen = str(output) == "-"
    if not to_screen and output.exists() and not force:
        raise UserError(f"There is already a file {str(output)!r}. Choose another with -o, or replace it with --force.")

    from danlu.data.checks import LEAST_ROWS
    from danlu.data.inspect import inspect
    from danlu.data.proposal import recipe_text
    from danlu.recipe import parse_recipe

    found = inspect(*files)
    text = recipe_text(found, *(file if to_screen else _seen_from(output.parent, file) for file in files))
    try:
        parse_recipe(text, str(output))
    except UserError:
        raise UserError(
            f"{found.name!r} does not look like texts: it has characters that no text has. Expected CSV, Excel, JSON, "
            "JSONL, Parquet or plain text."
        ) from None
    for warning in found.warnings:
        click.secho(f"warning: {warning}", fg="yellow", err=True)
    if to_screen:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"There is no folder {str(output.parent)!r} to write the recipe into; make it first.") from None
    for line in _told(found):
        click.echo(line)
    if found.usable < LEAST_ROWS:
        click.echo(f"Wrote {output}. It cannot run yet: see the warning above, and mend the data first.")
        return
    click.echo(f"Wrote {output}. Read it, then:")
    file = shlex.quote(str(output))
    click.echo(f"  danlu plan {file}    what a run would cost\n  danlu run {file}     do it")


def _told(found: Inspection) -> list[str]:
    """What was found, a line a matter."""
    from danlu.data.proposal import languages_told
    from danlu.report.numbers import one_line

    rows = f"{found.rows:,} rows" if found.whole else f"more than {found.rows:,} rows"
    rows += f" in {found.files:,} files" if found.files > 1 else ""
    label = found.label or "none: a recipe to generate text"
    classes = ", ".join(f"{one_line(name)} {count:,}" for name, count in list(found.labels.items())[:8])
    if found.shape is not None:
        label = f"none: instruction data ({found.shape}), a recipe to generate text"
    length = f"{found.lengths['p50']:,} characters in the middle, {found.lengths['max']:,} at most"
    text = found.text if found.shape is None else "all turns"
    return [
        f"{found.name}: {found.format}{', ' + found.encoding if found.encoding else ''}, {rows}, {found.bad_rows} bad",
        f"  text   {text} ({languages_told(found)}; {length}; {found.duplicates:,} repeat an earlier one)",
        f"  label  {label}{' (' + classes + ')' if classes else ''}",
    ]


def _seen_from(folder: Path, file: Path) -> Path:
    """`file` as a recipe in `folder` must name it: paths in a recipe start at the recipe's folder."""
    import os

    return file if file.is_absolute() else Path(os.path.relpath(file, folder))
