"""`danlu compare`: the competitor's table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from danlu.cli.output import complete_names, console, json_option, print_json, workspace_option
from danlu.core.errors import Interrupted, UserError, first_line

if TYPE_CHECKING:
    from danlu.compare.config import CompareConfig
    from danlu.report.words import Language


@click.command()
@click.argument("models", metavar="MODEL...", nargs=-1)
@click.option(
    "--on", "run", metavar="RUN", required=True, shell_complete=complete_names,
    help="Run whose rows all are asked about.",
)  # fmt: skip
@click.option(
    "--part", type=click.Choice(["test", "validation"]), default="test", show_default=True,
    help="Part of the run's corpus.",
)  # fmt: skip
@click.option("--rows", type=click.IntRange(2), metavar="N", help="At most N rows, drawn at random.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Also write a page (HTML) here.")
@click.option(
    "--lang", type=click.Choice(["en", "zh"]), default="en", show_default=True,
    help="Language of what is printed and of the page.",
)  # fmt: skip
@click.option(
    "--rows-out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write the rows to be answered as CSV (id, text), for a model that only others can ask, and stop.",
)  # fmt: skip
@click.option("--predicted", metavar="COLUMN", help="Column with the answers in files.  [default: by its name]")
@click.option("--keep-seen", is_flag=True, help="Keep rows that one of the models was trained on.")
@click.option(
    "--price", "prices", multiple=True, metavar="[MODEL=]IN/OUT",
    help="USD for a million tokens that an endpoint reads, and writes: 0.15/0.60. May be repeated.",
)  # fmt: skip
@click.option(
    "--key-env", "keys", multiple=True, metavar="[MODEL=]VARIABLE",
    help="Environment variable with an endpoint's key.  [default: OPENAI_API_KEY, for OpenAI and this machine alone]",
)  # fmt: skip
@click.option("--max-usd", type=click.FloatRange(0, min_open=True), help="Most money to spend at each endpoint.")
@click.option(
    "--max-tokens", type=click.IntRange(1), metavar="N", help="Longest answer of an endpoint.  [default: 512]"
)
@click.option("--concurrency", type=click.IntRange(1, 64), metavar="N", help="Requests at a time.  [default: 4]")
@click.option("--retries", type=click.IntRange(0, 20), metavar="N", help="New tries of a request.  [default: 5]")
@click.option("--own-temperature", is_flag=True, help="Do not ask endpoints for temperature 0, which some refuse.")
@click.option(
    "--prompt", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="What to ask endpoints; {text} and {labels} in it are replaced.",
)  # fmt: skip
@click.option(
    "--machine-price", type=click.FloatRange(0), metavar="USD",
    help="What this machine costs an hour.  [default: electricity alone]",
)  # fmt: skip
@workspace_option
@json_option
def compare(
    models: tuple[str, ...],
    run: str,
    out: Path | None,
    lang: Language,
    rows_out: Path | None,
    workspace: Path,
    as_json: bool,
    **asked: Any,
) -> None:
    """The same rows of a run through every MODEL, each compared with the first.

    \b
    A MODEL is
      NAME, NAME@champion, NAME@2     a release of this workspace
      endpoint:URL#MODEL              behind an OpenAI-compatible address
      openai:MODEL                    the same at api.openai.com
      answers.csv                     predictions by id or text (see --rows-out)

    Rows that one of them was trained on are left out. Answers of endpoints are kept: after Ctrl-C the same command
    pays only for what is missing. Personal data found in a text is masked before it leaves.
    """
    from danlu import api

    config = _config(asked)
    if rows_out is not None:
        written = api.write_compare_rows(rows_out, on=run, workspace=workspace, config=config)
        click.echo(f"{written:,} rows written to {rows_out}. Add a column 'predicted', and name the file as a model.")
        return
    from danlu.cli.display import display

    try:
        with display(console(stderr=True), quiet=as_json) as shown:
            table = api.compare(models, on=run, workspace=workspace, config=config, observer=shown)
    except KeyboardInterrupt:
        raise Interrupted("Stopped. The answers that came are kept: the same command asks for the others.") from None
    if as_json:
        print_json(table)
    else:
        _draw(table, lang)
    if out is not None:
        api.write_comparison(table, out, language=lang)
        click.echo(f"Page: {out}", err=as_json)


def _config(asked: dict[str, Any]) -> CompareConfig:
    from pydantic import ValidationError

    from danlu.compare.config import CompareConfig

    prompt: Path | None = asked["prompt"]
    endpoints = {
        "prices": {model: _price(value) for model, value in map(_named, asked["prices"])},
        "key_env": dict(map(_named, asked["keys"])),
        "prompt": None if prompt is None else _read(prompt),
        "max_usd": asked["max_usd"],
        **{name: asked[name] for name in ("max_tokens", "concurrency", "retries") if asked[name] is not None},
        **({"temperature": None} if asked["own_temperature"] else {}),
    }
    names = ("part", "rows", "predicted", "keep_seen", "machine_price")
    try:
        return CompareConfig.model_validate({name: asked[name] for name in names} | {"endpoints": endpoints})
    except ValidationError as error:
        where = error.errors()[0]
        raise UserError(f"{'.'.join(map(str, where['loc']))}: {where['msg'].removeprefix('Value error, ')}.") from None


def _named(text: str) -> tuple[str, str]:
    """`MODEL=VALUE`, or a value for all models."""
    model, equals, value = text.rpartition("=")
    return (model, value) if equals else ("", text)


def _price(text: str) -> dict[str, float]:
    prompt, slash, completion = text.partition("/")
    try:
        if slash:
            return {"prompt": float(prompt), "completion": float(completion)}
    except ValueError:
        pass
    raise UserError(
        f"--price {text!r} is no price; write what a million tokens cost in USD, read and written: --price 0.15/0.60."
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{str(path)!r} is not UTF-8 ({first_line(error)}); save it as UTF-8.") from None


_STYLES = {"better": "green", "worse": "red"}


def _draw(table: dict[str, Any], lang: Language) -> None:
    from rich.markup import escape
    from rich.padding import Padding
    from rich.table import Table

    from danlu.compare.lines import lines
    from danlu.compare.page import footer, under
    from danlu.compare.words import words

    said = words(lang)
    screen = console()
    screen.print(f"[bold]{escape(table['sentence'][lang])}[/]")
    screen.print(f"[dim]{escape(under(table, said))}[/]")
    drawn = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    drawn.add_column("", header_style="dim", style="dim", overflow="fold", ratio=3)
    for entrant in table["entrants"]:
        drawn.add_column(escape(entrant["name"]), overflow="fold", ratio=4)
    for line in lines(table, said):
        cells = [
            f"[{_STYLES.get(cell.standing, 'default')}]{escape(cell.text)}[/]"
            + (f"\n[dim]{escape(cell.more)}[/]" if cell.more else "")
            for cell in line.cells
        ]
        drawn.add_row(line.name, *cells)
    screen.print(drawn)
    if table["notes"]:
        screen.print(f"\n[bold]{said['notes']}[/]")
    for note in table["notes"]:
        screen.print(Padding(f"[yellow]·[/] {escape(note[lang])}", (0, 0, 0, 2)))
    screen.print(f"\n[dim]{escape(footer(table, said))}[/]")
