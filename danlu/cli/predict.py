"""`danlu predict`: ask a released model, through the same engine that serves it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from danlu.cli.output import json_option, name_argument, print_json, workspace_option
from danlu.core.asked import Question, text_of
from danlu.core.errors import UserError
from danlu.core.machine import this_machine
from danlu.engines.texts import blank_text

if TYPE_CHECKING:
    from danlu.engines.base import Engine
    from danlu.engines.prompt import Prompts


@click.command()
@name_argument
@click.argument("texts", metavar="TEXT...", nargs=-1)
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    help="Read texts from this file, one a line; a blank line is answered with a blank one, so that lines match. "
    "Without any text they are read from standard input.",
)
@click.option("--pair", "pairs", multiple=True, help="The text that belongs to TEXT, of a model that is asked two.")
@click.option(
    "--column",
    "cells",
    metavar="NAME=VALUE",
    multiple=True,
    help="A number or a word beside the texts, of a model that is told it; may be given again for others.",
)
@click.option("--version", default="champion", show_default=True, help="champion, candidate, or a version number.")
@click.option("--max-new-tokens", type=click.IntRange(1), default=64, show_default=True, help="For generate: length.")
@click.option(
    "--temperature", type=click.FloatRange(0), default=0.0, show_default=True, help="For generate: 0 is greedy."
)
@click.option("--top-p", type=click.FloatRange(0, 1), default=1.0, show_default=True, help="For generate.")
@click.option("--seed", type=int, default=1, show_default=True, help="For generate: the same seed, the same text.")
@click.option("--plain", is_flag=True, help="For generate: continue the text as it is; do not ask it as a user.")
@workspace_option
@json_option
def predict(
    name: str,
    texts: tuple[str, ...],
    file: Path | None,
    pairs: tuple[str, ...],
    cells: tuple[str, ...],
    version: str,
    workspace: Path,
    as_json: bool,
    **generation: Any,
) -> None:
    """Prints the label and how sure the model is (classify), the labels (tag), the number (regress), or how the text
    goes on (generate).

    For fill: the text with its gaps, each written [MASK], filled in, and what else each might be.

    For embed: the beginning of each text's vector, and its cosine with the first text; with --json the whole vector.

    A generate model with a chat template is asked each text as a user would, and answers.

    A model that is asked more than a text takes it by --pair and --column, or from a --file of records (CSV, JSON
    lines, Excel) with the columns text, pair and those that it is told.
    """
    lines = _texts(texts, file) if texts or file is None else []
    from danlu import api
    from danlu.cli.predict_asked import beside, read_questions
    from danlu.engines.base import read_form
    from danlu.engines.prompt import Prompts
    from danlu.engines.table import load

    folder = api.released(name, workspace=workspace, version=version)
    takes = read_form(folder).takes
    if file is not None and not takes.text_alone:
        given = read_questions(file, takes)
    else:
        given = beside(lines or _texts(texts, file), pairs, cells, takes)
    engine = load(folder, threads=this_machine().cores)
    try:
        if engine.form.task not in _ANSWERING and (pairs or cells):
            raise UserError(
                f"--pair and --column are of models that classify, tag or regress; {name} is for {engine.form.task}."
            )
        _BY_TASK[engine.form.task](engine, Prompts(folder), given, as_json, generation)
    finally:
        engine.close()


def _texts(texts: Sequence[str], file: Path | None) -> list[str]:
    if texts and file is not None:
        raise UserError("Give texts or --file, not both.")
    refused = blank_text(texts)
    if refused is not None:
        raise UserError(refused)
    if texts:
        return list(texts)
    # Not splitlines: form feeds and the like are in texts, and answers must match the file's lines.
    found = _read(file).replace("\r\n", "\n").removesuffix("\n").split("\n")
    blank = [number for number, line in enumerate(found, 1) if not line.strip()]
    if len(blank) == len(found):
        raise UserError('There is no text. Give some: danlu predict NAME "..." , --file FILE, or standard input.')
    if blank:
        shown = ", ".join(map(str, blank[:5])) + (" and more" if len(blank) > 5 else "")
        many = (
            f"lines {shown} are blank and get no answer" if len(blank) > 1 else f"line {shown} is blank and gets none"
        )
        click.echo(f"warning: {many}; there is one answer for each line.", err=True)
    return found


def _read(file: Path | None) -> str:
    if file is None:
        if sys.stdin.isatty():
            return ""
        return sys.stdin.buffer.read().decode("utf-8-sig", errors="replace")
    try:
        return file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"There is no file {str(file)!r}.") from None
    except IsADirectoryError:
        raise UserError(f"{str(file)!r} is a folder; expected a text file with one text a line.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{str(file)!r} is not UTF-8 ({error.reason}); save it as UTF-8 and try again.") from None


def _predict(
    engine: Engine, _prompts: Prompts, asked: list[Question], as_json: bool, _generation: dict[str, Any]
) -> None:
    from danlu.cli import predict_asked
    from danlu.engines.answers import ANSWERS, with_probability
    from danlu.report.numbers import one_line

    answer = ANSWERS[engine.form.task]
    answers = iter(engine.predict([one for one in asked if text_of(one).strip()]))
    # A text of nothing but white space has no answer, and keeps its line.
    told = [answer.told(next(answers), engine.form) if text_of(one).strip() else None for one in asked]
    if as_json:
        whole = [answer.nothing(engine.form) if one is None else one for one in told]
        rows = zip(asked, (with_probability(one, engine.form) for one in whole), strict=True)
        print_json([{**predict_asked.as_json(question), **one} for question, one in rows])
        return
    words = [None if one is None else [one_line(cell) for cell in answer.words(one)] for one in told]
    widths = [max(map(len, column)) for column in zip(*(cells for cells in words if cells is not None), strict=True)]
    for question, cells in zip(asked, words, strict=True):
        if cells is None:
            click.echo()
            continue
        shown = predict_asked.as_words(question)
        click.echo("  ".join([*(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)), shown]))


def _generate(engine: Engine, prompts: Prompts, texts: list[str], as_json: bool, generation: dict[str, Any]) -> None:
    rows: list[dict[str, Any]] = []
    plain = generation.pop("plain")
    asked = prompts.written and not plain
    for number, text in enumerate(texts):
        if number and not as_json:
            click.echo()  # an answer may have several lines
        if not text.strip():
            rows.append({"text": text, "completion": None})
            continue
        prompt = prompts.of([{"role": "user", "content": text}]) if asked else text
        pieces = engine.generate(prompt, stop=(), written=asked, **generation)
        if as_json:
            rows.append({"text": text, "completion": "".join(pieces)})
            continue
        click.echo(text, nl=asked)
        for piece in pieces:
            click.echo(piece, nl=False)
        click.echo()
    if as_json:
        print_json(rows)


#: How many of a vector's numbers a person is shown.
_SHOWN_NUMBERS = 4


def _embed(engine: Engine, _prompts: Prompts, texts: list[str], as_json: bool, _generation: dict[str, Any]) -> None:
    vectors = engine.embed(texts)
    if as_json:
        rows = zip(texts, vectors.tolist(), strict=True)
        print_json([{"text": text, "embedding": vector} for text, vector in rows])
        return
    for text, vector, cosine in zip(texts, vectors.tolist(), (vectors @ vectors[0]).tolist(), strict=True):
        numbers = " ".join(f"{value:+.3f}" for value in vector[:_SHOWN_NUMBERS])
        beside = f"cosine with the first {cosine:+.3f}  " if len(texts) > 1 else ""
        click.echo(f"{len(vector)} numbers: {numbers} …  {beside}{text}")


#: How many tokens for each gap a person is shown.
_SHOWN_TOKENS = 3


def _fill(engine: Engine, _prompts: Prompts, texts: list[str], as_json: bool, _generation: dict[str, Any]) -> None:
    gap = engine.gap()
    whole = [text for text in texts if text.strip() and gap not in text]
    if whole:
        raise UserError(f"There is nothing to fill in in {whole[0][:80]!r}: write {gap} where a word is to be found.")
    answers = iter(engine.fill([text for text in texts if text.strip()]))
    filled = [next(answers) if text.strip() else None for text in texts]
    if as_json:
        told = [{"filled": None, "masks": []} if one is None else one.told() for one in filled]
        print_json([{"text": text, **one} for text, one in zip(texts, told, strict=True)])
        return
    for one in filled:
        gaps = [
            ", ".join(f"{token.strip()} {chance:.0%}" for token, chance in best[:_SHOWN_TOKENS])
            for best in (() if one is None else one.masks)
        ]
        click.echo("" if one is None else f"{one.text}  ({'; '.join(gaps)})")


#: Tasks whose models may be asked more than a text.
_ANSWERING = ("classify", "tag", "regress", "multitask")

_BY_TASK: dict[str, Callable[[Any, Prompts, list[Any], bool, dict[str, Any]], None]] = {
    **dict.fromkeys(_ANSWERING, _predict),
    "generate": _generate,
    "embed": _embed,
    "fill": _fill,
}
