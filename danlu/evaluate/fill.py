"""Evidence about a model that foresees hidden words: how many of those it has never seen it finds."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from danlu.core.context import Context
from danlu.core.errors import UserError
from danlu.engines.filling import HiddenScore
from danlu.engines.table import load
from danlu.evaluate.config import EvaluateConfig
from danlu.evaluate.rows import Part
from danlu.learning.text import encode_whole, load_tokenizer
from danlu.metrics.bootstrap import Floats
from danlu.metrics.masked import NAME, TokenCounts, compare_masked, masked_scores, sums_of

_ROWS_AT_ONCE = 64

#: Which words are hidden, whatever the recipe's seeds: models are compared on the same ones.
_MASK_SEED = 1


class FillEvidence:
    """Test texts with words hidden, and how well a model foresees these."""

    #: The scores in which the forms of a model are compared.
    headline = ("masked_accuracy", "masked_perplexity")

    def __init__(self, ctx: Context, config: EvaluateConfig, test: Part, labels: Sequence[str]) -> None:
        del labels  # the evidence of every task is made from the same four things
        self._ctx = ctx
        self._config = config
        self._test = test
        self._folder: Path | None = None

    def evidence(self, found: list[HiddenScore]) -> dict[str, Any]:
        """The evidence about the form that scored all test texts with `found`."""
        return {
            "scores": self._scores(_sums(found)),
            "hidden_tokens": sum(len(one.ids) for one in found),
            "per_class": {},
            "confusion": None,
            "calibration": None,
            "worst": [],
        }

    def brief(self, found: list[HiddenScore]) -> dict[str, Any]:
        """The headline scores of a form from its scores of the first texts, to compare forms on the same ones."""
        scores = self._scores(_sums(found))
        return {"rows": len(found), "scores": {name: scores[name] for name in self.headline}}

    def table(self, found: list[HiddenScore]) -> pa.Table:
        """`predictions.parquet`: hidden tokens of each text, those foreseen, and their log-likelihood in nats."""
        sums = _sums(found)
        return pa.table(
            {
                "id": pa.array(self._test.ids, pa.string()),
                "tokens": pa.array(sums[:, 2].astype(np.int64), pa.int64()),
                "right": pa.array(sums[:, 1].astype(np.int64), pa.int64()),
                "log_likelihood": pa.array(sums[:, 0], pa.float64()),
            }
        )

    def baseline(self, found: list[HiddenScore], train: Part, seen: np.ndarray, rule: str) -> dict[str, Any]:
        """The baseline from the rows the model has seen, on the same hidden tokens; and from all training rows.

        Its tokens are the model's own, so both perplexities are of the same thing.
        """
        from_seen = self._baseline_from(train.where(seen), found)
        from_all = from_seen if seen.all() else self._baseline_from(train, found)
        return {"name": NAME, "rows_rule": rule, **from_seen, "all_rows": from_all}

    def _baseline_from(self, train: Part, found: list[HiddenScore]) -> dict[str, Any]:
        assert self._folder is not None, "a form answers before the baseline does"
        tokenizer = load_tokenizer(self._folder)
        counts = TokenCounts(max(tokenizer.get_vocab().values()) + 1)
        with self._ctx.progress("fitting the baseline", total=len(train), unit="rows") as bar:
            for begin in range(0, len(train), _ROWS_AT_ONCE):
                texts = train.texts[begin : begin + _ROWS_AT_ONCE]
                # Beginning and end of a text are never hidden: counted, they would make every word less probable.
                counts.fit(encode_whole(tokenizer, texts, special=False))
                bar.advance(len(texts))
        theirs = sums_of([counts.log_likelihood(one.ids) for one in found], [counts.right(one.ids) for one in found])
        return {
            "rows": len(train),
            "scores": self._scores(theirs),
            "comparison": compare_masked(_sums(found), theirs, self._config.resamples, self._config.seed),
        }

    def answers(self, folder: Path, rows: int | None = None) -> list[HiddenScore]:
        """How well the form in `folder` foresees hidden tokens of the first `rows` test texts; None means all.

        Raises `UserError` when the model answers with something that is no number.
        """
        self._folder = folder
        texts = self._test.first(rows).texts
        found: list[HiddenScore] = []
        with (
            contextlib.closing(load(folder, self._ctx.threads)) as engine,
            self._ctx.progress(f"reading with {folder.name}", total=len(texts), unit="texts") as bar,
        ):
            for begin in range(0, len(texts), _ROWS_AT_ONCE):
                found.extend(engine.score_hidden(texts[begin : begin + _ROWS_AT_ONCE], _MASK_SEED))
                bar.advance(len(texts[begin : begin + _ROWS_AT_ONCE]))
        if not all(np.isfinite(one.log_likelihood).all() for one in found):
            raise UserError(
                f"The form {folder.name} answers with something that is no number. Training has probably diverged: "
                "look at its loss, and lower train.learning_rate."
            )
        return found

    def _scores(self, sums: Floats) -> dict[str, Any]:
        return masked_scores(sums, self._config.resamples, self._config.seed)


def _sums(found: Sequence[HiddenScore]) -> Floats:
    return sums_of([one.log_likelihood for one in found], [one.right for one in found])
