"""What every engine that runs a model in this process does alike: batches, windows, probabilities, streaming.

Shapes: N texts, K classes, B texts in a batch, T tokens of the longest one, V tokens in the vocabulary.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from danlu.core.asked import Question, as_asked
from danlu.core.errors import UserError
from danlu.core.tasks import TASKS, TaskName
from danlu.engines.answers import ANSWERS
from danlu.engines.base import Ending, Form, Spans, TextScore
from danlu.engines.filling import HIDDEN_SHARE, Filled, HiddenScore, Special, hidden_score, joined
from danlu.engines.sampling import choose, log_softmax, pieces, softmax
from danlu.engines.texts import check_asked
from danlu.learning.asking import coded, encode_asked, load_codes, spell, spellable, token_types
from danlu.learning.hidden import places
from danlu.learning.text import (
    encode,
    encode_documents,
    encode_spans,
    encode_whole,
    end_id,
    load_tokenizer,
    pad,
    pad_id,
    start_id,
)

_TEXTS_IN_BATCH = 64
_TOKENS_IN_BATCH = 8_192
#: On a CPU padding costs as much as text: 32 short texts in one rectangle took 1.4 times as long as one by one, in
#: rectangles of like length 0.75 times (MiniLM, ONNX float32, texts of 6 to 60 tokens).
_LONGEST_TO_SHORTEST = 1.25
#: Logits of a batch over the whole vocabulary stay below this many numbers (float32: 256 MiB).
_LOGITS_IN_BATCH = 1 << 26


class LocalEngine(ABC):
    """An engine over a model in this process. A library adds `_forward`, `_decode` and `close`."""

    def __init__(self, folder: Path, form: Form) -> None:
        self.form = form
        self._tokenizer = load_tokenizer(folder)
        self._pad_id = pad_id(self._tokenizer)
        self._codes = load_codes(folder) if form.takes.columns else None

    @abstractmethod
    def _forward(self, ids: np.ndarray, mask: np.ndarray, **beside: np.ndarray) -> np.ndarray:
        """Float32 for `ids` and `mask` [B, T]: for generate and fill logits [B, T, V], for embed vectors [B, D], else
        [B, K].

        `beside`: inputs that the model may have, such as `token_type_ids` [B, T]; one that it has not is left out.
        """

    @abstractmethod
    def _decode(self, ids: np.ndarray, cache: Any) -> tuple[np.ndarray, Any]:
        """Logits float32 [V] after the last of `ids` [1, T], and the cache grown by T; a None cache is empty."""

    @abstractmethod
    def close(self) -> None:
        """Free the memory; the engine cannot be used afterwards."""

    def predict(self, asked: Sequence[Question]) -> np.ndarray:
        """See `danlu.engines.base.Engine.predict`."""
        answer = ANSWERS.get(self.form.task)
        if answer is None:
            raise self._wrong("predict", "labels or numbers")
        check_asked(asked, self.form.takes)
        encoded = encode_asked(self._tokenizer, *spellable(asked), self.form.max_length)
        rows = encoded.rows
        cells = [as_asked(question).columns or {} for question in asked]
        told = {} if self._codes is None else coded(self._codes, cells)
        answers = np.empty((len(rows), self.form.answers), dtype=np.float32)
        for indices in self._batches([len(row) for row in rows], _TOKENS_IN_BATCH):
            ids, mask = self._rectangle([rows[index] for index in indices])
            beside = {name: values[indices] for name, values in told.items()}
            if len(encoded.second):
                beside["token_type_ids"] = token_types(encoded.second[indices], mask)
            answers[indices] = answer.probabilities(self._forward(ids, mask, **beside), self.form)
        return answers

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """See `danlu.engines.base.Engine.embed`."""
        self._must_be("embed", "embed")
        rows = encode(self._tokenizer, _spellable(texts), self.form.max_length)
        vectors = np.empty((len(rows), self.form.dimensions or 0), dtype=np.float32)
        for indices in self._batches([len(row) for row in rows], _TOKENS_IN_BATCH):
            vectors[indices] = self._forward(*self._rectangle([rows[index] for index in indices]))
        return vectors

    def fill(self, texts: Sequence[str]) -> list[Filled]:
        """See `danlu.engines.base.Engine.fill`."""
        self._must_be("fill", "fill")
        spelt = _spellable(texts)
        rows = encode(self._tokenizer, spelt, self.form.max_length)
        filled: list[Filled] = [Filled(text=text, masks=()) for text in texts]
        for indices in self._batches([len(row) for row in rows], self._tokens_in_batch()):
            ids, mask = self._rectangle([rows[index] for index in indices])
            logits = self._forward(ids, mask)
            for place, index in enumerate(indices):
                filled[index] = self._special.fill(spelt[index], logits[place][ids[place] == self._special.mask])
        return filled

    def score_hidden(self, texts: Sequence[str], seed: int) -> list[HiddenScore]:
        """See `danlu.engines.base.Engine.score_hidden`."""
        self._must_be("fill", "score_hidden")
        special, room = self._special, self.form.max_length - 2
        self._tokenizer.no_truncation()
        whole = [one.ids for one in self._tokenizer.encode_batch(_spellable(texts), add_special_tokens=False)]
        windows = [(text, ids[at : at + room]) for text, ids in enumerate(whole) for at in range(0, len(ids), room)]
        found: list[list[HiddenScore]] = [[] for _ in texts]
        for chosen in sorted(self._batches([len(ids) + 2 for _, ids in windows], self._tokens_in_batch())):
            hidden = [places(windows[window][1], HIDDEN_SHARE, seed) for window in chosen]
            ids, mask = self._rectangle([[special.begin, *windows[window][1], special.end] for window in chosen])
            truth = ids.copy()
            for row, places_ in enumerate(hidden):
                ids[row, places_ + 1] = special.mask
            logits = self._forward(ids, mask)
            for row, (window, places_) in enumerate(zip(chosen, hidden, strict=True)):
                found[windows[window][0]].append(hidden_score(truth[row, places_ + 1], logits[row, places_ + 1]))
        return [joined(parts) for parts in found]

    def gap(self) -> str:
        """See `danlu.engines.base.Engine.gap`."""
        self._must_be("fill", "gap")
        return self._special.name

    @functools.cached_property
    def _special(self) -> Special:
        return Special(self._tokenizer)

    def next_token(self, texts: Sequence[str]) -> np.ndarray:
        """See `danlu.engines.base.Engine.next_token`."""
        self._must_be("generate", "next_token")
        rows = [row[-self.form.max_length :] for row in self._open_rows(texts)]
        answers: list[np.ndarray] = [np.empty(0)] * len(rows)
        for indices in self._batches([len(row) for row in rows], self._tokens_in_batch()):
            logits = self._forward(*self._rectangle([rows[index] for index in indices]))
            for place, index in enumerate(indices):
                answers[index] = softmax(logits[place, len(rows[index]) - 1])
        return np.stack(answers) if answers else np.empty((0, self._tokenizer.get_vocab_size()), dtype=np.float32)

    def score(self, texts: Sequence[str], spans: Sequence[Spans | None] | None = None) -> list[TextScore]:
        """See `danlu.engines.base.Engine.score`.

        Windows of `max_length` tokens move on by half their length, and each token is scored once, in the first
        window that holds it: it is foreseen from at least half a context, as far as the text goes back.
        """
        self._must_be("generate", "score")
        rows, counted = self._counted(texts, spans or [None] * len(texts))
        has_end = end_id(self._tokenizer) is not None
        windows = [(index, *window) for index, row in enumerate(rows) for window in _windows(len(row), self.form)]
        totals = np.zeros((len(rows), 3))
        for chosen in self._batches([end - begin for _, begin, end, _ in windows], self._tokens_in_batch()):
            pieces_ = [windows[place] for place in chosen]
            ids, mask = self._rectangle([rows[index][begin:end] for index, begin, end, _ in pieces_])
            logits = self._forward(ids, mask)
            for place, (index, begin, end, fresh) in enumerate(pieces_):
                skipped, seen = fresh - begin - 1, end - begin - 1
                wanted = counted[index][fresh:end]
                truth = ids[place, skipped + 1 : seen + 1][wanted]
                log_probabilities = log_softmax(logits[place, skipped:seen][wanted])
                likelihood = log_probabilities[np.arange(len(truth)), truth].sum(dtype=np.float64)
                greedy = (log_probabilities.argmax(axis=-1) == truth).sum()
                totals[index] += (len(truth), likelihood, greedy)
        return [
            TextScore(
                tokens=int(tokens),
                log_likelihood=float(likelihood),
                greedy=int(greedy),
                characters=self._characters(text, row) if inside is None else sum(e - b for b, e in inside),
                end_counted=has_end and inside is None,
            )
            for text, inside, row, (tokens, likelihood, greedy) in zip(
                texts, spans or [None] * len(texts), rows, totals, strict=True
            )
        ]

    def _counted(self, texts: Sequence[str], spans: Sequence[Spans | None]) -> tuple[list[list[int]], list[np.ndarray]]:
        """The tokens of each text, and of each token whether it counts, as bool."""
        rows: list[list[int]] = [[]] * len(texts)
        counted: list[np.ndarray] = [np.zeros(0, dtype=bool)] * len(texts)
        spelt = _spellable(texts)
        whole = [number for number, inside in enumerate(spans) if inside is None]
        for number, row in zip(whole, encode_documents(self._tokenizer, [spelt[n] for n in whole]), strict=True):
            rows[number], counted[number] = row, np.ones(len(row), dtype=bool)
        for number, inside in enumerate(spans):
            if inside is not None:
                row, marks = encode_spans(self._tokenizer, spelt[number], inside)
                rows[number], counted[number] = row, np.array(marks, dtype=bool)
        return rows, counted

    def generate(
        self,
        prompt: str,
        *,
        max_new_tokens: int = 128,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        written: bool = False,
    ) -> Generator[str, None, Ending]:
        """See `danlu.engines.base.Engine.generate`.

        A prompt that is too long loses its beginning: it keeps what leaves room for `max_new_tokens`, but at
        least half of the context. So the answer may be shorter than asked, where the context is full.
        Raises `UserError` for a setting that means nothing, before the first piece is asked for.
        """
        self._must_be("generate", "generate")
        for name, value, right in (
            ("max_new_tokens", max_new_tokens, max_new_tokens >= 1),
            ("temperature", temperature, temperature >= 0 and math.isfinite(temperature)),
            ("top_p", top_p, 0 < top_p <= 1),
            ("stop", list(stop), all(stop)),
        ):
            if not right:
                raise UserError(
                    f"{name} is {value}. Expected max_new_tokens of at least 1, a finite temperature of at least 0, "
                    "top_p above 0 and at most 1, and stop sequences that are not empty."
                )
        room = min(max_new_tokens, self.form.max_length // 2)
        rows = self._written_rows([prompt]) if written else self._open_rows([prompt])
        row = rows[0][-(self.form.max_length - room) :]
        new_tokens = min(max_new_tokens, self.form.max_length - len(row))
        random = np.random.default_rng(seed)

        def pick(logits: np.ndarray) -> int:
            return choose(logits, temperature, top_p, random)

        return self._answer(row, new_tokens, pick, stop)

    def _answer(
        self, row: list[int], new_tokens: int, pick: Callable[[np.ndarray], int], stop: Sequence[str]
    ) -> Generator[str, None, Ending]:
        """The pieces of the text after the tokens of `row`; returns how it ended."""
        made = 0

        def counted() -> Iterator[int]:
            nonlocal made
            for token in self._tokens(row, new_tokens, pick):
                made += 1
                yield token

        yield from pieces(row, counted(), self._tokenizer, stop)
        return Ending(reason="length" if made == new_tokens else "stop", tokens=made)

    def _tokens(self, row: list[int], new_tokens: int, pick: Callable[[np.ndarray], int]) -> Iterator[int]:
        """Token after token, until an end token or `new_tokens` of them."""
        cache = None
        ids = np.array([row], dtype=np.int64)
        for _ in range(new_tokens):
            logits, cache = self._decode(ids, cache)
            token = pick(logits)
            if token in self.form.end_ids:
                return
            yield token
            ids = np.array([[token]], dtype=np.int64)

    def _must_be(self, task: TaskName, call: str) -> None:
        if self.form.task != task:
            raise self._wrong(call, task)

    def _wrong(self, call: str, wanted: str) -> UserError:
        return UserError(
            f"This model is for {self.form.task}; {call} needs one for {wanted}. "
            f"It answers on {TASKS[self.form.task].endpoint}."
        )

    def _open_rows(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of each whole text to be continued: without a closing token, and with something to continue from."""
        start = start_id(self._tokenizer)
        opening = next(iter(self.form.end_ids), self._pad_id) if start is None else start
        rows = []
        for row in encode_whole(self._tokenizer, _spellable(texts)):
            while row and row[-1] in self.form.end_ids:
                row = row[:-1]
            rows.append(row or [opening])
        return rows

    def _written_rows(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of each text to be continued that a chat template wrote."""
        self._tokenizer.no_truncation()
        encodings = self._tokenizer.encode_batch_fast(_spellable(texts), add_special_tokens=False)
        return [encoding.ids or [self._pad_id] for encoding in encodings]

    def _characters(self, text: str, row: list[int]) -> int:
        """Characters of `text` that `score` foresees: all but those of its first token, if that is no special one."""
        return max(len(text) - len(self._tokenizer.decode(row[:1], skip_special_tokens=True)), 0)

    def _rectangle(self, rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
        """Padded `ids` and `mask` [B, T]; a row without tokens becomes one padding token, so that T is at least 1."""
        return pad([row or [self._pad_id] for row in rows], self._pad_id)

    def _tokens_in_batch(self) -> int:
        return min(_TOKENS_IN_BATCH, max(1, _LOGITS_IN_BATCH // self._tokenizer.get_vocab_size()))

    def _batches(self, lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
        """Indices in batches of at most `tokens` padded tokens, texts of like length together.

        One index at a time where the form's answers depend on the batch.
        """
        batch: list[int] = []
        for index in sorted(range(len(lengths)), key=lambda index: lengths[index]):
            full = len(batch) >= _TEXTS_IN_BATCH or (len(batch) + 1) * lengths[index] > tokens
            full = full or lengths[index] > _LONGEST_TO_SHORTEST * lengths[batch[0] if batch else index]
            if batch and (full or not self.form.batch_invariant):
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch


def _spellable(texts: Sequence[str]) -> list[str]:
    return [spell(text) for text in texts]


def _windows(length: int, form: Form) -> Iterator[tuple[int, int, int]]:
    """`(begin, end, fresh)` of each window over `length` tokens; it scores the tokens from `fresh` to `end`."""
    size = form.max_length
    begin, fresh = 0, 1
    while fresh < length:
        end = min(begin + size, length)
        yield begin, end, fresh
        fresh = end
        begin += max(1, size // 2)
