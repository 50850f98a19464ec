"""`danlu label`: rows out to people as Excel or Label Studio tasks, their labels back in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from danlu.cli.output import (
    complete_names,
    console,
    json_option,
    print_json,
    with_workspace,
    workspace_option,
)
from danlu.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from danlu.core.artifact import Artifact
    from danlu.core.store import Workspace
    from danlu.data.labels.hand_out import Exported
    from danlu.data.labels.take_in import Imported
    from danlu.engines.base import Engine

#: A fingerprint may be shortened to this many characters.
_SHORTEST_PREFIX = 6

_DECISIONS = Path("labels.csv")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def label() -> None:
    """First export, then people fill in the file, then import; the recipe names the result.

    \b
      $ danlu label export reviews-zh --out labels.xlsx
      ... a person chooses labels from the drop-downs ...
      $ danlu label import labels.xlsx --out labels.csv
      and in the recipe:  data: {labels: {decisions: labels.csv}}
    """


@label.command()
@click.argument("name", metavar="NAME|CORPUS", shell_complete=complete_names)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), default="labels.xlsx", show_default=True,
    help="Workbook to write; with several annotators labels-1.xlsx, labels-2.xlsx, ...",
)  # fmt: skip
@click.option(
    "--label-studio", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Also write Label Studio tasks here, and the labelling interface beside them (.config.xml).",
)  # fmt: skip
@click.option("--rows", type=click.IntRange(1), default=200, show_default=True, help="Most rows to hand out.")
@click.option(
    "--unlabelled", type=click.Path(path_type=Path), metavar="FILE",
    help="Rows without labels; those that the model is least sure of, and unlike one another, are labelled next.",
)  # fmt: skip
@click.option("--text", metavar="COLUMN", help="Text column of the unlabelled file.  [default: the corpus's]")
@click.option(
    "--annotators", type=click.IntRange(1, 20), default=1, show_default=True,
    help="How many people label every row, each in a file of their own.",
)  # fmt: skip
@click.option(
    "--blind/--hints", default=None,
    help="Hide given and suggested labels, or show them.  [default: hints for one annotator, blind for more]",
)  # fmt: skip
@click.option(
    "--test-sample", type=click.IntRange(0), default=0, show_default=True, metavar="N",
    help="Also hand out N random rows of the test part, without hints: how many of its labels are wrong?",
)  # fmt: skip
@click.option(
    "--test-suspects", is_flag=True,
    help="Look for suspects in the test part too. Mending those alone flatters models like the one that chose.",
)  # fmt: skip
@click.option(
    "--decisions", type=click.Path(dir_okay=False, path_type=Path), default=_DECISIONS, show_default=True,
    help="Rows decided in this file are not handed out again; it need not be there.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Seed of folds and samples.")
@click.option("--force", is_flag=True, help="Replace files that are already there.")
@workspace_option
@json_option
def export(
    name: str,
    workspace: Path,
    as_json: bool,
    blind: bool | None,
    decisions: Path,
    force: bool,
    **choices: Any,
) -> None:
    """Write the rows that are worth a person's time into a workbook.

    Suspects come first: rows whose label a model that never saw them confidently denies (confident learning). Then
    rows to label next, from --unlabelled, chosen by the released model NAME or by the baseline. NAME is a run;
    CORPUS is a folder or the first characters of a corpus's fingerprint.

    Rows that a model chooses come from train and validation. Test rows are handed out at random, or not at all:
    a test part that is mended only where a model points says too much good about that model.

    \b
    Examples:
      $ danlu label export reviews-zh --rows 100
      $ danlu label export reviews-zh --unlabelled new.csv --text review --annotators 2
      $ danlu label export reviews-zh --label-studio tasks.json --test-sample 100
    """
    from danlu.core.store import Workspace
    from danlu.data.labels.decisions import load
    from danlu.data.labels.hand_out import Asked
    from danlu.data.labels.hand_out import export as hand_out

    store = Workspace(workspace)
    asked = Asked(
        **choices,
        blind=choices["annotators"] > 1 if blind is None else blind,
        replace=force,
        decided=load(decisions).keys(),
    )
    corpus = find_corpus(name, store)
    model = _released(name, store, corpus) if asked.unlabelled is not None else None
    try:
        done = hand_out(corpus, store, asked, model, say=lambda text: click.echo(text, err=True))
    finally:
        if model is not None:
            model.close()
    if as_json:
        print_json(done.as_json())
    else:
        _draw_export(done, workspace)


def find_corpus(name: str, workspace: Workspace) -> Artifact:
    """The corpus of the latest run `name`, or that in a folder, or the one whose fingerprint starts with `name`.

    Raises `UserError` where there is none, or more than one.
    """
    from danlu import api

    runs = workspace.root / "runs" / name / "latest.json"
    if runs.exists():
        stages = {row["stage"]: row["fingerprint"] for row in api.latest_run(name, workspace=workspace.root)["stages"]}
        found = workspace.find("data", stages["data"]) if "data" in stages else None
        if found is None:
            raise UserError(f"The latest run of {name!r} left no corpus. Run its recipe: danlu run RECIPE --until data")
        return found
    if Path(name).is_dir():
        return _in_folder(Path(name))
    every = workspace.artifacts("data")
    near = [corpus for corpus in every if corpus.fingerprint.startswith(name) and len(name) >= _SHORTEST_PREFIX]
    if len(near) == 1:
        return near[0]
    if near:
        raise UserError(f"{len(near)} corpora start with {name!r}; write more of the fingerprint.")
    if every:
        listed = ", ".join(corpus.fingerprint[:12] for corpus in every[-5:])
        try:
            api.latest_run(name, workspace=workspace.root)
        except UserError as error:
            raise UserError(f"{error} Corpora here: {listed}.") from None
    raise UserError(
        f"There is no run or corpus {name!r} in {workspace.root}. `danlu run RECIPE --until data` makes one."
    )


def _in_folder(folder: Path) -> Artifact:
    from pydantic import ValidationError

    from danlu.core.artifact import RECORD, Artifact, Record

    try:
        record = Record.model_validate_json((folder / RECORD).read_bytes())
    except (OSError, ValidationError):
        raise UserError(
            f"{str(folder)!r} is no corpus: it has no {RECORD} that can be read. Expected a folder like "
            ".danlu/artifacts/data/FINGERPRINT."
        ) from None
    if record.stage != "data":
        raise UserError(f"{str(folder)!r} was made by the stage {record.stage}; expected a corpus, made by data.")
    return Artifact(folder, record)


class _Released:
    """The champion of a name as what chooses rows."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self.name = name
        self.labels: Sequence[str] = list(engine.form.labels or [])

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        return self._engine.predict(texts).astype("float64")

    def close(self) -> None:
        self._engine.close()


