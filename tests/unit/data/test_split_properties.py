"""Random rows with random links: nothing straddles, nothing moves, and the result is what the rule says.

The reference below looks at rows one after the other and compares each with every earlier one; it shares with the real
code the table of what is asked for, and nothing else.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from danlu.core.errors import DataError
from danlu.data.config import SplitConfig
from danlu.data.split import PARTS, TEST, TRAIN, VALIDATION, Assignment, Pinned, SplitRows, assign

REJECTED = -1
WORD = 1 << 64
DAY = 86_400


@dataclass(frozen=True)
class Row:
    """A row as a person would write it down; -1 stands for none."""

    text: int
    label: int = 0
    subject: int = -1
    conversation: int = -1
    family: int = -1
    time: int = 0


@dataclass(frozen=True)
class Case:
    """Rows in order, pairs of nearly equal texts, and pairs whose shingles are equal.

    `sides`: the two texts that each of the first texts is made of, where it is a pair.
    """

    rows: tuple[Row, ...]
    near: tuple[tuple[int, int], ...] = ()
    equal: tuple[tuple[int, int], ...] = ()
    sides: tuple[tuple[int, int], ...] = ()

    def sides_of(self, text: int) -> tuple[int, int]:
        return self.sides[text] if text < len(self.sides) else (-1, -1)

    def classes(self) -> dict[int, int]:
        """Texts of equal shingles, as the smallest of them."""
        own = {row.text: row.text for row in self.rows} | {text: text for pair in self.equal for text in pair}
        for _ in own:
            for one, two in self.equal:
                own[one] = own[two] = min(own[one], own[two])
        return own

    def linked(self) -> list[set[int]]:
        """For each row the earlier ones that it is linked to."""
        own = self.classes()
        pairs = {frozenset((own.get(one, one), own.get(two, two))) for one, two in self.near}

        def together(one: Row, two: Row) -> bool:
            return (
                own[one.text] == own[two.text]
                or frozenset((own[one.text], own[two.text])) in pairs
                or any(getattr(one, name) == getattr(two, name) >= 0 for name in ("subject", "conversation", "family"))
                or bool(({*self.sides_of(one.text)} & {*self.sides_of(two.text)}) - {-1})
            )

        return [
            {earlier for earlier in range(number) if together(self.rows[earlier], row)}
            for number, row in enumerate(self.rows)
        ]


def content(text: int) -> int:
    return int.from_bytes(hashlib.sha256(b"%d" % text).digest()[:8], "big")


def shuffled(value: int, seed: int, stream: int) -> int:
    """Splitmix64 in plain integers."""
    value ^= (seed * 0x9E3779B97F4A7C15 + stream * 0x8CB92BA72F3D8DD7 + 0xD1B54A32D192ED03) % WORD
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB % WORD
    return value ^ (value >> 31)


def reference(case: Case, config: SplitConfig, seed: int) -> list[tuple[int, int]]:
    """Part and fold of each row of a split by hash; (-1, -1) for a rejected row."""
    shares = {TRAIN: 1 - config.validation - config.test, VALIDATION: config.validation, TEST: config.test}
    opening = math.ceil(1 / min(config.validation, config.test))
    sides: list[tuple[int, int]] = []
    founded: dict[int, list[tuple[int, int]]] = {}
    for row, earlier in zip(case.rows, case.linked(), strict=True):
        found = {sides[number] for number in earlier} - {(REJECTED, -1)}
        if len(found) > 1:
            sides.append((REJECTED, -1))
        elif found:
            sides.append(found.pop())
        else:
            groups = founded.setdefault(row.label, [])
            part = hashed_part(row.text, config, seed)
            draw = shuffled(content(row.text), seed, 2)
            parts = [part for part, _ in groups]
            if len(groups) < opening:
                missing = [part for part in (VALIDATION, TEST) if part not in parts]
                if TRAIN not in parts:
                    part = TRAIN
                elif missing:
                    part = missing[draw % len(missing)]
                else:
                    lacking = {part: shares[part] * (len(groups) + 1) - parts.count(part) for part in shares}
                    part = max(lacking, key=lambda part: lacking[part])
            fold = -1
            if config.folds and part != TEST:
                fold = (shuffled(content(row.text), seed, 1) >> 32) * config.folds >> 32
                folds = [fold for _, fold in groups if fold >= 0]
                if len(folds) < config.folds:
                    free = [number for number in range(config.folds) if number not in folds]
                    fold = free[draw // 2 % len(free)]
            groups.append((part, fold))
            sides.append((part, fold))
    return sides


def hashed_part(text: int, config: SplitConfig, seed: int) -> int:
    draw = shuffled(content(text), seed, 0)
    if draw < int(config.test * WORD):
        return TEST
    return VALIDATION if draw < int((config.test + config.validation) * WORD) else TRAIN


def reference_by_time(case: Case, cuts: tuple[int, int]) -> list[int]:
    """Part of each row of a split by time; the earlier of two linked rows wins."""
    parts = [REJECTED] * len(case.rows)
    order = sorted(range(len(case.rows)), key=lambda number: (case.rows[number].time, number))
    links = case.linked()
    for place, number in enumerate(order):
        own = sum(case.rows[number].time >= cut for cut in cuts)
        met = {parts[other] for other in order[:place] if other in links[number] or number in links[other]} - {REJECTED}
        parts[number] = own if met <= {own} else REJECTED
    return parts


def arrays(case: Case, draw: Any = None, places: list[int] | None = None) -> SplitRows:
    """The case as arrays; with `draw`, in a random order of rows and with every number replaced by another."""
    links = [*case.near, *case.equal]
    order = list(range(len(case.rows)))

    def numbering(values: list[int]) -> dict[int, int]:
        known = sorted(set(values) - {-1})
        numbers = list(range(len(known)))
        if draw is not None:
            draw.shuffle(numbers)
        return dict(zip(known, numbers, strict=True)) | {-1: -1}

    text = numbering([row.text for row in case.rows] + [text for pair in links for text in pair])
    if draw is not None:
        draw.shuffle(order)
    rows = [case.rows[number] for number in order]

    def column(name: str) -> Any:
        numbers = numbering([getattr(row, name) for row in case.rows])
        return np.array([numbers[getattr(row, name)] for row in rows], dtype=np.int64)

    side = numbering([one for pair in case.sides for one in pair])
    return SplitRows(
        sides=np.array([[side[one] for one in case.sides_of(row.text)] for row in rows], dtype=np.int64).reshape(-1, 2),
        place=np.array([number if places is None else places[number] for number in order], dtype=np.int64),
        content=np.array([content(row.text) for row in rows], dtype=np.uint64),
        text=np.array([text[row.text] for row in rows], dtype=np.int64),
        label=column("label"),
        links=np.array([[text[one], text[two]] for one, two in links], dtype=np.int64).reshape(-1, 2),
        equal=np.array([number >= len(case.near) for number in range(len(links))], dtype=bool),
        subject=column("subject"),
        conversation=column("conversation"),
        family=column("family"),
        time=np.array([row.time for row in rows], dtype=np.int64),
    )


def in_order(values: Any, rows: SplitRows) -> list[int]:
    return list(np.asarray(values)[np.argsort(rows.place)].tolist())


def straddling(case: Case, sides: list[Any]) -> list[tuple[int, int]]:
    """Linked rows that were kept on different sides."""
    kept = {number for number, side in enumerate(sides) if side not in (REJECTED, (REJECTED, -1))}
    return [
        (number, other)
        for number, earlier in enumerate(case.linked())
        for other in earlier
        if {number, other} <= kept and sides[number] != sides[other]
    ]


def sides_of(result: Assignment, rows: SplitRows) -> list[tuple[int, int]]:
    return list(zip(in_order(result.part, rows), in_order(result.fold, rows), strict=True))


#: Rows without links that come first, so that no part is empty: what is tested is what comes after.
FILLER = tuple(Row(text=1_000 + number, time=number * 10 * DAY) for number in range(30))

texts = st.integers(0, 30)
# Few rows have more than a text in common, or everything would be one group.
sometimes = st.one_of(st.just(-1), st.just(-1), st.just(-1), st.integers(0, 9))
rarely = st.one_of(*[st.just(-1)] * 4, st.integers(0, 20))
row = st.builds(
    Row,
    text=texts,
    label=st.integers(0, 3),
    subject=sometimes,
    conversation=sometimes,
    family=sometimes,
    time=st.integers(0, 300).map(lambda day: day * DAY),
)
pair = st.tuples(texts, texts).filter(lambda pair: pair[0] != pair[1])
cases = st.builds(
    lambda rows, near, equal, sides: Case(
        rows=(*FILLER, *rows), near=tuple(near), equal=tuple(equal), sides=tuple(sides)
    ),
    st.lists(row, min_size=10, max_size=60),
    st.lists(pair, max_size=12),
    st.lists(pair, max_size=6),
    st.lists(st.tuples(rarely, rarely), max_size=31),
)
configs = st.builds(
    SplitConfig,
    validation=st.sampled_from([0.1, 0.2, 0.3]),
    test=st.sampled_from([0.1, 0.15, 0.25]),
    folds=st.sampled_from([None, 2, 7]),
)
dates = {"validation_from": "1970-04-01", "test_from": "1970-07-01"}
by_time = SplitConfig(by="time", **dates)
several = settings(max_examples=60, deadline=None)


@several
@given(cases, configs, st.integers(0, 99), st.randoms(use_true_random=False))
def test_it_is_what_the_rule_says_in_whatever_order_and_numbering(
    case: Case, config: SplitConfig, seed: int, draw: Any
) -> None:
    expected = reference(case, config, seed)
    for rows in (arrays(case), arrays(case, draw)):
        result = assign(rows, config, seed)
        assert sides_of(result, rows) == expected
        assert in_order(result.reason, rows) == [int(part == REJECTED) for part, _ in expected]
    assert not straddling(case, expected)


@several
@given(cases, configs, st.integers(0, 99))
def test_groups_are_what_links_join_among_kept_rows(case: Case, config: SplitConfig, seed: int) -> None:
    rows = arrays(case)
    result = assign(rows, config, seed)
    kept = set(np.flatnonzero(result.part >= 0).tolist())
    group = {number: number for number in kept}
    joined = [
        (number, other) for number, earlier in enumerate(case.linked()) for other in earlier if {number, other} <= kept
    ]
    changed = True
    while changed:
        earlier = dict(group)
        for number, other in joined:
            group[number] = group[other] = min(group[number], group[other])
        changed = group != earlier
    assert result.group.tolist() == [group.get(number, -1) for number in range(len(case.rows))]
    for members in (np.flatnonzero(result.group == number) for number in set(group.values())):
        assert len({(result.part[member], result.fold[member]) for member in members}) == 1


@several
@given(cases, configs, st.integers(0, 99), st.lists(row, max_size=30), st.lists(pair, max_size=10))
def test_rows_added_at_the_end_move_nothing(
    case: Case, config: SplitConfig, seed: int, more: list[Row], pairs: list[tuple[int, int]]
) -> None:
    # Two old texts are alike or not, whatever is added: a new link has an end that no old row has, nor one like it.
    own = case.classes()
    old = {own[row.text] for row in case.rows}
    new = [pair for pair in pairs if not {own.get(text, text) for text in pair} <= old]
    longer = replace(case, rows=(*case.rows, *more), near=(*case.near, *new))
    before, after = (assign(arrays(one), config, seed) for one in (case, longer))
    for name in ("part", "fold", "reason"):
        assert getattr(after, name)[: len(case.rows)].tolist() == getattr(before, name).tolist()


@several
@given(cases, configs, st.integers(0, 99), st.lists(st.tuples(st.integers(0, 90), row), max_size=30), st.data())
def test_rows_added_anywhere_move_nothing_of_an_earlier_corpus(
    case: Case, config: SplitConfig, seed: int, more: list[tuple[int, Row]], data: st.DataObject
) -> None:
    rows = arrays(case)
    before = assign(rows, config, seed)
    kept = before.part >= 0
    merged = [(number, order, row) for order, (number, row) in enumerate([*enumerate(case.rows)])]
    merged += [(number, -1, row) for number, row in more]
    merged.sort(key=lambda item: item[0])
    gone = data.draw(st.sets(st.integers(len(FILLER), len(case.rows)), max_size=5))
    merged = [item for item in merged if item[1] not in gone]
    longer = replace(case, rows=tuple(row for _, _, row in merged))
    # Without a replacement of numbers, arrays(...) gives equal numbers to equal values of one set of rows only.
    everything = arrays(replace(longer, rows=(*longer.rows, *case.rows)))
    size = len(longer.rows)
    columns = {
        name: None if (value := getattr(everything, name)) is None else value[:size]
        for name in ("place", "content", "text", "label", "subject", "conversation", "family", "sides", "time")
    }
    pinned = Pinned(
        contents=rows.content[kept],
        parts=before.part[kept],
        folds=before.fold[kept] if config.folds else None,
        subjects=everything.subject[size:][kept],  # type: ignore[index]
        conversations=everything.conversation[size:][kept],  # type: ignore[index]
        families=everything.family[size:][kept],  # type: ignore[index]
        sides=everything.sides[size:][kept],  # type: ignore[index]
    )
    after = assign(SplitRows(**columns, links=everything.links, equal=everything.equal), config, seed, pinned)
    sides = list(zip(after.part.tolist(), after.fold.tolist(), strict=True))
    for place, (_, order, _) in enumerate(merged):
        if order >= 0 and kept[order]:
            assert sides[place] == (before.part[order], before.fold[order])
    assert not straddling(longer, sides)
    # Nor is a new row on another side than an earlier row that is gone.
    for order in gone & set(np.flatnonzero(kept).tolist()):
        for place, (_, _, row) in enumerate(merged):
            shared = [name for name in ("text", "subject", "conversation", "family") if getattr(row, name) >= 0]
            same = any(getattr(row, name) == getattr(case.rows[order], name) for name in shared)
            same |= bool(({*case.sides_of(row.text)} & {*case.sides_of(case.rows[order].text)}) - {-1})
            if sides[place][0] >= 0 and same:
                assert sides[place] == (before.part[order], before.fold[order])


@several
@given(cases, st.randoms(use_true_random=False))
def test_by_time_nothing_straddles_and_the_past_is_for_training(case: Case, draw: Any) -> None:
    cuts = (90 * DAY, 181 * DAY)
    expected = reference_by_time(case, cuts)
    assume(set(expected) >= {TRAIN, VALIDATION, TEST})
    for rows in (arrays(case), arrays(case, draw)):
        result = assign(rows, by_time, 1)
        assert in_order(result.part, rows) == expected
        assert result.cuts == cuts
    assert not straddling(case, expected)


@settings(max_examples=40, deadline=None)
@given(st.lists(row, min_size=1, max_size=40), st.lists(pair, max_size=20), st.integers(0, 99))
def test_whatever_comes_is_split_or_refused_with_a_reason(
    rows: list[Row], near: list[tuple[int, int]], seed: int
) -> None:
    case, config = Case(rows=tuple(rows), near=tuple(near)), SplitConfig()
    expected = {part for part, _ in reference(case, config, seed)}
    missing = [name for number, name in enumerate(PARTS) if number not in expected]
    if missing:
        with pytest.raises(DataError, match=f"nothing is left for {missing[0]}"):
            assign(arrays(case), config, seed)
    else:
        assign(arrays(case), config, seed)


@settings(max_examples=10, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([0.05, 0.1, 0.2]),
    st.sampled_from([0.1, 0.3]),
    st.sampled_from([None, 5]),
    st.integers(1, 4),
)
def test_shares_hold_within_four_standard_deviations(
    seed: int, validation: float, test: float, folds: int | None, size: int
) -> None:
    groups = 20_000
    draw = np.random.default_rng(seed)
    subject = draw.permutation(np.repeat(np.arange(groups), size))
    rows = SplitRows(
        place=np.arange(len(subject)),
        content=draw.integers(0, WORD, len(subject), dtype=np.uint64),
        text=np.arange(len(subject)),
        label=draw.integers(0, 3, len(subject)),
        subject=subject,
    )
    result = assign(rows, SplitConfig(validation=validation, test=test, folds=folds), seed)
    founders = np.unique(result.group)
    assert len(founders) == groups
    for part, share in ((VALIDATION, validation), (TEST, test), (TRAIN, 1 - validation - test)):
        # Groups are independent draws; all are of one size here, so that shares of rows are those of groups.
        within = 4 * math.sqrt(share * (1 - share) / groups)
        assert abs((result.part[founders] == part).mean() - share) < within
        assert abs((result.part == part).mean() - share) < within
    trained = int((result.part[founders] != TEST).sum())
    for fold in range(folds or 0):
        share = 1 / (folds or 1)
        assert abs((result.fold[founders] == fold).sum() / trained - share) < 4 * math.sqrt(
            share * (1 - share) / trained
        )
