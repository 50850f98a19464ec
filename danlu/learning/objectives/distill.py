"""A small model learns from a larger one beside the labels (Hinton et al. 2015, arXiv:1503.02531).

loss = (1 - w) CE(labels) + w T^2 KL(teacher at temperature T || student at temperature T), section 2 of the paper; its
cross-entropy of soft targets differs from KL by the teacher's entropy, which has no gradient.

B examples in a batch, T tokens of the longest one, K classes, V tokens in the vocabulary, M targets.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from danlu.core.asked import Question, as_asked, read_takes
from danlu.core.errors import ModelError
from danlu.learning import chunked
from danlu.learning.asking import SECOND, encode_asked, knows_two_segments, questions, spellable
from danlu.learning.batching import NO_TARGET, Batch, BatchSize, Examples, by_length
from danlu.learning.models import check_base, load_checkpoint, positions_of, read_config
from danlu.learning.objectives import causal, classes
from danlu.learning.objectives.base import Facts, Objective, Outcome, Rows, Track, device_of, forward, to_device
from danlu.learning.objectives.config import (
    CausalObjective,
    ClassesObjective,
    DistillCausalObjective,
    DistillClassesObjective,
)
from danlu.learning.text import load_tokenizer, pad_id

TEACHER = "teacher"

_TEXTS_AT_ONCE = 32


def make_classes(config: DistillClassesObjective, facts: Facts) -> Objective:
    """The objective of a classifier whose teacher says once, before the first step, what it thinks of each text."""
    folder = facts.folders[TEACHER]
    plain = classes.make(ClassesObjective(), facts)

    def prepare(model: Any, rows: Rows, examples: Examples, track: Track) -> dict[str, np.ndarray]:
        every = questions(rows)
        asked = [every[row] for row in examples.rows.tolist()]
        return {TEACHER: teacher_logits(folder, asked, facts.labels, device_of(model), track)}

    def outcome(model: Any, batch: Batch) -> Outcome:
        logits = forward(model, batch).logits.float()
        hard = classes.label_losses(logits, to_device(batch.columns["labels"], logits.device), facts.class_weights)
        soft = divergence(logits, to_device(batch.columns[TEACHER], logits.device), config.temperature)
        losses = (1.0 - config.teacher_weight) * hard + config.teacher_weight * soft
        return Outcome(loss=losses.mean(), weight=float(len(batch)), predicted=logits.argmax(dim=-1))

    return replace(plain, outcome=outcome, prepare=prepare)


def make_causal(config: DistillCausalObjective, facts: Facts) -> Objective:
    """The objective of a language model whose teacher reads every batch beside it.

    In eval mode the loss is that of the texts alone, so that perplexity is what it is elsewhere and validation costs
    no second model. Raises `ModelError` where the teacher has another tokenizer.
    """
    folder = facts.folders[TEACHER]
    _same_tokens(folder, facts)
    plain = causal.make(CausalObjective(learn=config.learn), facts)

    @functools.cache
    def teacher(device: torch.device) -> Any:
        return _load(folder, "ForCausalLM", "LMHeadModel").to(device)

    def outcome(model: Any, batch: Batch) -> Outcome:
        if not model.training:
            return plain.outcome(model, batch)
        device = device_of(model)
        targets = to_device(batch.targets, device)
        wanted = targets != NO_TARGET
        truth = targets[wanted]

        def loss(ours: torch.Tensor, theirs: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
            """The sum over M targets."""
            # A family's larger models may have a wider output than there are tokens.
            width = min(ours.shape[-1], theirs.shape[-1])
            hard = F.cross_entropy(ours, truth, reduction="sum")
            soft = divergence(ours[:, :width], theirs[:, :width], config.temperature).sum()
            return (1.0 - config.teacher_weight) * hard + config.teacher_weight * soft

        if chunked.applies(model, batch) and chunked.applies(teacher(device), batch):
            student = chunked.states(model, batch)
            with torch.no_grad():
                told = chunked.states(teacher(device), batch)
                theirs = told.hidden[wanted]
            total = chunked.sum_of(
                student, wanted, lambda ours, part: loss(ours, told.logits(theirs[part]), truth[part])
            )
        else:
            ours = forward(model, batch, causal=True, use_cache=False).logits[wanted].float()
            with torch.no_grad():
                theirs = forward(teacher(device), batch, causal=True, use_cache=False).logits[wanted].float()
            total = loss(ours, theirs, truth)
        return Outcome(loss=total / len(truth), weight=plain.weight(batch), predicted=torch.empty(0, dtype=torch.int64))

    return replace(plain, outcome=outcome)


def divergence(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """T^2 KL(teacher || student) of logits [M, K] at a temperature T, for each row [M].

    T^2 keeps the gradient of one size whatever T is: the end of the paper's section 2.
    """
    ours = torch.log_softmax(student / temperature, dim=-1)
    theirs = torch.log_softmax(teacher / temperature, dim=-1)
    return temperature**2 * F.kl_div(ours, theirs, reduction="none", log_target=True).sum(dim=-1)


def teacher_logits(
    folder: Path, asked: Sequence[Question], labels: Sequence[str], device: torch.device, track: Track
) -> np.ndarray:
    """What the classifier in `folder` says of N questions: logits float32 [N, K], columns in the order of `labels`.

    The teacher reads with its own tokenizer. Raises `ModelError` where it has other classes, or was trained to be asked
    something else than these questions.
    """
    _same_questions(folder, asked)
    teacher = _load(folder, "ForSequenceClassification").to(device)
    names = [teacher.config.id2label[number] for number in range(teacher.config.num_labels)]
    if sorted(names) != sorted(labels):
        raise ModelError(
            f"The teacher {folder.name!r} has the classes {', '.join(sorted(names))}; the corpus has "
            f"{', '.join(sorted(labels))}. Train the teacher on the same labels, or merge them with data.labels."
        )
    order = [names.index(label) for label in labels]
    tokenizer = load_tokenizer(folder)
    config = read_config(folder)
    encoded = encode_asked(tokenizer, *spellable(asked), positions_of(config))
    typed = knows_two_segments(config) and len(encoded.second) > 0
    read = Examples.from_rows(encoded.rows, columns={SECOND: encoded.second} if typed else {})
    found = np.zeros((len(asked), len(labels)), dtype=np.float32)
    batches = list(by_length(read.lengths, BatchSize(samples=_TEXTS_AT_ONCE)))
    for indices in track(batches, "asking the teacher"):
        logits = forward(teacher, read.batch(indices, pad_id(tokenizer))).logits
        found[indices] = logits.float().cpu().numpy()[:, order]
    return found


def _same_questions(folder: Path, asked: Sequence[Question]) -> None:
    """What a checkpoint of Danlu's takes is known; of another model it is not.

    Cells beside a text may stay unsaid to a teacher that reads texts, but one that reads cells too cannot be asked.
    """
    told = folder / "danlu.json"
    if not told.is_file():
        return
    takes = read_takes(json.loads(told.read_text(encoding="utf-8")).get("takes"))
    paired = any(as_asked(one).pair is not None for one in asked)
    if takes.pair != paired or takes.columns:
        rows = "two texts together (data.pair)" if paired else "one text each"
        raise ModelError(
            f"The teacher {folder.name!r} was trained to be asked {takes.words()}; it would be asked {rows} here, and "
            "its answers would be noise. Take a teacher that was trained on the like of this corpus."
        )


def _load(folder: Path, *heads: str) -> Any:
    """The teacher, frozen. Raises `ModelError` for a model of another kind."""
    check_base(folder)
    teacher = load_checkpoint(folder)
    if not type(teacher).__name__.endswith(heads):
        raise ModelError(
            f"The teacher {folder.name!r} is a {type(teacher).__name__}; expected one that ends in {heads[0]}: a "
            "teacher must be trained for the task of its student."
        )
    return teacher.requires_grad_(requires_grad=False)


def _same_tokens(folder: Path, facts: Facts) -> None:
    theirs, ours = load_tokenizer(folder).get_vocab(), facts.tokenizer.get_vocab()
    if theirs != ours:
        differing = sum(ours.get(token) != number for token, number in theirs.items())
        raise ModelError(
            f"The teacher {folder.name!r} has another tokenizer than the model: {len(theirs):,} and {len(ours):,} "
            f"tokens, {differing:,} of them not the same. Their probabilities cannot be compared token by token. Take "
            "a base of the teacher's family, or model.scratch, which takes the teacher's tokenizer."
        )
