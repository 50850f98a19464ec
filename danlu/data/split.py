"""Train, validation and test: no linked rows on two sides, each label by itself, fixed by hash or by time.

Rows are considered in the order of their `place` (for a split by time, of their time). A row is linked to an earlier
one if they have the same text, nearly the same text, the same subject, the same conversation, or one is augmented from
the other.

- Linked to no earlier row: it founds a group, whose side a hash of its content and the seed decides (`Founding`).
- Linked to earlier rows on one side: it joins them.
- Linked to earlier rows on different sides: it is rejected as `bridges_split`, and links nothing.

What is decided on a row depends on earlier ones alone, so rows that are added after all others never move one. Rows
that are added elsewhere may (at the end of a source that others follow, say, or with an early date in a split by time);
`Pinned` fixes what an earlier corpus decided. Cuts by share move when rows are added; dates do not. With folds, a side
is a part and a fold, so that rows which join two folds are rejected too. Parts only approximate their shares: a group
is drawn as a whole, so that the number of groups in a part is binomial, and the number of rows spreads the more the
larger groups are.

In a split by time a row's own time gives its side, and the later of two linked rows loses: it is what the model will
have seen before, so to test on it would flatter the score, while training data is left as it would have been at
the cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from danlu.core.errors import DataError
from danlu.data.config import SplitConfig, seconds_of
from danlu.data.linked import Flags, Integers, Linked, contracted, find
from danlu.data.sides import NONE, TEST, TRAIN, VALIDATION, Candidates, Hashes, Members, Shares, Small, decide, scramble
from danlu.data.times import NO_TIME

__all__ = ["PARTS", "REASONS", "TEST", "TRAIN", "VALIDATION", "Assignment", "Pinned", "SplitRows", "assign", "families"]

PARTS = ("train", "validation", "test")

BRIDGES_SPLIT = "bridges_split"
NO_TIME_READ = "no_time"

#: Why a row is on no side, by the numbers in `Assignment.reason`.
REASONS = ("", BRIDGES_SPLIT, NO_TIME_READ)

#: More than this share of the rows lost to `bridges_split` deserves a word.
_MANY_REJECTED = 0.02


@dataclass(frozen=True, kw_only=True)
class SplitRows:
    """Arrays over the rows [R] that are to be split; numbers count from 0, and -1 stands for none.

    `place` orders rows as they came, each once. `content` is a hash of the text, `text` the number of the distinct
    text, `label` of the label (0 without labels), or of a set of labels; `members` then are the labels in each set, at
    least one. `links` [P, 2] are numbers of nearly equal texts, `equal` [P] marks
    those with equal shingles (see `danlu.data.keys.Links`); texts that no row has may be among them. `family` is the
    same for a row and all that was augmented from it, `prompt` for rows of instruction data with the same question.
    `sides` [R, 2] are the texts of a pair, nearly equal ones with one number: rows that share one, on either side, are
    linked.
    `time` is in seconds since 1970, `NO_TIME` where unknown.
    """

    place: Integers
    content: Hashes
    text: Integers
    label: Integers
    links: Integers | None = None
    equal: Flags | None = None
    subject: Integers | None = None
    conversation: Integers | None = None
    family: Integers | None = None
    prompt: Integers | None = None
    sides: Integers | None = None
    time: Integers | None = None
    members: Members | None = None

    def __post_init__(self) -> None:
        for name in ("content", "text", "label", "subject", "conversation", "family", "prompt", "sides", "time"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.place):
                raise ValueError(f"{name} has {len(values):,} values for {len(self.place):,} rows.")


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """The rows [C] of an earlier corpus and the `parts` they are in, whether they are among the new rows or not.

    `subjects`, `conversations`, `families` and `sides` [C, 2] are numbered as in the `SplitRows` that this is used
    with, as far as both have them. A row is taken for an earlier one when its content and these (but `sides`) are the
    same. With folds, `folds` are those of the earlier corpus (-1 in test), which must have had as many.
    """

    contents: Hashes
    parts: Small
    folds: Small | None = None
    subjects: Integers | None = None
    conversations: Integers | None = None
    families: Integers | None = None
    sides: Integers | None = None


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What was decided on each row [R].

    `part` is 0 train, 1 validation, 2 test, -1 rejected; `fold` counts from 0 in train and validation, -1 elsewhere;
    `group` is the number of the first of the rows it is linked to, directly or not, -1 for rejected rows; `reason`
    indexes `REASONS`. `cuts` are the times (seconds since 1970) from which rows are for validation and for test, in a
    split by time. `warnings` are for people.
    """

    part: Small
    fold: Small
    group: Integers
    reason: Small
    cuts: tuple[int, int] | None = None
    warnings: tuple[str, ...] = ()


