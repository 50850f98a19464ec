"""Classifiers side by side: releases by their probabilities, endpoints and files by their labels.

N rows, K labels: those of the run, and those that a release knows besides; one more column stands for no label.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from danlu.compare.asked import ask, price_of
from danlu.compare.entrants import EndpointModel, Entrant, File, Kind, Release
from danlu.compare.judge import Answered, Setting, of_release
from danlu.compare.local import answered, must_be_numbers
from danlu.compare.notes import Note, note
from danlu.core.errors import UserError
from danlu.core.tasks import TASKS
from danlu.engines.table import load
from danlu.engines.texts import refused
from danlu.evaluate.rows import Part
from danlu.metrics.paired import compare_classifiers
from danlu.metrics.scores import classification

_ROWS_AT_ONCE = 64

#: What labels alone say nothing about.
_OF_PROBABILITIES = ("log_loss", "ece", "roc_auc")

#: Stands for an answer that is no label; no row has it, so that it only counts as wrong.
_NO_LABEL = "\0none"


class ClassifyJudge:
    """See `danlu.compare.judge.Judge`."""

    primary = TASKS["classify"].quality
    shown = ("accuracy", "macro_f1")
    lower_is_better = False
    takes: frozenset[Kind] = frozenset(("release", "endpoint", "file"))

    def __init__(self, setting: Setting) -> None:
        """Raises `UserError` for a release that knows none of the run's labels."""
        self._setting = setting
        known = {label for entrant in setting.entrants for label in _labels_of(entrant)}
        self._labels = [*setting.labels, *sorted(known - set(setting.labels))]
        self._truth = np.array([self._labels.index(label) for label in setting.rows.labels], dtype=np.int64)
        self._notes = {each.name: self._other_labels(each) for each in setting.entrants if isinstance(each, Release)}

    @staticmethod
    def labels(known: Sequence[str], rows: Part) -> list[str]:
        """Those of the card and of the rows, sorted."""
        return sorted({*known, *rows.labels})

    def answered(self, entrant: Entrant) -> Answered:
        """Ask, and score."""
        found: Answered = _ASK[entrant.kind](self, entrant)
        scores = classification(
            found.answers,
            self._truth,
            [*self._labels, _NO_LABEL],
            self._setting.config.resamples,
            self._setting.config.seed,
        )["scores"]
        if entrant.kind != "release":
            scores |= dict.fromkeys(_OF_PROBABILITIES)
            found.notes.append(note("no_probabilities", entrant.name))
        found.scores = scores
        return found

    def compared(
        self, name: str, answers: np.ndarray, first: str, first_answers: np.ndarray
    ) -> tuple[dict[str, Any] | None, list[Note]]:
        """Paired bootstrap on macro F1, McNemar on accuracy."""
        del name, first
        config = self._setting.config
        return compare_classifiers(answers, first_answers, self._truth, config.resamples, config.seed), []

    def _release(self, entrant: Release) -> Answered:
        setting = self._setting
        notes = self._notes[entrant.name]
        engine = load(entrant.folder, setting.ctx.threads)
        questions = setting.rows.asked
        wrong = refused(questions[:1], engine.form.takes)
        if wrong is not None:
            raise UserError(f"{entrant.name} cannot answer the run's rows. {wrong.why}")
        engine.predict(questions[:1])  # what a library sets up at its first call is no part of an answer
        blocks, used = answered(
            setting.ctx, entrant.name, engine.predict, questions, _ROWS_AT_ONCE, setting.rates.watts_per_core
        )
        engine.close()
        answers = np.zeros((len(setting.rows), len(self._labels) + 1))
        answers[:, [self._labels.index(label) for label in _labels_of(entrant)]] = np.concatenate(blocks)
        must_be_numbers(entrant.name, answers)
        return Answered(answers=answers, notes=notes, **of_release(setting, entrant, used, setting.rows.texts))

    def _other_labels(self, entrant: Release) -> list[Note]:
        ours, theirs = set(self._setting.labels), set(_labels_of(entrant))
        if not ours & theirs:
            raise UserError(
                f"{entrant.name} answers {_listed(theirs)}, the run's rows have {_listed(ours)}: no label is the same. "
                "Compare it on a run with its labels, or rename the labels in the recipe."
            )
        pairs = (("labels_unknown_here", theirs - ours), ("labels_it_lacks", set(self._setting.rows.labels) - theirs))
        return [note(kind, entrant.name, labels=_listed(labels)) for kind, labels in pairs if labels]

    def _endpoint(self, entrant: EndpointModel) -> Answered:
        setting, config = self._setting, self._setting.config.endpoints
        if setting.rows.beside:
            raise UserError(
                f"{entrant.name} is an endpoint, which is asked one text; the run's rows have more beside it. Compare "
                "releases, or a file of answers that names its rows by id (`danlu compare --rows-out`)."
            )
        asked = ask(
            setting.ctx,
            entrant,
            setting.rows.texts,
            list(setting.labels),
            setting.language,
            config,
            setting.cache,
        )
        answers, unanswered = self._labels_alone(asked.places)
        name, total = entrant.name, len(setting.rows)
        kept = sum(reply.kept for reply in asked.replies)
        notes = [note("latency_elsewhere", name, concurrency=config.concurrency)]
        if unanswered:
            shown = " / ".join(f"“{said}”" for said in asked.examples())
            notes.append(note("unanswered", name, rows=unanswered, total=total, cut=asked.cut, examples=shown))
        if kept:
            notes.append(note("latency_kept", name, rows=kept))
        if asked.masked:
            notes.append(note("masked", name, rows=asked.masked))
        if asked.uncounted:
            notes.append(note("tokens_unknown", name, rows=asked.uncounted))
        if config.temperature != 0.0:
            notes.append(note("own_temperature", name))
        if entrant.price is None:
            notes.append(note("no_price", name))
        return Answered(
            answers=answers,
            latency=asked.latency(),
            cost=asked.cost(price_of(entrant)),
            unanswered=unanswered,
            notes=notes,
        )

    def _file(self, entrant: File) -> Answered:
        given = self._setting.predictions[entrant.name]
        places = np.array([-1 if label is None else self._labels.index(label) for label in given], dtype=np.int64)
        answers, unanswered = self._labels_alone(places)
        notes = []
        if unanswered:
            notes.append(note("unanswered", entrant.name, rows=unanswered, total=len(given), cut=0, examples=""))
        return Answered(answers=answers, unanswered=unanswered, notes=notes)

    def _labels_alone(self, places: np.ndarray) -> tuple[np.ndarray, int]:
        """Answers [N, K + 1] that are sure of the label at each place, -1 being none; and how many are none."""
        answers = np.zeros((len(places), len(self._labels) + 1))
        answers[np.arange(len(places)), np.where(places < 0, len(self._labels), places)] = 1.0
        return answers, int((places < 0).sum())


_ASK: dict[Kind, Any] = {
    "release": ClassifyJudge._release,
    "endpoint": ClassifyJudge._endpoint,
    "file": ClassifyJudge._file,
}


def _labels_of(entrant: Entrant) -> tuple[str, ...]:
    return entrant.form.labels or () if isinstance(entrant, Release) else ()


def _listed(labels: set[str], most: int = 8) -> str:
    shown = ", ".join(repr(label) for label in sorted(labels)[:most])
    return shown + (" and more" if len(labels) > most else "")
