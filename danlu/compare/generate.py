"""Language models side by side, by how well they foresee the same texts; an endpoint does not tell that."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from danlu.compare.entrants import Entrant, Kind, Release
from danlu.compare.judge import Answered, Setting, not_for, of_release
from danlu.compare.local import answered, must_be_numbers
from danlu.compare.notes import Note, note
from danlu.engines.base import TextScore
from danlu.engines.table import load
from danlu.evaluate.generate import GenerateEvidence
from danlu.evaluate.rows import Part
from danlu.learning.chat import read_chat
from danlu.metrics.paired import compare_language_models

_ROWS_AT_ONCE = 16


class GenerateJudge:
    """See `danlu.compare.judge.Judge`."""

    primary = "bits_per_character"
    shown = ("perplexity", "bits_per_character")
    lower_is_better = True
    takes: frozenset[Kind] = frozenset(("release",))

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    @staticmethod
    def labels(known: Sequence[str], rows: Part) -> list[str]:
        """None."""
        del known, rows
        return []

    def answered(self, entrant: Entrant) -> Answered:
        """Let a release foresee the rows, and score it."""
        if not isinstance(entrant, Release):
            return not_for(
                entrant,
                "an endpoint does not tell how probable a given text is, so it has no perplexity.",
                "接口不告诉给定文本的概率，所以没有困惑度。",
            )
        setting = self._setting
        rows = setting.rows.written(read_chat(entrant.folder))
        items = list(zip(rows.texts, rows.answers or [None] * len(rows), strict=True))
        with contextlib.closing(load(entrant.folder, setting.ctx.threads)) as engine:
            blocks, used = answered(
                setting.ctx,
                entrant.name,
                lambda block: engine.score([text for text, _ in block], [spans for _, spans in block]),
                items,
                _ROWS_AT_ONCE,
                setting.rates.watts_per_core,
            )
        found: list[TextScore] = [one for block in blocks for one in block]
        must_be_numbers(entrant.name, np.array([one.log_likelihood for one in found]))
        evidence = GenerateEvidence(setting.ctx, setting.evaluation, rows, ()).evidence(found)
        return Answered(answers=found, scores=evidence["scores"], **of_release(setting, entrant, used, rows.texts))

    def compared(
        self, name: str, answers: list[TextScore], first: str, first_answers: list[TextScore]
    ) -> tuple[dict[str, Any] | None, list[Note]]:
        """Paired bootstrap on bits per character, where both foresee the same characters."""
        config = self._setting.config
        pairs = list(zip(answers, first_answers, strict=True))
        notes = []
        if any(one.tokens != other.tokens for one, other in pairs):
            notes.append(note("other_tokens", name, first=first))
        if any((one.characters, one.end_counted) != (other.characters, other.end_counted) for one, other in pairs):
            return None, [*notes, note("other_characters", name, first=first)]
        result = compare_language_models(
            [one.log_likelihood for one in answers],
            [one.log_likelihood for one in first_answers],
            [one.characters for one in answers],
            config.resamples,
            config.seed,
        )
        return result, notes