def assign(rows: SplitRows, config: SplitConfig, seed: int, pinned: Pinned | None = None) -> Assignment:
    """The part, fold and group of each of `rows`.

    The result is the same for the same rows in any order and however texts, labels, subjects and so on are numbered.
    Takes about 100 bytes of memory a row beside `rows`, and up to 250 where every row has links of several kinds or
    there is an earlier corpus. Only where links join rows that would go different ways is it a loop in Python.

    Raises `DataError` when a part or fold would be empty, and when times or folds are needed that are not there.
    """
    shares = Shares(validation=config.validation, test=config.test, folds=config.folds or 0, seed=seed)
    count = len(rows.place)
    every, own, fixed = _with_earlier(rows, pinned, shares) if pinned is not None else _without_earlier(rows)
    cuts = None
    if config.by == "time":
        cuts = _cuts(rows, config)
        own = np.where(fixed, own, _parts_by_time(every, cuts)).astype(np.int8)
    order = _order(every, fixed, by_time=cuts is not None)
    if cuts is not None:
        order = order[own[order] >= 0]
    keys, pairs = _keys(every, config, order)
    linked, first = find(keys, pairs)
    candidates = Candidates(
        own=own[order],
        pinned=fixed[order],
        first=first,
        label=every.label[order],
        content=every.content[order],
        members=rows.members,
    )
    side, one_by_one = decide(candidates, linked, shares)
    part, fold = np.full((2, len(own)), NONE, dtype=np.int8)
    part[order], fold[order] = shares.part_and_fold(side)
    group = np.full(len(own), NONE, dtype=np.int64)
    group[order] = _groups(side, linked, one_by_one, order, count)
    reason = np.full(len(own), REASONS.index(NO_TIME_READ), dtype=np.int8)
    reason[order] = np.where(side < 0, REASONS.index(BRIDGES_SPLIT), 0)
    result = Assignment(part=part[:count], fold=fold[:count], group=group[:count], reason=reason[:count], cuts=cuts)
    _check(result, rows, config)
    return replace(result, warnings=tuple(_warnings(result, rows, config)))


def families(ids: Sequence[str], parents: Sequence[str | None]) -> Integers:
    """`SplitRows.family` of rows [R] by their ids and the ids of the rows they were augmented from.

    A parent may itself be augmented, and need not be among the rows: its children still belong together.
    """
    parent_of = {child: parent for child, parent in zip(ids, parents, strict=True) if parent}
    numbers: dict[str, int] = {}
    for child in parent_of:
        root, seen = child, {child}
        while (above := parent_of.get(root)) is not None and above not in seen:
            root = above
            seen.add(root)
        numbers.setdefault(root, len(numbers))
        parent_of[child] = root
    return np.array([numbers.get(parent_of.get(own, own), NONE) for own in ids], dtype=np.int64)


def _without_earlier(rows: SplitRows) -> tuple[SplitRows, Small, Flags]:
    count = len(rows.place)
    return rows, np.full(count, NONE, dtype=np.int8), np.zeros(count, dtype=bool)


