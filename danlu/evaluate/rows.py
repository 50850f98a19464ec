"""The rows of a corpus as evaluation needs them, and whether any of them leaked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from danlu.core.artifact import Artifact
from danlu.core.asked import Cell, Question, question
from danlu.core.context import Context
from danlu.core.errors import DataError
from danlu.core.tasks import TASKS
from danlu.learning.asking import BESIDE, cells_of
from danlu.learning.batching import unpack_rows
from danlu.learning.chat import Chat, Turn
from danlu.learning.corpus import read_rows
from danlu.metrics import leaks

#: What `training.json`, which the export brings along, calls the packed set of train rows the model has seen.
_ROWS = "rows"

#: How the rows of the baseline were chosen, in words. It gives the model a little more than the baseline has.
_SEEN = (
    "the rows the model has been trained on (a tokenizer learned for it, and an automatic length, come from all "
    "training rows)"
)


@dataclass(frozen=True, kw_only=True)
class Part:
    """Rows of one part of a corpus, in its order. What a corpus does not have of `labels` and below is empty.

    `cells` are the numbers and categories beside each text, by name.
    `labels` is what each row is to be answered with: its label, for tag its labels, for regress its number.
    `answers`: of a conversation that is written as text, the spans of its answers; see `written`.
    """

    ids: list[str]
    texts: list[str]
    labels: list[Any]
    turns: list[Any] = field(default_factory=list)
    pairs: list[str] = field(default_factory=list)
    cells: list[dict[str, Cell]] = field(default_factory=list)
    answers: list[Sequence[tuple[int, int]] | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def beside(self) -> bool:
        """Whether more than a text is asked."""
        return bool(self.pairs or self.cells)

    def told(self, place: int) -> str:
        """All that the row at `place` asks, for people: its text, and what stands beside it."""
        cells = [f"{name}: {cell}" for name, cell in (self.cells[place] if self.cells else {}).items()]
        return " | ".join([self.texts[place], *(self.pairs[place : place + 1]), *([", ".join(cells)] if cells else [])])

    @property
    def asked(self) -> list[Question]:
        """What a model for classify, tag or regress is asked: the texts, with what stands beside them."""
        nothing: list[None] = [None] * len(self)
        pairs: Sequence[str | None] = self.pairs or nothing
        cells: Sequence[dict[str, Cell] | None] = self.cells or nothing
        return [question(*row) for row in zip(self.texts, pairs, cells, strict=True)]

    def first(self, rows: int | None) -> Part:
        """The first `rows` rows; ids are hashes, so that is a fair draw."""
        return Part(
            ids=self.ids[:rows],
            texts=self.texts[:rows],
            labels=self.labels[:rows],
            turns=self.turns[:rows],
            pairs=self.pairs[:rows],
            cells=self.cells[:rows],
            answers=self.answers[:rows],
        )

    def written(self, chat: Chat | None) -> Part:
        """The same rows, conversations written as the model reads them."""
        if chat is None or not self.turns:
            return self
        found = [_written(chat, turns) if turns else None for turns in self.turns]
        return replace(
            self,
            texts=[text if one is None else one[0] for text, one in zip(self.texts, found, strict=True)],
            turns=[],
            answers=[None if one is None else one[1] for one in found],
        )

    def where(self, chosen: np.ndarray) -> Part:
        """The rows for which `chosen` [N] is true."""
        places = np.flatnonzero(chosen).tolist()
        return Part(
            ids=[self.ids[place] for place in places],
            texts=[self.texts[place] for place in places],
            labels=[self.labels[place] for place in places] if self.labels else [],
            turns=[self.turns[place] for place in places] if self.turns else [],
            pairs=[self.pairs[place] for place in places] if self.pairs else [],
            cells=[self.cells[place] for place in places] if self.cells else [],
            answers=[self.answers[place] for place in places] if self.answers else [],
        )


def _written(chat: Chat, turns: list[Any]) -> tuple[str, list[tuple[int, int]]]:
    """A conversation as text with the spans of its answers: of what was said, without the token that closes it.

    How that is spelt differs from model to model, so neither it nor its characters count. Where a template writes an
    answer otherwise once something follows it, the last answer alone counts.
    """
    said = [Turn(role=turn["role"], text=turn["text"], learn=bool(turn["learn"])) for turn in turns]
    part = chat.parts(said)[-1]
    text, spans = chat.spans(part)
    answers = []
    for (begin, _), turn in zip(spans, [turn for turn in part if turn.learn], strict=True):
        content = turn.text.strip()
        start = text.find(content, begin)
        answers.append((start, start + len(content)))
    return text, answers


def read_part(corpus: Artifact, part: str) -> Part:
    """The part ("train", "validation" or "test") of a corpus; one without files is empty."""
    targets = [task.target for task in TASKS.values() if task.target is not None]
    rows = read_rows(corpus.folder, part, ["id", "text", *targets, "turns", *BESIDE])
    labels = next((rows[name] for name in targets if rows[name]), [])
    return Part(
        ids=rows["id"],
        texts=rows["text"],
        labels=labels,
        turns=rows["turns"],
        pairs=rows["pair"],
        cells=cells_of(rows),
    )


def test_part(corpus: Artifact, most_rows: int | None) -> Part:
    """The test rows to be scored. Raises `DataError` when there are none."""
    part = read_part(corpus, "test").first(most_rows)
    if not len(part):
        raise DataError(
            "The corpus has no test rows, so nothing can be said about the model. Bring more rows, or raise "
            "data.split.test in the recipe."
        )
    return part


def leaked_rows(ctx: Context, corpus: Artifact, threshold: float | None) -> int:
    """How many validation and test rows are also in training, recounted from the texts of the files as written.

    Nothing that the corpus says about its rows is believed, its clusters included. `threshold`: the Jaccard
    similarity of shingles from which two texts are the same; None, where the corpus was made without looking for
    near duplicates, counts texts that are equal to the character. A row that is a pair has leaked when either of its
    texts is on either side of a training row.
    """
    train, _ = _texts_of(corpus, "train")
    held_out, rows = _texts_of(corpus, "validation", "test")
    if threshold is None:
        known = set(train)
        return len({row for row, text in zip(rows, held_out, strict=True) if text in known})
    with ctx.progress("looking for leaks", total=len(train), unit="texts") as bar:
        pairs = leaks.leaked_rows(train, held_out, threshold, advance=bar.advance)
    return len({rows[place] for _, place in pairs})


def _texts_of(corpus: Artifact, *parts: str) -> tuple[list[str], list[int]]:
    """All texts of these parts, both of a pair, and the row that each is of, counted over the parts."""
    texts: list[str] = []
    rows: list[int] = []
    start = 0
    for part in parts:
        columns = [values for values in read_rows(corpus.folder, part, ["text", "pair"]).values() if values]
        for values in columns:
            texts += values
            rows += range(start, start + len(values))
        start += len(columns[0]) if columns else 0
    return texts, rows


def rows_seen(training: dict[str, Any], train_rows: int, seed: int) -> tuple[np.ndarray, str]:
    """Which rows of the train part [N] the model has seen, and in words how that is known.

    `training` is the export's `training.json`. A checkpoint that does not say which rows it has seen, only how many
    samples, is matched with as many rows at random.
    """
    packed = training.get(_ROWS)
    if isinstance(packed, dict) and packed["total"] <= train_rows:
        # Rows at the end that yielded no training example are not counted in the total.
        seen = unpack_rows(packed)
        return np.pad(seen, (0, train_rows - len(seen))), _SEEN
    samples = min(int(training.get("samples") or train_rows), train_rows)
    chosen = np.zeros(train_rows, dtype=bool)
    chosen[np.random.default_rng(seed).permutation(train_rows)[:samples]] = True
    if samples == train_rows:
        return chosen, "all training rows, which the model has been trained on at least once each"
    return chosen, "as many training rows as the model has been trained on, drawn at random"
