"""Which cleaned rows stay: reason by reason, the others go.

Rows are numbers here. `reasons` [N] has for each row the number of its reason to go among `REASON_NAMES`, 0 while it
stays; `parts` [N] its part, -1 when it goes. Both are changed in place, and the card counts what a step did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from danlu.core.context import Context
from danlu.core.lazy import load_attribute
from danlu.data.balance.config import BalanceConfig
from danlu.data.balance.rows import undersample
from danlu.data.card import Card, mix_warnings
from danlu.data.checks import LEAST_ROWS, check_rows
from danlu.data.config import CorpusConfig
from danlu.data.filters.config import OutlierFilter
from danlu.data.keys import (
    EXACT_DUPLICATE,
    LABEL_CONFLICT,
    NEAR_DUPLICATE,
    NEAR_TEST,
    Flags,
    Integers,
    Keys,
    chosen_rows,
    without_conflicts,
)
from danlu.data.leaks import leaking_rows, texts_in
from danlu.data.mix.shares import plan_mix, uses
from danlu.data.sides import scramble
from danlu.data.split import PARTS, REASONS, TRAIN, Assignment

Reasons = npt.NDArray[np.int8]

OUTLIER = "outlier"
UNDERSAMPLED = "undersampled"
MIXED_OUT = "mixed_out"
#: A held-out row that a teacher has answered: it would show how well a student imitates, not how right it is.
TAUGHT = "taught"
#: A row that a teacher has answered although people answered the same text: theirs counts, and nobody votes on it.
OVERRULED = "overruled"

#: The streams of draws for the mix and for the rows that others are compared with; `sides` has those of the split.
MIX_STREAM = 7
OUTLIER_STREAM = 9

#: Why a row is dropped after all rows have been seen, and the step that does it.
STEP_OF = {
    OVERRULED: "overruled",
    LABEL_CONFLICT: "labels",
    EXACT_DUPLICATE: "exact_duplicates",
    NEAR_DUPLICATE: "near_duplicates",
    **dict.fromkeys(REASONS[1:], "split"),
    NEAR_TEST: "near_test",
    TAUGHT: "taught",
    OUTLIER: "outliers",
    UNDERSAMPLED: "balance",
    MIXED_OUT: "mix",
}
REASON_NAMES = ("", *STEP_OF)


def drop_copies(
    config: CorpusConfig, keys: Keys, clusters: Integers, card: Card, *, answered: bool, taught: Integers
) -> Reasons:
    """Drop rows whose answer contradicts that of an equal text, and copies; returns the reasons, 0 for who stays.

    `taught` are the places of the rows that a teacher has answered. They have no say where people answered the same
    text, and of copies one of a person's is kept.
    """
    reasons = np.zeros(len(keys.place), dtype=np.int8)
    cluster = clusters[keys.text]
    imitated = np.isin(keys.place, taught)
    if answered:
        if imitated.any():
            _drop(reasons, ~_beside_people(imitated, keys.text, reasons), OVERRULED, card)
        stays = without_conflicts(keys, config.label_conflicts, among=reasons == 0)
        # Of several targets nothing may be left that equal texts agree on.
        said = np.array([bool(one) for one in keys.labels], dtype=bool)[keys.label]
        _drop(reasons, stays & said, LABEL_CONFLICT, card)
    same = keys.text * max(1, len(keys.labels)) + keys.label
    may_stay = (reasons == 0) & ~_beside_people(imitated, same, reasons)
    _drop(reasons, chosen_rows(keys, may_stay, same, config.duplicates.keep), EXACT_DUPLICATE, card)
    exact = int((reasons == REASON_NAMES.index(EXACT_DUPLICATE)).sum())
    texts = np.unique(keys.text[reasons == 0])
    members = np.bincount(clusters[texts])
    if config.duplicates.drop_near:
        may_stay = (reasons == 0) & ~_beside_people(imitated, cluster, reasons)
        _drop(reasons, chosen_rows(keys, may_stay, cluster, config.duplicates.keep), NEAR_DUPLICATE, card)
    card.duplicates = {
        "exact_dropped": exact,
        "near_clusters": int((members > 1).sum()),
        "near_rows": int(members[members > 1].sum()),
        "threshold": config.duplicates.threshold if config.duplicates.near else None,
    }
    return reasons


def _beside_people(imitated: Flags, group: Integers, reasons: Reasons) -> Flags:
    """Which rows [N] are a teacher's, where a row of people's in the same `group` [N] stays."""
    if not imitated.any():
        return imitated
    return imitated & np.isin(group, group[~imitated & (reasons == 0)])


def _drop(reasons: Reasons, stays: Flags, reason: str, card: Card) -> None:
    gone = (reasons == 0) & ~stays
    reasons[gone] = REASON_NAMES.index(reason)
    card.funnel.step(STEP_OF[reason], Counter({reason: int(gone.sum())}))


def drop_bridges(sides: Assignment, reasons: Reasons, card: Card) -> Reasons:
    """Drop the rows that the split has no side for; returns the part of each row, -1 for one that goes."""
    for number, reason in enumerate(REASONS[1:], 1):
        if (sides.reason == number).any():
            _drop(reasons, sides.reason != number, reason, card)
    check_rows(int((reasons == 0).sum()), card.funnel)
    return np.where(reasons == 0, sides.part, -1).astype(np.int8)


def drop_taught(answered: Integers, keys: Keys, reasons: Reasons, parts: Reasons, card: Card) -> None:
    """Drop the held-out rows that a teacher has answered, where both held-out parts have enough of people's.

    `answered` are their places. Enough are `LEAST_ROWS`, or as many as the teacher's in that part. Otherwise they all
    stay, for a part of a few rows tells nothing; `held_out` in the card's entry says how many are whose.
    """
    taught = np.isin(keys.place, answered)
    held_out = taught & (parts > TRAIN)
    if not held_out.any():
        return
    whose = {
        PARTS[part]: {
            "people": int(((parts == part) & ~taught).sum()),
            "teacher": int(((parts == part) & taught).sum()),
        }
        for part in range(TRAIN + 1, len(PARTS))
    }
    if all(rows["people"] >= max(1, min(LEAST_ROWS, rows["teacher"])) for rows in whose.values()):
        _drop(reasons, ~held_out, TAUGHT, card)
        parts[held_out] = -1
        check_rows(int((reasons == 0).sum()), card.funnel)
        whose = {part: rows | {"teacher": 0} for part, rows in whose.items()}
    else:
        told = ", ".join(
            f"{rows['people']:,} of people and {rows['teacher']:,} of the teacher in {part}"
            for part, rows in whose.items()
        )
        card.warnings.append(
            f"Held-out rows have too few answers of people ({told}), so the teacher's stay: scores say how well a "
            f"student imitates its teacher, not how right it is. Have people answer more rows, at least {LEAST_ROWS} "
            "in each part."
        )
    card.teacher["held_out"] = whose


def drop_leaks(ctx: Context, config: CorpusConfig, clean: Path, reasons: Reasons, parts: Reasons, card: Card) -> None:
    """Drop the training rows that are nearly equal to a held-out one although no cluster joins them.

    Banding misses some pairs, and clusters know nothing of characters of full width.
    """
    with ctx.progress("looking for leaks", None, "texts") as bar:
        leaking = leaking_rows(clean, parts, config.duplicates.threshold, bar.advance)
    if leaking.any():
        _drop(reasons, ~leaking, NEAR_TEST, card)
        parts[leaking] = -1
        check_rows(int((reasons == 0).sum()), card.funnel)


def drop_outliers(
    config: OutlierFilter, folder: Path, seed: int, keys: Keys, reasons: Reasons, parts: Reasons, card: Card
) -> None:
    """Drop the training rows farthest from all others. Held-out ones stay: life is not filtered either."""
    rows = np.flatnonzero(parts == TRAIN)

    def texts() -> Iterator[tuple[Integers, list[str]]]:
        for found, some in texts_in([folder], parts == TRAIN):
            yield np.searchsorted(rows, found), some

    draws = scramble(keys.contents[keys.text[rows]], seed, OUTLIER_STREAM)
    far = np.zeros(len(parts), dtype=bool)
    text_outliers = load_attribute("danlu.data.filters.outliers:text_outliers")
    far[rows] = text_outliers(texts, keys.characters[rows], draws, config, seed)
    _drop(reasons, ~far, OUTLIER, card)
    parts[far] = -1


def leave_out(config: BalanceConfig, seed: int, keys: Keys, reasons: Reasons, parts: Reasons, card: Card) -> None:
    """Drop training rows of large classes; which ones is drawn by a hash of their content."""
    rows = np.flatnonzero(parts == TRAIN)
    contents = keys.contents[keys.text[rows]]
    gone = np.zeros(len(parts), dtype=bool)
    gone[rows] = True
    gone[rows[undersample(keys.label[rows], config.target, seed, keys=contents)]] = False
    _drop(reasons, ~gone, UNDERSAMPLED, card)
    parts[gone] = -1


def mix(config: CorpusConfig, keys: Keys, reasons: Reasons, parts: Reasons, card: Card) -> dict[str, int]:
    """Leave training rows out and say how often others come, by the shares of the sources; by content hash."""
    if config.mix is None:
        return {}
    assert keys.source is not None
    rows = np.flatnonzero(parts == TRAIN)
    units = keys.characters[rows] if config.mix.unit == "characters" else np.ones(len(rows), dtype=np.int64)
    source = keys.source[rows]
    sizes = np.bincount(source, weights=units, minlength=len(card.sources)).astype(np.int64)
    plan = plan_mix(config.mix, sizes)
    contents = keys.contents[keys.text[rows]]
    times = uses(plan, source, units, scramble(contents, config.seed, MIX_STREAM))
    names = [found["name"] for found in card.sources]
    brought, used = (np.bincount(source, weights=each, minlength=len(names)) for each in (times >= 0, times))
    card.warnings += mix_warnings(names, brought.astype(np.int64).tolist(), used.tolist())
    gone = np.zeros(len(parts), dtype=bool)
    gone[rows[times == 0]] = True
    _drop(reasons, ~gone, MIXED_OUT, card)
    parts[gone] = -1
    card.mix = {
        "unit": config.mix.unit,
        "sources": plan.told(names, sizes),
    }
    return {f"{content:016x}": int(count) for content, count in zip(contents.tolist(), times, strict=True) if count > 1}