def _with_earlier(rows: SplitRows, pinned: Pinned, shares: Shares) -> tuple[SplitRows, Small, Flags]:
    """The rows, and behind them those of the earlier corpus that are no longer here; sides; which are earlier rows.

    Rows that are gone still decide on those that share a text, a subject or a conversation with them.
    """
    sides = _earlier_sides(pinned, shares)
    shared = [
        (name, mine, earlier)
        for name, mine, earlier in (
            ("subject", rows.subject, pinned.subjects),
            ("conversation", rows.conversation, pinned.conversations),
            ("family", rows.family, pinned.families),
        )
        if mine is not None and earlier is not None
    ]
    here = _identity(rows.content, [mine for _, mine, _ in shared])
    there = _identity(pinned.contents, [earlier for _, _, earlier in shared])
    found = _found_in(there, here)
    gone = _found_in(here, there) < 0
    number = int(gone.sum())
    text = _found_in(rows.content, pinned.contents[gone])
    links = np.zeros(0, dtype=np.int64) if rows.links is None else rows.links
    fresh = 1 + max(int(rows.text.max(initial=NONE)), int(links.max(initial=NONE))) + np.arange(number)
    more: dict[str, Integers] = {
        "place": np.zeros(number, dtype=np.int64),
        "text": np.where(text >= 0, rows.text[text], fresh),
        "label": np.full(number, NONE),
        "time": np.full(number, NO_TIME),
        **{name: np.full(number, NONE) for name in ("subject", "conversation", "family", "prompt")},
        "sides": np.full((number, 2), NONE) if pinned.sides is None else pinned.sides[gone],
        **{name: earlier[gone] for name, _, earlier in shared},
    }
    longer: dict[str, Any] = {
        name: np.concatenate([getattr(rows, name), values])
        for name, values in more.items()
        if getattr(rows, name) is not None
    }
    return (
        replace(rows, content=np.concatenate([rows.content, pinned.contents[gone]]), **longer),
        np.concatenate([np.where(found >= 0, sides[found], NONE).astype(np.int8), sides[gone]]),
        np.concatenate([found >= 0, np.ones(number, dtype=bool)]),
    )


def _identity(contents: Hashes, shared: list[Integers]) -> Hashes:
    """A hash of what tells one row from another."""
    result = contents
    for stream, values in enumerate(shared):
        result = scramble(result, 0, stream) ^ values.astype(np.uint64)
    return result


def _found_in(known: Hashes, wanted: Hashes) -> Integers:
    """Where in `known` each of `wanted` is, the first of several; -1 where it is not."""
    if not len(known):
        return np.full(len(wanted), NONE, dtype=np.int64)
    ranking = np.argsort(known, kind="stable")
    place = ranking[np.minimum(np.searchsorted(known, wanted, sorter=ranking), len(known) - 1)]
    return np.where(known[place] == wanted, place, NONE)


def _earlier_sides(pinned: Pinned, shares: Shares) -> Small:
    parts, folds = pinned.parts, pinned.folds
    if not shares.folds:
        return shares.side(parts, parts * np.int8(0))
    if folds is None or ((folds < 0) != (parts == TEST)).any() or int(folds.max(initial=NONE)) + 1 != shares.folds:
        raise DataError(
            f"data.split.folds is {shares.folds}, but the earlier corpus that data.extends names was not made with "
            "that many folds, so that its rows would change sides. Set data.split.folds as it was there, or leave it "
            "out."
        )
    return shares.side(parts, folds)


def _cuts(rows: SplitRows, config: SplitConfig) -> tuple[int, int]:
    """The times from which rows are for validation and for test: those of the recipe, or by the shares."""
    if rows.time is None:
        raise DataError(
            "data.split.by is time, but the rows have none. Name the column with the time in data.time, or set "
            "data.split.by: hash."
        )
    if config.validation_from is not None and config.test_from is not None:
        return seconds_of(config.validation_from), seconds_of(config.test_from)
    times = np.sort(rows.time[rows.time != NO_TIME])
    if not len(times):
        raise DataError("data.split.by is time, but no row has a time that can be read. See data.time.")
    last = len(times) - 1
    held_out = (config.validation + config.test, config.test)
    validation_from, test_from = (int(times[min(last, round(len(times) * (1 - share)))]) for share in held_out)
    return validation_from, test_from


def _parts_by_time(rows: SplitRows, cuts: tuple[int, int]) -> Small:
    """The part by the time of each row; -1 where that is not known."""
    assert rows.time is not None
    part = np.searchsorted(np.array(cuts), rows.time, side="right")
    return np.where(rows.time == NO_TIME, NONE, part).astype(np.int8)


def _order(rows: SplitRows, fixed: Flags, *, by_time: bool) -> Integers:
    """The order in which rows are considered: those of the earlier corpus, then by time if asked, then by place."""
    if by_time and rows.time is not None:
        return np.lexsort((rows.content, rows.place, rows.time, ~fixed))
    if not fixed.any() and (np.diff(rows.place) > 0).all():
        return np.arange(len(rows.place))
    return np.lexsort((rows.content, rows.place, ~fixed))