def _released(name: str, workspace: Workspace, corpus: Artifact) -> _Released | None:
    """The released model of that name, or None where there is none that knows the corpus's labels."""
    from danlu import api
    from danlu.release.registry import Registry, names

    if name not in names(workspace):
        return None
    champion = Registry(workspace, name).champion()
    if champion is None:
        return None
    engine = api.load(name, workspace=workspace.root, version=str(champion.number))
    if set(engine.form.labels or []) != set(corpus.json("card.json")["labels"]):
        engine.close()
        click.echo(f"The released {name!r} has other labels than this corpus; the baseline chooses instead.", err=True)
        return None
    return _Released(engine, f"{name} version {champion.number}")


def _draw_export(done: Exported, workspace: Path) -> None:
    rows = done.as_json()["rows"]
    found = len(done.judgement.suspects)
    click.echo(f"{found:,} of {done.judged:,} labels look wrong; {rows['suspect']:,} of them are handed out.")
    if rows["next"]:
        click.echo(f"{rows['next']:,} unlabelled rows to label next, chosen by {done.batch.model}.")
    if rows["sample"]:
        click.echo(f"{rows['sample']:,} random rows of the test part, without hints.")
    for note in done.notes:
        click.echo(f"Note: {note}")
    sheets = [path for path in done.files if path.suffix == ".xlsx"]
    for path in done.files:
        click.echo(f"Wrote {path}")
    if len(sheets) > 1:
        click.echo("Give each file the name of the person who fills it in: that is how the import knows them.")
    back = " ".join(str(path) for path in sheets)
    click.echo(f"When they are filled in: {with_workspace(f'danlu label import {back}', workspace)}")


