"""Evidence about a language model: how well it foresees texts it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from danlu.core.context import Context
from danlu.core.errors import UserError
from danlu.engines.base import TextScore
from danlu.engines.table import load
from danlu.evaluate.config import EvaluateConfig
from danlu.evaluate.rows import Part
from danlu.metrics.ngram import NAME, CharacterModel
from danlu.metrics.paired import compare_language_models
from danlu.metrics.scores import generation

_ROWS_AT_ONCE = 16

#: The baseline learns from at most this many characters, of rows drawn at random: 3 GB of memory, half a minute.
_MOST_CHARACTERS = 20_000_000


class GenerateEvidence:
    """Test texts, and how well a model foresees them."""

    #: The scores in which the forms of a model are compared.
    headline = ("perplexity", "bits_per_character")

    def __init__(self, ctx: Context, config: EvaluateConfig, test: Part, labels: Sequence[str]) -> None:
        del labels  # the evidence of every task is made from the same four things
        self._ctx = ctx
        self._config = config
        self._test = test

    def evidence(self, found: list[TextScore]) -> dict[str, Any]:
        """The evidence about the form that scored all test texts with `found`."""
        return {
            "scores": self._scores_of(found),
            "end_counted": any(one.end_counted for one in found),
            "answers_only": bool(self._test.answers) and all(inside is not None for inside in self._test.answers),
            "per_class": {},
            "confusion": None,
            "calibration": None,
            "worst": [],
        }

    def brief(self, found: list[TextScore]) -> dict[str, Any]:
        """The headline scores of a form from its scores of the first texts, to compare forms on the same ones."""
        scores = self._scores_of(found)
        return {"rows": len(found), "scores": {name: scores[name] for name in self.headline}}

    def table(self, found: list[TextScore]) -> pa.Table:
        """`predictions.parquet`: the score of each text."""
        return pa.table(
            {
                "id": pa.array(self._test.ids, pa.string()),
                "tokens": pa.array([one.tokens for one in found], pa.int64()),
                "log_likelihood": pa.array([one.log_likelihood for one in found], pa.float64()),
                "characters": pa.array([one.characters for one in found], pa.int64()),
            }
        )

    def baseline(self, found: list[TextScore], train: Part, seen: np.ndarray, rule: str) -> dict[str, Any]:
        """The baseline from the rows the model has seen, compared with the model; and from all training rows.

        Its tokens are characters, so its perplexity is not comparable; its bits per character are. It foresees
        exactly the characters that the model foresees, and the end of the text where the model does.
        """
        from_seen = self._baseline_from(train.where(seen), found)
        from_all = from_seen if seen.all() else self._baseline_from(train, found)
        return {"name": NAME, "rows_rule": rule, **from_seen, "all_rows": from_all}

    def _baseline_from(self, train: Part, found: list[TextScore]) -> dict[str, Any]:
        texts = self._draw(train.texts)
        with self._ctx.progress("fitting the baseline", total=len(texts), unit="rows") as bar:
            model = CharacterModel().fit(texts)
            bar.advance(len(texts))
        characters = [one.characters for one in found]
        spans = self._test.answers or [None] * len(found)
        # Of a conversation the spans say what counts.
        last = [
            len(text) if inside else one.characters
            for text, inside, one in zip(self._test.texts, spans, found, strict=True)
        ]
        end_counted = any(one.end_counted for one in found)
        log_likelihood = model.log_likelihood(self._test.texts, last, end=end_counted, spans=spans)
        tokens = [one.characters + one.end_counted for one in found]
        ours = [one.log_likelihood for one in found]
        return {
            "rows": len(texts),
            "scores": self._scores(log_likelihood, tokens, characters),
            "comparison": compare_language_models(
                ours, log_likelihood, characters, self._config.resamples, self._config.seed
            ),
        }

    def _draw(self, texts: list[str]) -> list[str]:
        """`texts`, or as many of them at random as the baseline can take."""
        lengths = np.array([len(text) for text in texts], dtype=np.int64)
        if int(lengths.sum()) <= _MOST_CHARACTERS:
            return texts
        order = np.random.default_rng(self._config.seed).permutation(len(texts))
        kept = np.sort(order[: max(1, int((np.cumsum(lengths[order]) <= _MOST_CHARACTERS).sum()))])
        self._ctx.warn(
            f"The baseline learns from {len(kept):,} of {len(texts):,} texts: {_MOST_CHARACTERS:,} characters are its "
            "limit."
        )
        return [texts[place] for place in kept.tolist()]

    def _scores(
        self, log_likelihood: Sequence[float], tokens: Sequence[int], characters: Sequence[int]
    ) -> dict[str, Any]:
        return generation(log_likelihood, tokens, characters, self._config.resamples, self._config.seed)

    def _scores_of(self, found: list[TextScore]) -> dict[str, Any]:
        return self._scores(
            [one.log_likelihood for one in found], [one.tokens for one in found], [one.characters for one in found]
        )

    def answers(self, folder: Path, rows: int | None = None) -> list[TextScore]:
        """How well the form in `folder` foresees each of the first `rows` test texts; None means all.

        Raises `UserError` when the model answers with something that is no number.
        """
        test = self._test.first(rows)
        found: list[TextScore] = []
        engine = load(folder, self._ctx.threads)
        with self._ctx.progress(f"reading with {folder.name}", total=len(test), unit="texts") as bar:
            for begin in range(0, len(test), _ROWS_AT_ONCE):
                texts = test.texts[begin : begin + _ROWS_AT_ONCE]
                found.extend(engine.score(texts, test.answers[begin : begin + _ROWS_AT_ONCE] or None))
                bar.advance(len(texts))
        engine.close()
        if not np.isfinite([one.log_likelihood for one in found]).all():
            raise UserError(
                f"The form {folder.name} answers with something that is no number. Training has probably diverged: "
                "look at its loss, and lower train.learning_rate."
            )
        return found
