"""Evidence about a model that gives a text any number of labels.

Shapes: N test rows, K labels.
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
from danlu.evaluate.rows import Part, read_part
from danlu.metrics.multilabel import NAME, TagBaseline, compare_taggers, multilabel
from danlu.metrics.thresholds import choose_thresholds, indicators


class TagEvidence:
    """Test rows with their labels, and what a model answers to them."""

    #: The scores in which the forms of a model are compared.
    headline = ("micro_f1", "macro_f1")

    def __init__(self, ctx: Context, config: EvaluateConfig, test: Part, labels: Sequence[str]) -> None:
        self._ctx = ctx
        self._config = config
        self._test = test
        self._labels = list(labels)
        self._truth = indicators(test.labels, self._labels)
        #: Those of the forms, which all have the same; known once one was asked.
        self._thresholds = np.full(len(self._labels), np.nan)
        #: The rows on which thresholds are chosen, where they are not those of the corpus.
        self.validation: Part | None = None

    def evidence(self, probabilities: np.ndarray) -> dict[str, Any]:
        """The evidence about the form that answered all test rows with `probabilities` [N, K]."""
        found = self._scored(probabilities, self._thresholds)
        return found | {"confusion": None, "calibration": None, "worst": self._worst(probabilities)}

    def brief(self, probabilities: np.ndarray) -> dict[str, Any]:
        """The headline scores of a form from its answers to the first rows, to compare forms on the same ones."""
        scores = self._scored(probabilities, self._thresholds)["scores"]
        return {"rows": len(probabilities), "scores": {name: scores[name] for name in self.headline}}

    def table(self, probabilities: np.ndarray) -> pa.Table:
        """`predictions.parquet`: the answers behind the evidence; the labels' order is in its metadata."""
        return pa.table(
            {
                "id": pa.array(self._test.ids, pa.string()),
                "labels": pa.array(self._test.labels, pa.list_(pa.string())),
                "predicted": pa.array(map(self._named, probabilities >= self._thresholds), pa.list_(pa.string())),
                "probabilities": pa.array(probabilities.astype(np.float32).tolist(), pa.list_(pa.float32())),
            }
        ).replace_schema_metadata({"labels": "\n".join(self._labels)})

    def baseline(self, probabilities: np.ndarray, train: Part, seen: np.ndarray, rule: str) -> dict[str, Any]:
        """The baseline from the rows the model has seen, compared with the model; and from all training rows.

        Its thresholds are chosen as the model's are, on the validation rows.
        """
        from_seen = self._baseline_from(train.where(seen), probabilities)
        from_all = from_seen if seen.all() else self._baseline_from(train, probabilities)
        return {"name": NAME, "rows_rule": rule, **from_seen, "all_rows": from_all}

    def _baseline_from(self, train: Part, probabilities: np.ndarray) -> dict[str, Any]:
        validation = self.validation
        if validation is None:
            validation = read_part(self._ctx.inputs["data"], "validation")
        with self._ctx.progress("fitting the baseline", total=len(train), unit="rows") as bar:
            model = TagBaseline().fit(train.asked, train.labels, self._labels)
            tried = model.probabilities(validation.asked)
            answers = model.probabilities(self._test.asked)
            bar.advance(len(train))
        thresholds = choose_thresholds(tried, indicators(validation.labels, self._labels))
        ours, theirs = probabilities >= self._thresholds, answers >= thresholds
        return {
            "rows": len(train),
            "converged": model.converged,
            "scores": self._scored(answers, thresholds)["scores"],
            "comparison": compare_taggers(ours, theirs, self._truth, self._config.resamples, self._config.seed),
        }

    def answers(self, folder: Path, rows: int | None = None) -> np.ndarray:
        """Probabilities [N, K] that the form in `folder` gives the first `rows` test rows; None means all.

        Raises `UserError` when the model answers with something that is no number.
        """
        return self.taken(*ask(self._ctx, folder, self._test.first(rows).asked))

    def taken(self, found: np.ndarray, form: Form) -> np.ndarray:
        """What `form` said of the first rows, as this evidence has its columns."""
        columns = [(form.labels or ()).index(label) for label in self._labels]
        self._thresholds = np.array(form.thresholds, dtype=np.float32)[columns]
        return found[:, columns]

    def _scored(self, probabilities: np.ndarray, thresholds: np.ndarray) -> dict[str, Any]:
        truth = self._truth[: len(probabilities)]
        resamples, seed = self._config.resamples, self._config.seed
        return multilabel(probabilities, truth, self._labels, thresholds, resamples, seed)

    def _named(self, holds: np.ndarray) -> list[str]:
        return [self._labels[place] for place in np.flatnonzero(holds)]

    def _worst(self, probabilities: np.ndarray) -> list[dict[str, Any]]:
        """The rows with the most confidently wrong decision on any label, the most confident first; ties by id."""
        decided = probabilities >= self._thresholds
        sure = np.where(decided, probabilities, 1.0 - probabilities)
        confidence = np.where(decided != self._truth, sure, -1.0).max(axis=1)
        wrong = np.flatnonzero(confidence >= 0.0).tolist()
        wrong.sort(key=lambda place: (-confidence[place], self._test.ids[place]))
        return [
            {
                "id": self._test.ids[place],
                "text": cut(self._test.told(place)),
                "label": ", ".join(self._test.labels[place]) or "–",
                "predicted": ", ".join(self._named(decided[place])) or "–",
                "confidence": float(confidence[place]),
            }
            for place in wrong[: self._config.worst_rows]
        ]
