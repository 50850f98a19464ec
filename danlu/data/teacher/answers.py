"""Rows without an answer get that of a teacher; see `TeacherConfig`.

A row is asked after it was cleaned and masked, and its answer is cleaned and masked in the same way. Every answer is
kept on disk by what was asked, so that a rerun, or a run after a crash, pays nothing twice.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from danlu.data.augment.endpoint import server_of
from danlu.data.augment.generate import filled, refuse_unmasked
from danlu.data.steps import Cleaner, as_text, content_of
from danlu.data.teacher.config import TeacherConfig, bare
from danlu.engines.endpoint import Body, ChatEndpoint, Price, Purse, Reply

#: The step of the funnel, and why a row goes: nothing came, too much came, or none of the labels.
TEACHER, NO_ANSWER, CUT_OFF, NO_SUCH_LABEL = "teacher", "no_answer", "cut_off", "no_such_label"

#: The file of the clean stage that says which rows have an answer of the teacher.
ANSWERED = "answered.parquet"

#: Rows that are asked at a time: between them the run may be stopped.
_ROWS_AT_ONCE = 256

_SETTINGS = {
    "base_url": "data.teacher.endpoint.base_url",
    "model": "data.teacher.endpoint.model",
    "key": "the environment variable that data.teacher.endpoint.api_key_env names",
    "concurrency": "data.teacher.endpoint.concurrency",
    "retries": "data.teacher.endpoint.retries",
}

Row = dict[str, Any]


@dataclass(kw_only=True)
class _Tally:
    """What was asked and came of it, in rows.

    The tokens are those of the day each text was asked about, once for equal texts, as far as they were counted.
    """

    rows: int = 0
    answered: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    uncounted: int = 0
    places: list[int] = field(default_factory=list)
    #: Hashes of the texts that were asked about: equal ones are asked, and paid for, once.
    asked: set[bytes] = field(default_factory=set)


class Teacher:
    """Answers tables of cleaned rows. Use it as a context manager, or close it."""

    def __init__(
        self, config: TeacherConfig, task: str, cleaner: Cleaner, cache: Path, check: Callable[[], None]
    ) -> None:
        """`cache` keeps the answers. `check()` is called now and then, and ends the asking by what it raises.

        Raises `UserError` where the key's variable is not set.
        """
        self._config = config
        self._way = _WAYS[task]
        self._cleaner = cleaner
        self._check = check
        price = None if config.price is None else Price(prompt=config.price.prompt, completion=config.price.completion)
        purse = None
        if price is not None and config.max_usd is not None:
            purse = Purse(price, config.max_usd, "data.teacher.max_usd")
        self._price = price
        self._endpoint = ChatEndpoint(server_of(config.endpoint, _SETTINGS), cache, purse)
        self.tally = _Tally()

    def __enter__(self) -> Teacher:
        return self

    def __exit__(self, *_error: object) -> None:
        self._endpoint.close()

    def complete(self, table: pa.Table) -> pa.Table:
        """`table` (of `danlu.data.steps.clean`, rows that stay) with answers where there were none.

        A row that has got none has the step and the reason. Raises what `ChatEndpoint.ask` raises, and `DataError` for
        personal data that would be sent.
        """
        rows: list[Row] = table.to_pylist()
        lacking = [row for row in rows if self._way.lacks(row)]
        for begin in range(0, len(lacking), _ROWS_AT_ONCE):
            self._check()
            self._answer(lacking[begin : begin + _ROWS_AT_ONCE])
        return pa.Table.from_pylist(rows, schema=table.schema) if lacking else table

    def _answer(self, rows: list[Row]) -> None:
        if not self._config.send_unmasked:
            for row in rows:
                refuse_unmasked(row["origin"], row["text"], setting="data.teacher.send_unmasked")
        bodies = [self._body(row["text"]) for row in rows]
        replies = self._endpoint.ask(bodies, lambda _: self._check())
        for row, reply in zip(rows, replies, strict=True):
            self._count(row["text"], reply)
            reason = (
                CUT_OFF if reply.cut else NO_ANSWER if not reply.answer else self._way.take(self, row, reply.answer)
            )
            if reason:
                row |= {"step": TEACHER, "reason": reason}
                self.tally.dropped[reason] += 1
            else:
                self.tally.answered += 1
                self.tally.places.append(row["place"])

    def _body(self, text: str) -> Body:
        labels = ", ".join(label.strip() for label in self._config.labels)
        asked = filled(self._config.prompt or self._way.prompt, text, {"labels": labels})
        return {
            "messages": [{"role": "user", "content": asked}],
            "temperature": self._config.endpoint.temperature,
            "max_tokens": self._config.endpoint.max_tokens,
        }

    def _count(self, text: str, reply: Reply) -> None:
        self.tally.rows += 1
        name = hashlib.blake2b(text.encode("utf-8"), digest_size=16).digest()
        if name in self.tally.asked:
            return
        self.tally.asked.add(name)
        if reply.prompt_tokens is None or reply.completion_tokens is None:
            self.tally.uncounted += 1
            return
        self.tally.prompt_tokens += reply.prompt_tokens
        self.tally.completion_tokens += reply.completion_tokens

    def label(self, row: Row, answer: str) -> str:
        """Give `row` the label that the answer names; why it goes where that is none."""
        said = bare(answer)
        label = next((label.strip() for label in self._config.labels if bare(label) == said), None)
        if label is None:
            return NO_SUCH_LABEL
        row["label"] = label
        self.tally.answers[label] += 1
        return ""

    def turn(self, row: Row, answer: str) -> str:
        """Make `row` a conversation, the answer cleaned as every turn; why the row goes where that ends it."""
        cleaned = self._cleaner.clean_answer(row["text"], answer)
        if cleaned.reason:
            return cleaned.reason
        text = as_text(cleaned.parts)
        row |= {
            "text": text,
            "parts": cleaned.parts,
            "roles": ["user", "assistant"],
            "learn": [False, True],
            "content": content_of(text),
            "masked": [*row["masked"], *cleaned.masked.elements()],
        }
        return ""

    def write(self, path: Path) -> None:
        """Write which rows have an answer of the teacher, by their places; `answered_rows` reads it."""
        pq.write_table(pa.table({"place": pa.array(sorted(self.tally.places), pa.int64())}), path, compression="zstd")

    def card(self) -> dict[str, Any]:
        """The entry in the card. The same whether the answers came now or from disk."""
        tally = self.tally
        money = None if self._price is None else self._price.of(tally.prompt_tokens, tally.completion_tokens)
        return {
            "model": self._config.endpoint.model,
            "licence": self._config.licence,
            "rows": tally.rows,
            "answered": tally.answered,
            "dropped": dict(sorted(tally.dropped.items())),
            "answers": dict(sorted(tally.answers.items())),
            "prompt_tokens": tally.prompt_tokens,
            "completion_tokens": tally.completion_tokens,
            "rows_without_counted_tokens": tally.uncounted,
            "usd": None if money is None else round(money, 6),
        }

    def warnings(self) -> list[str]:
        """What people should know before they ship what comes of it."""
        tally, model = self.tally, self._config.endpoint.model
        if not tally.rows:
            return ["data.teacher was given, but no row lacks an answer: nothing was asked."]
        said = []
        if self._config.licence is None:
            said.append(
                f"data.teacher.licence is empty: look up whether the answers of {model!r} may train another model; "
                "many providers' terms forbid it."
            )
        if tally.dropped:
            why = ", ".join(f"{rows:,} {reason.replace('_', ' ')}" for reason, rows in sorted(tally.dropped.items()))
            said.append(f"{sum(tally.dropped.values()):,} of {tally.rows:,} rows got no usable answer: {why}.")
        return said


def answered_rows(path: Path) -> npt.NDArray[np.int64]:
    """Places of the rows that a teacher has answered, sorted; none where nobody was asked."""
    return pq.read_table(path)["place"].to_numpy() if path.is_file() else np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class _Way:
    """How rows of a task are asked: which lack an answer, what is asked, and what becomes of the answer."""

    lacks: Callable[[Row], bool]
    prompt: str
    take: Callable[[Teacher, Row, str], str]


_WAYS: Mapping[str, _Way] = {
    "classify": _Way(
        lacks=lambda row: not row["label"],
        prompt="Which of these labels fits the text below best: {labels}? Answer with the label alone.\n\n{text}",
        take=Teacher.label,
    ),
    "generate": _Way(lacks=lambda row: row["parts"] is None, prompt="{text}", take=Teacher.turn),
}
