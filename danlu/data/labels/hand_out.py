"""The round trip: rows out to people, their labels back in.

Which rows, and why the test part is special: a model that chooses what is corrected corrects the rows where it was
right and leaves those where it agrees with a wrong label, so that every model like it looks better than it is.
Rows chosen by a model therefore come from train and validation only. Of the test part people get a plain random
sample, judged without a hint: it says how many of its labels are wrong, and mending it favours nobody. Who wants
suspects of the test part all the same asks for them, and is told.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from danlu.core.artifact import Artifact
from danlu.core.errors import UserError
from danlu.core.store import Workspace
from danlu.data.labels.batch import NEW, NEXT, SAMPLE, SUSPECT, Batch, Item, new_name
from danlu.data.labels.choose import most_informative, uncertainty
from danlu.data.labels.corpus import Rows, all_contents, cleaning_of, read_rows, read_unlabelled
from danlu.data.labels.excel import write_labels
from danlu.data.labels.label_studio import write_tasks
from danlu.data.labels.suspects import FOLDS, Judgement, Suspect, suspects
from danlu.metrics.baseline import NAME as BASELINE
from danlu.metrics.baseline import TextBaseline

Say = Callable[[str], None]
Floats = npt.NDArray[np.float64]

#: The parts from which a model may choose.
_BY_MODEL = ("train", "validation")

#: Texts are answered so many at a time.
_AT_ONCE = 256


class Model(Protocol):
    """What chooses the rows to label next: a released model, or the baseline."""

    name: str
    labels: Sequence[str]

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """Probabilities [N, K], columns as in `labels`."""
        ...


class Baseline:
    """The cheap baseline, learnt from the corpus."""

    name = BASELINE

    def __init__(self, rows: Rows) -> None:
        self._model = TextBaseline().fit(rows.texts, rows.labels)
        self.labels: Sequence[str] = self._model.labels

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """As `Model`."""
        return self._model.probabilities(texts)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What to export. `rows`: of all kinds but the sample. `decided`: contents that people have seen already."""

    out: Path
    label_studio: Path | None = None
    rows: int = 200
    unlabelled: Path | None = None
    text: str | None = None
    annotators: int = 1
    blind: bool = False
    test_sample: int = 0
    test_suspects: bool = False
    seed: int = 1
    replace: bool = False
    decided: Collection[str] = ()


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written, and what to know about it."""

    files: list[Path]
    batch: Batch
    judged: int
    judgement: Judgement
    notes: list[str]

    def as_json(self) -> dict[str, Any]:
        items = self.batch.items
        return {
            "files": [str(path) for path in self.files],
            "batch": self.batch.name,
            "corpus": self.batch.corpus,
            "labels": self.batch.labels,
            "model": self.batch.model,
            "blind": self.batch.blind,
            "rows": {why: sum(item.why == why for item in items) for why in (SUSPECT, NEXT, SAMPLE)},
            "suspects_found": len(self.judgement.suspects),
            "judged": self.judged,
            "not_judged": self.judgement.not_judged,
            "notes": self.notes,
        }


def export(
    corpus: Artifact, workspace: Workspace, asked: Asked, model: Model | None = None, say: Say = lambda _text: None
) -> Exported:
    """Choose rows of `corpus` and of the unlabelled file, and write them for people.

    `model` answers for the unlabelled rows; None means the baseline. Files are written last, each whole or not at
    all. Raises `UserError` when one of them is there already, and when there is nothing to label.
    """
    config = cleaning_of(corpus, workspace)
    sheets = sheets_of(asked.out, asked.annotators)
    _must_be_free([*sheets, *([asked.label_studio] if asked.label_studio else [])], asked.replace)
    labels = [str(label) for label in corpus.json("card.json")["labels"]]
    outside: dict[str, str] = {}
    if asked.unlabelled is not None:
        outside = read_unlabelled(asked.unlabelled, asked.text, config, all_contents(corpus) | set(asked.decided))
    rows = read_rows(corpus, (*_BY_MODEL, *(["test"] if asked.test_suspects else [])), asked.decided, asked.seed)
    judgement = _judge(rows, asked.seed, say)
    sample = _sample(corpus, asked)
    blind = {item.content for item in sample}  # a row of the sample is not shown with a hint elsewhere
    wrong = [suspect for suspect in judgement.suspects if rows.contents[suspect.row] not in blind]
    items = [_suspect(rows, suspect) for suspect in wrong[: (asked.rows + 1) // 2 if outside else asked.rows]]
    if outside and asked.rows > len(items):
        say(f"Choosing among {len(outside):,} unlabelled texts")
        model = model or Baseline(rows)
        items += _next(outside, model, asked.rows - len(items), asked.seed)
    items += sample
    if not items:
        raise UserError(
            "There is nothing to label: no label looks wrong, and no unlabelled file was given. Add --unlabelled FILE "
            "for rows to label next, or --test-sample 100 to check the test part."
        )
    batch = Batch(
        name=new_name(),
        corpus=corpus.fingerprint,
        labels=labels,
        annotators=asked.annotators,
        blind=asked.blind,
        model=model.name if model is not None and outside else BASELINE,
        text=config.text,
        label=config.label or "label",
        items=items,
    )
    batch.save(workspace)
    return Exported(
        files=_write(batch, asked, sheets),
        batch=batch,
        judged=len(rows) - sum(judgement.not_judged.values()),
        judgement=judgement,
        notes=_notes(asked, judgement, batch),
    )


def sheets_of(out: Path, annotators: int) -> list[Path]:
    """The workbooks of an export: `out`, or for several people `out` with their numbers."""
    if annotators == 1:
        return [out]
    return [out.with_name(f"{out.stem}-{number}{out.suffix}") for number in range(1, annotators + 1)]


def _must_be_free(paths: Sequence[Path], replace: bool) -> None:
    for path in paths:
        if path.suffix not in {".xlsx", ".json"}:
            raise UserError(f"{str(path)!r} must end in .xlsx (for --out) or .json (for --label-studio).")
        if path.exists() and not replace:
            raise UserError(
                f"{path} is there already and may hold somebody's work. Import it first (danlu label import {path}), "
                "choose another --out, or add --force."
            )


def _judge(rows: Rows, seed: int, say: Say) -> Judgement:
    say(f"Judging {len(rows):,} labels by {BASELINE}, {FOLDS} folds")
    done = iter(range(1, FOLDS + 1))
    return suspects(
        rows.texts, rows.labels, rows.clusters, seed, advance=lambda _folds: say(f"  fold {next(done)} of {FOLDS}")
    )


def _suspect(rows: Rows, suspect: Suspect) -> Item:
    return Item(
        content=rows.contents[suspect.row],
        text=rows.texts[suspect.row],
        why=SUSPECT,
        part=rows.parts[suspect.row],
        given=suspect.given,
        suggested=suspect.suggested,
        score=round(suspect.quality, 6),
    )


def _next(outside: dict[str, str], model: Model, count: int, seed: int) -> list[Item]:
    """The rows outside the corpus that are worth labelling next."""
    contents = sorted(outside)
    texts = [outside[content] for content in contents]
    answers = np.concatenate(
        [model.probabilities(texts[start : start + _AT_ONCE]) for start in range(0, len(texts), _AT_ONCE)]
    )
    unsure = uncertainty(answers)
    return [
        Item(
            content=contents[place],
            text=texts[place],
            why=NEXT,
            part=NEW,
            suggested=model.labels[int(answers[place].argmax())],
            score=round(float(unsure[place]), 6),
        )
        for place in most_informative(texts, answers, count, seed)
    ]


def _sample(corpus: Artifact, asked: Asked) -> list[Item]:
    """A plain random sample of the test part."""
    if not asked.test_sample:
        return []
    rows = read_rows(corpus, ("test",), asked.decided, asked.seed, most=sys.maxsize)
    chosen = random.Random(asked.seed).sample(range(len(rows)), min(asked.test_sample, len(rows)))
    return [
        Item(content=rows.contents[row], text=rows.texts[row], why=SAMPLE, part="test", given=rows.labels[row])
        for row in chosen
    ]


def _write(batch: Batch, asked: Asked, sheets: Sequence[Path]) -> list[Path]:
    for path in sheets:
        write_labels(path, batch.items, batch.labels, blind=batch.blind)
    if asked.label_studio is None:
        return [*sheets]
    interface = write_tasks(asked.label_studio, batch.items, batch.labels, model=batch.model, blind=batch.blind)
    return [*sheets, asked.label_studio, interface]


def _notes(asked: Asked, judgement: Judgement, batch: Batch) -> list[str]:
    notes = []
    if judgement.not_judged:
        shown = ", ".join(f"{label!r} ({rows})" for label, rows in list(judgement.not_judged.items())[:5])
        notes.append(f"Too few different texts to judge these labels: {shown}.")
    if asked.unlabelled is None:
        notes.append("No --unlabelled file was given, so there are no rows to label next.")
    if any(item.part == "test" and item.why == SUSPECT for item in batch.items):
        notes.append(
            "Rows of the test part are among the suspects. Mending only those that a model points at makes models "
            "like it look better than they are; check a random sample too (--test-sample), and say so "
            "beside the scores."
        )
    return notes
