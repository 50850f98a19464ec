"""Equal texts that were given different answers, target by target: one target in dispute does not cost the others.

Rows with equal texts share what is known of them: of two rows that each know one target, both know both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from danlu.core.heads import targets_in
from danlu.data.keys import Keys
from danlu.sources.targets import told_targets


def _alone(votes: Mapping[str, int]) -> str | None:
    return next(iter(votes)) if len(votes) == 1 else None


def _clear(votes: Mapping[str, int]) -> str | None:
    most = max(votes.values())
    winners = [value for value, count in votes.items() if count == most]
    return winners[0] if len(winners) == 1 else None


#: What `data.label_conflicts` takes for the value of a target that some rows have; None: none. Without a row here each
#: row keeps its own.
_AGREED: dict[str, Callable[[Mapping[str, int]], str | None]] = {"drop": _alone, "majority": _clear}


@dataclass(frozen=True, kw_only=True)
class Agreed:
    """What equal texts are to be answered with, empty for nothing, and which targets were in dispute."""

    kept: str
    disputed: tuple[str, ...]


def agreed(votes: Mapping[str, int], policy: str) -> Agreed:
    """What the rows with one text come to, of which so many have each answer."""
    by_target: dict[str, Counter[str]] = {}
    values: dict[tuple[str, str], Any] = {}
    for kept, count in votes.items():
        for name, value in targets_in([kept])[0].items():
            told = told_targets({name: value})
            by_target.setdefault(name, Counter())[told] += count
            values[name, told] = value
    found = {name: _AGREED[policy](counts) for name, counts in by_target.items()}
    return Agreed(
        kept=told_targets({name: values[name, told] for name, told in found.items() if told is not None}),
        disputed=tuple(sorted(name for name, counts in by_target.items() if len(counts) > 1)),
    )


def kept_of(votes: Mapping[str, int], policy: str) -> list[tuple[str, int]]:
    """The answers that stay of the rows with one text, and of how many rows each."""
    if policy not in _AGREED:
        return list(votes.items())
    kept = agreed(votes, policy).kept
    return [(kept, sum(votes.values()))] if kept else []


def settled(keys: Keys, policy: str) -> tuple[Keys, list[str]]:
    """`keys` with one answer for each text, and what is to be said of targets in dispute.

    An answer of which nothing is left is empty: such rows are of no use. With the policy keep all stays as it is.
    """
    if policy not in _AGREED or not keys.texts:
        return keys, []
    count = len(keys.labels)
    pairs, votes = np.unique(keys.text * count + keys.label, return_counts=True)
    by_text: dict[int, dict[str, int]] = {}
    for pair, rows in zip(pairs.tolist(), votes.tolist(), strict=True):
        by_text.setdefault(pair // count, {})[keys.labels[pair % count]] = rows
    found = {text: answers if len(answers) == 1 else agreed(answers, policy) for text, answers in by_text.items()}
    disputes: Counter[str] = Counter()
    of_text = [""] * keys.texts
    for text, answer in found.items():
        if isinstance(answer, Agreed):
            of_text[text] = answer.kept
            disputes.update(answer.disputed)
        else:
            of_text[text] = next(iter(answer))
    labels = sorted(set(of_text))
    number = {label: place for place, label in enumerate(labels)}
    of_number = np.array([number[label] for label in of_text], dtype=np.int64)
    warnings = [
        f"{texts:,} {'text has' if texts == 1 else 'texts have'} different values of the target {name}, each in rows "
        f"of their own (data.label_conflicts: {policy})."
        for name, texts in sorted(disputes.items())
    ]
    return replace(keys, label=of_number[keys.text], labels=tuple(labels)), warnings