def _keys(rows: SplitRows, config: SplitConfig, order: Integers) -> tuple[list[Integers], Integers]:
    """What rows share, as `find` takes it, in `order`."""
    links = np.zeros((0, 2), dtype=np.int64) if rows.links is None else rows.links
    texts = max(int(rows.text.max(initial=-1)), int(links.max(initial=-1))) + 1
    key, pairs = contracted(links, rows.equal, texts)
    keys = [key[rows.text[order]]]
    chosen = {"subject": rows.subject, "conversation": rows.conversation, "prompt": rows.prompt}
    shared = [*(chosen[name] for name in config.keep_together), rows.family, rows.sides]
    keys += [values[order] for values in shared if values is not None]
    return keys, pairs


def _groups(side: Small, linked: Linked, one_by_one: Flags, order: Integers, count: int) -> Integers:
    """The first row of the group of each row in `order`, by its number; only the first `count` are real rows."""
    group = np.where(side < 0, NONE, order)
    by_row = one_by_one[linked.component]
    rejoined = linked.only(by_row & (side[linked.rows] >= 0))
    for members, component in (
        (linked.rows[~by_row], linked.component[~by_row]),
        (rejoined.rows, rejoined.component),
    ):
        numbers = order[members]
        real = numbers < count
        first = np.full(int(component.max(initial=-1)) + 1, NONE, dtype=np.int64)
        # Of several values for one place the last one stays: the earliest row.
        first[component[real][::-1]] = numbers[real][::-1]
        group[members] = first[component]
    return group


def _check(result: Assignment, rows: SplitRows, config: SplitConfig) -> None:
    """Raise `DataError` when a part or a fold has no rows."""
    wanted = [(name, result.part == number) for number, name in enumerate(PARTS)]
    wanted += [(f"fold {number}", result.fold == number) for number in range(config.folds or 0)]
    for name, inside in wanted:
        if inside.any():
            continue
        kept = result.group[result.part >= 0]
        rejected = int((result.part < 0).sum())
        told = (
            f"The data cannot be split: nothing is left for {name}. {len(np.unique(kept))} groups of different texts "
            f"with {len(np.unique(rows.label))} labels came"
            + (f", and {rejected:,} rows that join different parts were rejected" if rejected else "")
        )
        raise DataError(f"{told}; {_ADVICE[config.by]}")


_ADVICE = {
    "hash": "give at least three different texts for each label.",
    "time": "choose other dates in data.split.validation_from and data.split.test_from, or set data.split.by: hash.",
}


def _warnings(result: Assignment, rows: SplitRows, config: SplitConfig) -> list[str]:
    """What people should look at."""
    total = len(rows.place)
    train = 1 - config.validation - config.test
    warnings = []
    subject = rows.subject if "subject" in config.keep_together else None
    most = 0 if subject is None else int(np.bincount(subject[subject >= 0], minlength=1).max())
    kept = result.group[result.part >= 0]
    largest = int(np.bincount(kept, minlength=1).max())
    if most > train * total:
        warnings.append(
            f"One subject has {most:,} of {total:,} rows ({most / total:.0%}), more than the share of train; all of "
            "them are on one side, so the parts cannot have their shares. If the model will serve the same subjects, "
            "leave subject out of data.split.keep_together."
        )
    elif largest > train * total:
        warnings.append(
            f"One group of linked rows (near duplicates, one subject or conversation) has {largest:,} of {total:,} "
            f"rows ({largest / total:.0%}), more than the share of train; the parts cannot have their shares."
        )
    rejected = int((result.reason == REASONS.index(BRIDGES_SPLIT)).sum())
    if rejected > _MANY_REJECTED * total:
        warnings.append(
            f"{rejected:,} of {total:,} rows ({rejected / total:.1%}) are linked to rows of different parts and were "
            f"rejected ({BRIDGES_SPLIT})" + _LOSERS[config.by]
        )
    return warnings


_LOSERS = {
    "hash": ".",
    "time": ": they repeat a text, subject or conversation from before the cut, so that a score on them would flatter. "
    "If the model will serve the same subjects, leave subject out of data.split.keep_together.",
}
