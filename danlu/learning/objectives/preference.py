"""Of two answers the better one: direct preference optimisation (DPO, Rafailov et al. 2023, arXiv:2305.18290).

B pairs in a batch, R = 2 B rows (the chosen answers, then the rejected ones), T tokens of the longest row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from danlu.core.errors import DataError
from danlu.learning import chunked
from danlu.learning.batching import NO_TARGET, Batch, BatchSize, Examples, by_length
from danlu.learning.chat import Turn
from danlu.learning.objectives.base import Facts, Objective, Outcome, Rows, Track, device_of, forward, to_device
from danlu.learning.objectives.config import PreferenceObjective
from danlu.learning.objectives.turns import Cuts, chat_of, fit, turns_of
from danlu.learning.text import pad_id

CHOSEN, REJECTED = "reference_chosen", "reference_rejected"

#: Pairs that are scored at once before the first step.
_PAIRS_AT_ONCE = 16


def make(config: PreferenceObjective, facts: Facts) -> Objective:
    """The objective of a language model that is to prefer the chosen answers."""

    def lengths(rows: Rows) -> list[int]:
        return [max(chat_of(facts).count(facts.tokenizer, turns) for turns in both) for _, both in pairs(rows)]

    def prepare(model: Any, rows: Rows, examples: Examples, track: Track) -> dict[str, np.ndarray]:
        """What the starting weights think of the answers: log-probabilities [N] of the chosen and the rejected ones."""
        del rows
        columns = {name: np.zeros(len(examples), dtype=np.float32) for name in (CHOSEN, REJECTED)}
        batches = list(by_length(examples.lengths, BatchSize(samples=_PAIRS_AT_ONCE)))
        for indices in track(batches, "reading the answers with the starting weights"):
            batch = examples.batch(indices, pad_id(facts.tokenizer))
            sums, counts = log_probabilities(model, batch)
            scores = (sums / counts if config.length_normalised else sums).cpu().numpy()
            columns[CHOSEN][indices], columns[REJECTED][indices] = scores.reshape(2, -1)
        return columns

    def outcome(model: Any, batch: Batch) -> Outcome:
        """The loss, and as `predicted` [B] whether each pair is the right way round."""
        sums, counts = log_probabilities(model, batch)
        chosen, rejected = (sums / counts if config.length_normalised else sums).view(2, -1)
        reference = [to_device(batch.columns[name], chosen.device) for name in (CHOSEN, REJECTED)]
        margins = config.beta * ((chosen - reference[0]) - (rejected - reference[1]))
        found = losses(margins, config.label_smoothing)
        if config.answer_weight:
            found = found - config.answer_weight * (sums / counts)[: len(batch)]
        return Outcome(
            loss=found.mean(),
            weight=float(len(batch)),
            predicted=(margins > 0).long(),
        )

    return Objective(
        lengths=lengths,
        examples=lambda rows, max_length: examples(facts, rows, max_length),
        weight=lambda batch: float(len(batch)),
        outcome=outcome,
        # Not the share of pairs that are the right way round: it is soon 1, and would keep the first such checkpoint.
        score=lambda loss, _truth, _predicted: loss,
        metric="preference_loss",
        higher_is_better=False,
        prepare=prepare,
    )


def losses(margins: torch.Tensor, smoothing: float) -> torch.Tensor:
    """-log sigmoid of each margin [B]: equation 7 of the paper.

    With `smoothing` e, (1 - e) of that and e of the pair the other way round: "conservative DPO", Mitchell 2023, "A
    note on DPO with noisy preferences".
    """
    return -(1.0 - smoothing) * F.logsigmoid(margins) - smoothing * F.logsigmoid(-margins)


def log_probabilities(model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Logarithm of p(answer | question) of each row [R], and how many tokens [R] the answer has.

    Their quotient in place of the first is the length-normalised DPO of Lambert et al. 2024 (arXiv:2411.15124).
    """
    targets = to_device(batch.targets, device_of(model))
    if chunked.applies(model, batch):
        losses = chunked.token_losses(chunked.states(model, batch), targets)
    else:
        logits = forward(model, batch, causal=True, use_cache=False).logits.flatten(0, 1).float()
        losses = F.cross_entropy(logits, targets.flatten(), ignore_index=NO_TARGET, reduction="none")
    sums = -losses.view(targets.shape).sum(dim=1)
    return sums, (targets != NO_TARGET).sum(dim=1)


def pairs(rows: Rows) -> list[tuple[int, list[list[Turn]]]]:
    """For each row that has two different answers its number, and the conversation with either; the last turn counts.

    Raises `DataError` where there are none.
    """
    found = []
    rejected: Sequence[str | None] = rows.get("rejected") or [None] * len(rows["text"])
    for number, (turns, worse) in enumerate(zip(turns_of(rows), rejected, strict=True)):
        if turns is None or not worse or worse == turns[-1].text:
            continue
        before = [replace(turn, learn=False) for turn in turns[:-1]]
        answers = [replace(turns[-1], text=text, learn=True) for text in (turns[-1].text, worse)]
        found.append((number, [[*before, answer] for answer in answers]))
    if not found:
        raise DataError(
            "No row has two answers to choose between. train.objective.kind preference learns from rows with a prompt, "
            "a chosen and a rejected answer; for plain conversations take kind: causal."
        )
    return found


def examples(facts: Facts, rows: Rows, max_length: int) -> Examples:
    """Two rows a pair, of which the answers are learned; both begin alike."""
    cuts = Cuts()
    found = pairs(rows)
    if len(found) < len(rows["text"]):
        facts.warn(f"{len(rows['text']) - len(found):,} of {len(rows['text']):,} rows have no two different answers.")
    written = [(number, fit(chat_of(facts), facts.tokenizer, both, max_length, cuts)) for number, both in found]
    kept = [(number, both) for number, both in written if both]
    cuts.tell(facts.warn, max_length, kept=len(kept))
    return Examples.from_rows(
        [answer.ids for _, both in kept for answer in both],
        learned=[answer.learned for _, both in kept for answer in both],
        origin=np.array([number for number, _ in kept], dtype=np.int64),
        group=2,
    )
