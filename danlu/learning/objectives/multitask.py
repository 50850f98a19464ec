"""Several targets a text over one encoder, each with a linear head: the weighted sum of what each learns by itself.

A row that lacks a target teaches the others alone. A target's loss is its mean over the training rows that have it; a
batch adds what its own rows bring to that mean. So all batches of a pass add up to it exactly, however they are cut:
divided by the rows of its own batch instead, the only row with a rare target would count as much as the many in
another batch.

Shapes: B texts in a batch, N in a part, K outputs of all heads, Q columns of what is to be learned (one for classify
and regress, one for each label for tag).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from danlu.core.artifact import write_json
from danlu.core.errors import DataError, UserError
from danlu.core.heads import Head, columns, known, targets_in
from danlu.learning.batching import Batch, Examples
from danlu.learning.models import CONFIG, read_config
from danlu.learning.objectives import classes, labels, questions, value
from danlu.learning.objectives.base import Facts, HeadLoss, Objective, Outcome, Rows, forward, to_device
from danlu.learning.objectives.config import DEFAULTS, MultitaskObjective

#: What a head of each task learns: the very losses of models with one target.
_LOSSES: dict[str, Callable[[Any, Facts], HeadLoss]] = {
    "classify": classes.head_loss,
    "tag": labels.head_loss,
    "regress": value.head_loss,
}

#: What is to be learned of a row that lacks the target.
_LACKING = np.float32(np.nan)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One target among the others.

    `outputs`: its columns among K; `truth`: its columns among Q. `factor`: its weight over the share of the training
    rows that have it.
    """

    head: Head
    loss: HeadLoss
    outputs: slice
    truth: slice
    factor: float


def make(config: MultitaskObjective, facts: Facts) -> Objective:
    """The objective for `facts.heads`; `facts.targets` are the training rows' targets as JSON.

    Raises `UserError` for a section that is for another task than the target's, and `DataError` for a target that no
    training row has.
    """
    parts = _parts(config, facts)

    def lengths(rows: Rows) -> list[int]:
        return questions.lengths(facts, rows)

    def examples(rows: Rows, max_length: int) -> Examples:
        return questions.examples(facts, rows, max_length, _truth(parts, rows["targets"]))

    def outcome(model: Any, batch: Batch) -> Outcome:
        logits = forward(model, batch).logits.float()
        truth = batch.columns["labels"]
        losses, predicted = [], []
        for part in parts:
            ours = logits[:, part.outputs]
            predicted.append(part.loss.predicted(ours).float().reshape(len(batch), -1))
            there = _known(part, truth)
            if len(there):
                right = to_device(_as_kind(part, truth[there, part.truth]), logits.device)
                mean = part.loss.loss(ours[to_device(there, logits.device)], right)
                losses.append(part.factor * len(there) / len(batch) * mean)
        # Every row has a target, so there is one.
        return Outcome(loss=torch.stack(losses).sum(), weight=float(len(batch)), predicted=torch.cat(predicted, dim=1))

    def score(loss: float, truth: np.ndarray, predicted: np.ndarray) -> float:
        del loss
        return float(np.mean(list(qualities(parts, truth, predicted).values())))

    def publish(folder: Path, model: Any, max_length: int) -> dict[str, Any]:
        del model, max_length
        heads = [_published(part) for part in parts]
        # In config.json too, so that whoever has the model's folder alone can tell whose outputs are whose.
        write_json(folder / CONFIG, read_config(folder) | {"heads": heads})
        return {"heads": heads}

    return Objective(
        lengths=lengths,
        examples=examples,
        weight=lambda batch: float(len(batch)),
        outcome=outcome,
        score=score,
        metric="quality",
        higher_is_better=True,
        publish=publish,
    )


def qualities(parts: Sequence[_Part], truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """How good each target of which any row [N] is known is, by name: macro F1, average precision, 1 less the error.

    The error is a number's mean absolute one, in standard deviations of the training rows.
    """
    found = {}
    for part in parts:
        there = _known(part, truth)
        if len(there):
            right, said = _as_kind(part, truth[there, part.truth]), _as_kind(part, predicted[there, part.truth])
            found[part.head.name] = part.loss.quality(right, said)
    return found


def _parts(config: MultitaskObjective, facts: Facts) -> list[_Part]:
    rows = targets_in(facts.targets)
    outputs = columns(facts.heads)
    widths = [head.width if head.task == "tag" else 1 for head in facts.heads]
    truth = [slice(*ends) for ends in pairwise(accumulate(widths, initial=0))]
    parts = []
    for head, mine, right in zip(facts.heads, outputs, truth, strict=True):
        places, answers = known(rows, head.name)
        section = config.targets.get(head.name, DEFAULTS[head.task])
        if section.task != head.task:
            raise UserError(
                f"train.objective.targets.{head.name} is {section.kind}, which is for {section.task}; the target is "
                f"for {head.task}."
            )
        if not places:
            raise DataError(
                f"No training row has the target {head.name!r}. Give more rows that have it, or leave it out."
            )
        weights = None if facts.class_weights is None else facts.class_weights[mine]
        own = replace(facts, labels=head.labels, targets=answers, class_weights=weights, heads=())
        share = len(places) / len(rows)
        parts.append(
            _Part(
                head=head,
                loss=_LOSSES[head.task](section, own),
                outputs=mine,
                truth=right,
                factor=config.weights.get(head.name, 1.0) / share,
            )
        )
    return parts


def _truth(parts: Sequence[_Part], targets: Sequence[str]) -> np.ndarray:
    """What is to be learned of N rows, float32 [N, Q]; NaN where a row lacks the target."""
    rows = targets_in(targets)
    found = np.full((len(rows), parts[-1].truth.stop), _LACKING, dtype=np.float32)
    for part in parts:
        places, answers = known(rows, part.head.name)
        if places:
            found[places, part.truth] = part.loss.truth(answers).reshape(len(places), -1)
    return found


def _known(part: _Part, truth: np.ndarray) -> np.ndarray:
    """The places of the rows, whose truth is [N, Q], that have the target."""
    return np.flatnonzero(~np.isnan(truth[:, part.truth.start]))


#: Columns of Q as a target's own loss has them: class numbers [N], labels [N, K], or numbers [N].
_KINDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "classify": lambda values: values[:, 0].astype(np.int64),
    "tag": lambda values: values,
    "regress": lambda values: values[:, 0],
}


def _as_kind(part: _Part, values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(_KINDS[part.head.task](values))


def _published(part: _Part) -> dict[str, Any]:
    scale = part.loss.scale
    return part.head.as_json() | {"scale": None if scale is None else asdict(scale)}


def weights_of_heads(heads: Sequence[Head], targets: Sequence[str]) -> torch.Tensor:
    """A weight for each of the outputs [K]: the balanced one for the classes of classify, 1 for all others."""
    rows = targets_in(targets)
    found = []
    for head in heads:
        if head.task != "classify":
            found.append(torch.ones(head.width))
            continue
        numbers = {label: number for number, label in enumerate(head.labels)}
        answers = [numbers[label] for label in known(rows, head.name)[1]]
        found.append(classes.balanced_weights(np.array(answers, dtype=np.int64), head.width))
    return torch.cat(found)