@label.command(name="import")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), default=_DECISIONS, show_default=True,
    help="File of decisions to write, or to bring up to date.",
)  # fmt: skip
@click.option(
    "--adjudicate", type=click.Choice(["ties", "disagreements"]), default="ties", show_default=True,
    help="Which rows go into adjudicate.xlsx: those without a majority, or every one that was not unanimous.",
)  # fmt: skip
@click.option(
    "--replace",
    is_flag=True,
    help="A file of the same name came before with other labels, and it is the same person who changed them.",
)
@workspace_option
@json_option
def import_(
    files: tuple[Path, ...],
    out: Path,
    adjudicate: Literal["ties", "disagreements"],
    replace: bool,
    workspace: Path,
    as_json: bool,
) -> None:
    """Read filled-in workbooks (or CSV saved from them) and Label Studio exports, and decide.

    The annotator is the file's name, unless the column 'annotator' says otherwise. More than half of the votes
    decide; the rest goes into adjudicate.xlsx for one person, whose word is final once it is imported in the same
    way. Votes of earlier imports count too, and what is replaced stays in the history. When an id or a label is
    wrong, each is named and nothing is written.

    \b
    Examples:
      $ danlu label import ann.xlsx bob.xlsx
      $ danlu label import adjudicate.xlsx
      $ danlu label import project-1.json --out decisions/labels.csv
    """
    from danlu.core.store import Workspace
    from danlu.data.labels.take_in import take_in

    done = take_in(files, Workspace(workspace), out, adjudicate, replace=replace)
    if as_json:
        print_json(done.as_json())
    else:
        _draw_import(done, workspace)


def _draw_import(done: Imported, workspace: Path) -> None:
    values = done.as_json()
    counts = ", ".join(f"{count:,} {how}" for how, count in values["decisions"].items())
    click.echo(f"Read {done.votes:,} labels; {values['changed_decisions']:,} decisions are new or changed.")
    click.echo(f"{done.out}: {counts}.")
    for why, found in values["outcome"].items():
        share = found["changed_share"]
        if share is not None:
            click.echo(
                f"  {why}: {found['changed']:,} of {found['decided']:,} got another label than they had "
                f"({_percent(share['value'])}, interval {_percent(share['low'])} to {_percent(share['high'])})."
            )
    _draw_agreement(done.agreement)
    for note in done.notes:
        click.echo(f"Note: {note}")
    if done.new_rows is not None:
        click.echo(f"{done.new_rows}: newly labelled rows; add it to data.sources of the recipe.")
    if done.to_settle is not None:
        back = with_workspace(f"danlu label import {done.to_settle}", workspace)
        click.echo(f"{done.waiting:,} rows wait for one person in {done.to_settle}; then: {back}")
    click.echo(f"In the recipe:  data: {{labels: {{decisions: {done.out}}}}}")


def _draw_agreement(found: dict[str, Any]) -> None:
    kappa = found["kappa"]
    if found["kind"] is None:
        return
    what = {"cohen": "Cohen's", "fleiss": "Fleiss'"}[found["kind"]]
    if kappa is None or kappa["value"] is None:
        click.echo(f"Agreement over {found['rows']:,} rows: {what} kappa is not defined (everyone chose one label).")
        return
    interval = "" if kappa["low"] is None else f" ({kappa['low']:.2f} to {kappa['high']:.2f})"
    click.echo(f"Agreement over {found['rows']:,} rows: {what} kappa {kappa['value']:.2f}{interval}.")
    if len(found["pairs"]) > 1:
        from danlu.cli.tables import table

        drawn = table("pair", "rows", "equal", "Cohen's kappa")
        for pair in found["pairs"]:
            value = pair["kappa"]["value"]
            drawn.add_row(
                " / ".join(pair["annotators"]),
                f"{pair['rows']:,}",
                _percent(pair["equal"]),
                "not defined" if value is None else f"{value:.2f}",
            )
        console().print(drawn)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
