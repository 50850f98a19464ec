"""Embedding models side by side, by what they find: the same queries in the same pool."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from danlu.compare.entrants import Entrant, Kind, Release
from danlu.compare.judge import Answered, Setting, not_for, of_release
from danlu.compare.local import answered, must_be_numbers
from danlu.compare.notes import Note
from danlu.core.tasks import TASKS
from danlu.engines.table import load
from danlu.evaluate.embed import EmbedEvidence
from danlu.evaluate.rows import Part
from danlu.metrics.retrieval import compare_searches

_TEXTS_AT_ONCE = 64


class EmbedJudge:
    """See `danlu.compare.judge.Judge`. Answers are the ranks of each query's texts."""

    primary = TASKS["embed"].quality
    shown = ("recall_at_1", "recall_at_10", "mrr_at_10")
    lower_is_better = False
    takes: frozenset[Kind] = frozenset(("release",))

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    @staticmethod
    def labels(known: Sequence[str], rows: Part) -> list[str]:
        """None."""
        del known, rows
        return []

    def answered(self, entrant: Entrant) -> Answered:
        """Embed all texts of the rows, search, and score."""
        if not isinstance(entrant, Release):
            return not_for(
                entrant,
                "endpoints are asked in chat, and a chat has no vectors; embeddings of endpoints are not compared yet.",
                "接口用对话来问，对话没有向量；暂不比较接口的向量。",
            )
        setting, rows = self._setting, self._setting.rows
        texts = list(dict.fromkeys([*rows.texts, *rows.pairs]))
        with contextlib.closing(load(entrant.folder, setting.ctx.threads)) as engine:
            engine.embed(texts[:1])  # what a library sets up at its first call is no part of an answer
            blocks, used = answered(
                setting.ctx, entrant.name, engine.embed, texts, _TEXTS_AT_ONCE, setting.rates.watts_per_core
            )
        vectors = np.concatenate(blocks)
        must_be_numbers(entrant.name, vectors)
        place = {text: number for number, text in enumerate(texts)}
        both = np.stack([vectors[[place[text] for text in side]] for side in (rows.texts, rows.pairs)], axis=1)
        evidence = EmbedEvidence(setting.ctx, setting.evaluation, rows, ())
        ranks = [np.array(own, dtype=np.int64) for own in evidence.table(both)["ranks"].to_pylist()]
        return Answered(
            answers=ranks,
            scores=evidence.evidence(both)["scores"],
            **of_release(setting, entrant, used, texts),
        )

    def compared(
        self, name: str, answers: list[np.ndarray], first: str, first_answers: list[np.ndarray]
    ) -> tuple[dict[str, Any] | None, list[Note]]:
        """Paired bootstrap on MRR at 10 over queries."""
        del name, first
        config = self._setting.config
        return compare_searches(answers, first_answers, config.resamples, config.seed), []
