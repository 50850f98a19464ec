"""Evidence about a model with several targets: that of each target by itself, on the test rows that have it.

Scores go by `TARGET.SCORE`. Over all of them stands `quality`, which also picks the checkpoint: the mean over the
targets of macro F1 (classify), average precision (tag), and 1 less the mean absolute error in standard deviations of
the training rows (regress).

Shapes: N test rows, K outputs of all targets; of a target N' rows and K' outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from danlu.core.context import Context
from danlu.core.errors import DataError
from danlu.core.heads import Head, heads_of, known, named, targets_in
from danlu.core.lazy import load_attribute
from danlu.core.tasks import TASKS
from danlu.engines.base import Form
from danlu.evaluate.ask import ask
from danlu.evaluate.config import EvaluateConfig
from danlu.evaluate.rows import Part, read_part
from danlu.metrics.targets import QUALITIES, of_all, together

#: Who gathers the evidence of one target.
_EVIDENCE = {
    "classify": "danlu.evaluate.classify:ClassifyEvidence",
    "tag": "danlu.evaluate.tag:TagEvidence",
    "regress": "danlu.evaluate.regress:RegressEvidence",
}


@dataclass(kw_only=True)
class _Target:
    """One target: the places of the test rows that have it, and its evidence. `form`: its part of the form asked."""

    head: Head
    places: np.ndarray
    evidence: Any
    columns: slice | None = None
    form: Form | None = None

    def of(self, answers: np.ndarray) -> np.ndarray:
        """What was answered about this target in the first rows, as its evidence has it."""
        assert self.columns is not None
        assert self.form is not None
        there = self.places[self.places < len(answers)]
        found: np.ndarray = self.evidence.taken(answers[there, self.columns], self.form)
        return found

    @property
    def unit(self) -> float:
        """What an error of numbers is counted in."""
        assert self.form is not None
        return 1.0 if self.form.scale is None else self.form.scale.std


class MultitaskEvidence:
    """Test rows with their targets, and what a model answers to them."""

    def __init__(self, ctx: Context, config: EvaluateConfig, test: Part, labels: Sequence[str]) -> None:
        del labels  # the evidence of every task is made from the same four things
        self._ctx = ctx
        self._config = config
        self._test = test
        heads = heads_of(ctx.inputs["data"].json("card.json")["heads"])
        self._targets = [self._target(head) for head in heads]

    def _target(self, head: Head) -> _Target:
        part, places = of_target(self._test, head.name)
        if not len(part):
            raise DataError(
                f"No test row has the target {head.name!r}, so nothing can be said about it. Bring more rows that have "
                "it, raise data.split.test, or leave the target out."
            )
        evidence = load_attribute(_EVIDENCE[head.task])(self._ctx, self._config, part, head.labels)
        if head.task == "tag":
            evidence.validation = of_target(read_part(self._ctx.inputs["data"], "validation"), head.name)[0]
        return _Target(head=head, places=places, evidence=evidence)

    def answers(self, folder: Path, rows: int | None = None) -> np.ndarray:
        """What the form in `folder` answers to the first `rows` test rows, [N, K]; None means all.

        Raises `UserError` when the model answers with something that is no number.
        """
        found, form = ask(self._ctx, folder, self._test.first(rows).asked)
        by_name = {name: (columns, part) for name, columns, part in form.parts}
        for target in self._targets:
            target.columns, target.form = by_name[target.head.name]
        return found

    def evidence(self, answers: np.ndarray) -> dict[str, Any]:
        """The evidence about the form that answered all test rows with `answers` [N, K]."""
        found = {target.head.name: target.evidence.evidence(target.of(answers)) for target in self._targets}
        return {
            "scores": self._scores({name: one["scores"] for name, one in found.items()}),
            "per_class": {
                named(name, label): scores for name, one in found.items() for label, scores in one["per_class"].items()
            },
            "confusion": None,
            "calibration": None,
            "worst": self._worst(found),
            "heads": [
                target.head.as_json() | {"rows": len(target.places), **_own(found[target.head.name])}
                for target in self._targets
            ],
        }

    def brief(self, answers: np.ndarray) -> dict[str, Any]:
        """The headline scores of a form from its answers to the first rows, to compare forms on the same ones."""
        found: dict[str, Any] = {}
        for target in self._targets:
            scores = target.evidence.brief(target.of(answers))["scores"]
            found |= {f"{target.head.name}.{name}": score for name, score in scores.items()}
        return {"rows": len(answers), "scores": found}

    def table(self, answers: np.ndarray) -> pa.Table:
        """`predictions.parquet`: the answers behind the evidence, a column a target.

        Each is a struct of the columns that a model of that target alone has, null where a row lacks the target.
        """
        columns = {"id": pa.array(self._test.ids, pa.string())}
        metadata: dict[str, Any] = {}
        for target in self._targets:
            own = target.evidence.table(target.of(answers))
            rows = own.drop_columns(["id"]).to_struct_array().combine_chunks()
            back = np.full(len(answers), -1)
            back[target.places] = np.arange(len(target.places))
            columns[target.head.name] = rows.take(pa.array(back, mask=back < 0))
            metadata |= {
                f"{target.head.name}.{name.decode()}": value for name, value in (own.schema.metadata or {}).items()
            }
        return pa.table(columns).replace_schema_metadata(metadata)

    def baseline(self, answers: np.ndarray, train: Part, seen: np.ndarray, rule: str) -> dict[str, Any]:
        """A baseline for each target from the rows that the model has seen of it, compared with the model."""
        found = {}
        for target in self._targets:
            part, places = of_target(train, target.head.name)
            rows = seen[places]
            if not rows.any():
                self._ctx.warn(
                    f"No trained row has {target.head.name!r}: its baseline learns from all training rows that do."
                )
                rows = np.ones(len(part), dtype=bool)
            found[target.head.name] = target.evidence.baseline(target.of(answers), part, rows, rule)
        whole = {"name": TASKS["multitask"].baseline, "rows_rule": rule, **self._baseline_from(found)}
        from_all = {name: one["all_rows"] for name, one in found.items()}
        same = all(one["rows"] == found[name]["rows"] for name, one in from_all.items())
        whole["all_rows"] = whole.copy() if same else self._baseline_from(from_all)
        return whole

    def _baseline_from(self, found: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
        units = {target.head.name: target.unit for target in self._targets}
        tasks = {target.head.name: target.head.task for target in self._targets}
        comparisons = {
            target.head.name: found[target.head.name]["comparison"]
            | {
                "rows": len(target.places),
                "name": TASKS[target.head.task].baseline,
                "trained_rows": found[target.head.name]["rows"],
            }
            for target in self._targets
        }
        return {
            "rows": max(one["rows"] for one in found.values()),
            "converged": all(one.get("converged", True) for one in found.values()),
            "scores": self._scores({name: one["scores"] for name, one in found.items()}),
            "comparison": together(comparisons, tasks, units),
        }

    def _scores(self, by_target: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """All scores under their targets' names, and the quality of them together."""
        units = {target.head.name: target.unit for target in self._targets}
        tasks = {target.head.name: target.head.task for target in self._targets}
        quality = of_all([QUALITIES[tasks[name]](scores, units[name]) for name, scores in by_target.items()])
        found = {f"{name}.{score}": value for name, scores in by_target.items() for score, value in scores.items()}
        return {"quality": quality, **found}

    def _worst(self, found: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """The worst rows of each target in turn, the worst of each first."""
        rows: list[dict[str, Any]] = []
        for place in range(self._config.worst_rows):
            for name, one in found.items():
                if place < len(one["worst"]) and len(rows) < self._config.worst_rows:
                    row = one["worst"][place]
                    rows.append(row | {key: f"{name}: {row[key]}" for key in ("label", "predicted")})
        return rows


def of_target(part: Part, name: str) -> tuple[Part, np.ndarray]:
    """The rows of `part` that have the target `name`, with what it is as their labels; and their places."""
    places, answers = known(targets_in(part.labels), name)
    chosen = np.zeros(len(part), dtype=bool)
    chosen[places] = True
    return replace(part.where(chosen), labels=answers), np.array(places, dtype=np.int64)


def _own(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """What the evidence of one target says beyond its scores."""
    return {key: evidence[key] for key in ("confusion", "calibration", "points") if evidence.get(key) is not None}
