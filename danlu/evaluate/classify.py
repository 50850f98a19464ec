"""Evidence about a classifier.

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
from danlu.engines.sampling import at_temperature
from danlu.evaluate.ask import ask, cut
from danlu.evaluate.config import EvaluateConfig
from danlu.evaluate.decisions import decisions
from danlu.evaluate.rows import Part
from danlu.metrics.baseline import NAME, TextBaseline
from danlu.metrics.paired import compare_classifiers
from danlu.metrics.scores import classification


class ClassifyEvidence:
    """Test rows with their truth, and what a model answers to them."""

    #: The scores in which the forms of a model are compared.
    headline = ("accuracy", "macro_f1")

    def __init__(self, ctx: Context, config: EvaluateConfig, test: Part, labels: Sequence[str]) -> None:
        self._ctx = ctx
        self._config = config
        self._test = test
        self._labels = sorted({*labels, *test.labels})
        self._truth = np.array([self._labels.index(label) for label in test.labels], dtype=np.int64)
        #: That of the forms, which all have the same; known once one was asked.
        self._temperature = 1.0

    def evidence(self, probabilities: np.ndarray) -> dict[str, Any]:
        """The evidence about the form that answered all test rows with `probabilities` [N, K]."""
        evidence = self._scored(probabilities) | {"worst": self._worst(probabilities)}
        evidence["calibration"] |= self._calibrated(probabilities)
        return evidence | decisions(self._ctx, self._config, self._test, self._labels, probabilities, self._truth)

    def _calibrated(self, probabilities: np.ndarray) -> dict[str, Any]:
        """The temperature of the form that answered, and what its calibration error would be without it."""
        temperature = self._temperature
        if temperature == 1.0:
            return {"temperature": 1.0, "ece_without": None}
        without = self._scored(at_temperature(probabilities, 1.0 / temperature))["scores"]["ece"]
        return {"temperature": temperature, "ece_without": without}

    def brief(self, probabilities: np.ndarray) -> dict[str, Any]:
        """The headline scores of a form from its answers to the first rows, to compare forms on the same ones."""
        scores = self._scored(probabilities)["scores"]
        return {"rows": len(probabilities), "scores": {name: scores[name] for name in self.headline}}

    def table(self, probabilities: np.ndarray) -> pa.Table:
        """`predictions.parquet`: the answers behind the evidence; the labels' order is in its metadata."""
        predicted = [self._labels[place] for place in probabilities.argmax(axis=1)]
        return pa.table(
            {
                "id": pa.array(self._test.ids, pa.string()),
                "label": pa.array(self._test.labels, pa.string()),
                "predicted": pa.array(predicted, pa.string()),
                "probabilities": pa.array(probabilities.astype(np.float32).tolist(), pa.list_(pa.float32())),
            }
        ).replace_schema_metadata({"labels": "\n".join(self._labels)})

    def baseline(self, probabilities: np.ndarray, train: Part, seen: np.ndarray, rule: str) -> dict[str, Any]:
        """The baseline from the rows the model has seen, compared with the model; and from all training rows."""
        from_seen = self._baseline_from(train.where(seen), probabilities)
        from_all = from_seen if seen.all() else self._baseline_from(train, probabilities)
        return {"name": NAME, "rows_rule": rule, **from_seen, "all_rows": from_all}

    def _baseline_from(self, train: Part, probabilities: np.ndarray) -> dict[str, Any]:
        with self._ctx.progress("fitting the baseline", total=len(train), unit="rows") as bar:
            model = TextBaseline().fit(train.asked, train.labels)
            answers = model.probabilities(self._test.asked, self._labels)
            bar.advance(len(train))
        resamples, seed = self._config.resamples, self._config.seed
        return {
            "rows": len(train),
            "converged": model.converged,
            "scores": self._scored(answers)["scores"],
            "comparison": compare_classifiers(probabilities, answers, self._truth, resamples, seed),
        }

    def answers(self, folder: Path, rows: int | None = None) -> np.ndarray:
        """Probabilities [N, K] that the form in `folder` gives the first `rows` test rows; None means all.

        Raises `UserError` when the model answers with something that is no number.
        """
        return self.taken(*ask(self._ctx, folder, self._test.first(rows).asked))

    def taken(self, found: np.ndarray, form: Form) -> np.ndarray:
        """What `form` said of the first rows, as this evidence has its columns."""
        self._temperature = form.temperature
        answers = np.zeros((len(found), len(self._labels)))
        answers[:, [self._labels.index(label) for label in form.labels or ()]] = found
        return answers

    def _scored(self, probabilities: np.ndarray) -> dict[str, Any]:
        truth = self._truth[: len(probabilities)]
        return classification(probabilities, truth, self._labels, self._config.resamples, self._config.seed)

    def _worst(self, probabilities: np.ndarray) -> list[dict[str, Any]]:
        """The most confidently wrong rows, the most confident first; ties by id."""
        predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
        wrong = np.flatnonzero(predicted != self._truth).tolist()
        wrong.sort(key=lambda place: (-confidence[place], self._test.ids[place]))
        return [
            {
                "id": self._test.ids[place],
                "text": cut(self._test.told(place)),
                "label": self._test.labels[place],
                "predicted": self._labels[predicted[place]],
                "confidence": float(confidence[place]),
            }
            for place in wrong[: self._config.worst_rows]
        ]
