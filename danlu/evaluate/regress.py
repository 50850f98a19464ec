"""Evidence about a model that answers a text with a number.

Shapes: N test rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from danlu.core.context import Context
from danlu.engines.base import Form
from danlu.evaluate.ask import ask, cut
from danlu.evaluate.config import EvaluateConfig
from danlu.evaluate.rows import Part
from danlu.metrics.regression import NAME, ValueBaseline, compare_regressors, regression

#: Rows that are drawn in the report.
_MOST_POINTS = 500


class RegressEvidence:
    """Test rows with their numbers, and what a model answers to them, in the unit of the data."""

    #: The scores in which the forms of a model are compared.
    headline = ("mae", "r2")

    def __init__(self, ctx: Context, config: EvaluateConfig, test: Part, labels: Sequence[str]) -> None:
        del labels  # the evidence of every task is made from the same four things
        self._ctx = ctx
        self._config = config
        self._test = test
        self._truth = np.array(test.labels, dtype=np.float64)

    def evidence(self, answers: np.ndarray) -> dict[str, Any]:
        """The evidence about the form that answered all test rows with `answers` [N]."""
        points = np.stack([self._truth, answers], axis=1)[:_MOST_POINTS]
        return {
            "scores": self._scored(answers),
            "per_class": {},
            "confusion": None,
            "calibration": None,
            "points": points.tolist(),
            "worst": self._worst(answers),
        }

    def brief(self, answers: np.ndarray) -> dict[str, Any]:
        """The headline scores of a form from its answers to the first rows, to compare forms on the same ones."""
        scores = self._scored(answers)
        return {"rows": len(answers), "scores": {name: scores[name] for name in self.headline}}

    def table(self, answers: np.ndarray) -> pa.Table:
        """`predictions.parquet`: the answers behind the evidence."""
        return pa.table(
            {
                "id": pa.array(self._test.ids, pa.string()),
                "value": pa.array(self._truth, pa.float64()),
                "predicted": pa.array(answers, pa.float64()),
            }
        )

    def baseline(self, answers: np.ndarray, train: Part, seen: np.ndarray, rule: str) -> dict[str, Any]:
        """The baseline from the rows the model has seen, compared with the model; and from all training rows."""
        from_seen = self._baseline_from(train.where(seen), answers)
        from_all = from_seen if seen.all() else self._baseline_from(train, answers)
        return {"name": NAME, "rows_rule": rule, **from_seen, "all_rows": from_all}

    def _baseline_from(self, train: Part, answers: np.ndarray) -> dict[str, Any]:
        with self._ctx.progress("fitting the baseline", total=len(train), unit="rows") as bar:
            theirs = ValueBaseline().fit(train.asked, train.labels).answers(self._test.asked)
            bar.advance(len(train))
        resamples, seed = self._config.resamples, self._config.seed
        return {
            "rows": len(train),
            "scores": self._scored(theirs),
            "comparison": compare_regressors(answers, theirs, self._truth, resamples, seed),
        }

    def answers(self, folder: Path, rows: int | None = None) -> np.ndarray:
        """Numbers [N] that the form in `folder` gives the first `rows` test rows; None means all.

        Raises `UserError` when the model answers with something that is no number.
        """
        return self.taken(*ask(self._ctx, folder, self._test.first(rows).asked))

    def taken(self, found: np.ndarray, form: Form) -> np.ndarray:
        """What `form` said of the first rows, as this evidence has it."""
        del form
        return found[:, 0]

    def _scored(self, answers: np.ndarray) -> dict[str, Any]:
        return regression(answers, self._truth[: len(answers)], self._config.resamples, self._config.seed)

    def _worst(self, answers: np.ndarray) -> list[dict[str, Any]]:
        """The rows that the model is furthest off on, the furthest first; ties by id."""
        error = np.abs(answers - self._truth)
        order = sorted(range(len(error)), key=lambda place: (-error[place], self._test.ids[place]))
        return [
            {
                "id": self._test.ids[place],
                "text": cut(self._test.told(place)),
                "label": f"{self._truth[place]:.4g}",
                "predicted": f"{answers[place]:.4g}",
                "confidence": None,
            }
            for place in order[: self._config.worst_rows]
        ]
