"""The rules of the split one by one; `test_split_properties` puts them together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from danlu.core.errors import DataError
from danlu.data.config import SplitConfig
from danlu.data.split import PARTS, REASONS, TEST, TRAIN, VALIDATION, Assignment, Pinned, SplitRows, assign, families
from danlu.data.times import NO_TIME

DAY = 86_400


def numbers(values: Any) -> Any:
    return np.array(values, dtype=np.int64)


def contents(texts: Any) -> Any:
    return numbers(texts).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def rows_of(size: int, **columns: Any) -> SplitRows:
    """Rows of different texts, unless `columns` say otherwise."""
    given = {name: numbers(values) for name, values in columns.items() if name != "equal"}
    text = given.setdefault("text", np.arange(size))
    given.setdefault("place", np.arange(size))
    given.setdefault("label", np.zeros(size, dtype=np.int64))
    if "equal" in columns:
        given["equal"] = np.array(columns["equal"], dtype=bool)
    return SplitRows(content=contents(text), **given)


def run(rows: SplitRows, seed: int = 1, pinned: Pinned | None = None, **config: Any) -> Assignment:
    return assign(rows, SplitConfig(**config), seed, pinned)


def none_but(size: int, **values: int) -> list[int]:
    """-1 everywhere but at the rows that `values` name (row3=7)."""
    column = [-1] * size
    for name, value in values.items():
        column[int(name.removeprefix("row"))] = value
    return column


def sides(result: Assignment, *parts: int) -> list[int]:
    """For each of `parts` the row that founded a group there first."""
    return [int(np.flatnonzero(result.part == part)[0]) for part in parts]


#: Rows without links, and the first of them in each part: what follows is linked to these.
BASE = 30
IN_TRAIN, IN_VALIDATION, IN_TEST = sides(run(rows_of(BASE)), TRAIN, VALIDATION, TEST)


@pytest.mark.parametrize("kind", ["subject", "conversation", "family"])
@pytest.mark.parametrize("first", [IN_TRAIN, IN_VALIDATION, IN_TEST])
def test_a_row_goes_where_those_it_shares_something_with_are(kind: str, first: int) -> None:
    shared = [-1] * (BASE + 2)
    shared[first] = shared[BASE] = shared[BASE + 1] = 4
    result = run(rows_of(BASE + 2, **{kind: shared}))
    assert result.part[BASE:].tolist() == [result.part[first]] * 2
    assert result.group[[BASE, BASE + 1]].tolist() == [first, first]


@pytest.mark.parametrize("first", [IN_TRAIN, IN_VALIDATION, IN_TEST])
def test_texts_that_are_equal_or_nearly_so_go_together(first: int) -> None:
    same = run(rows_of(BASE + 1, text=[*range(BASE), first]))
    near = run(rows_of(BASE + 1, links=[[first, BASE]]))
    for result in (same, near):
        assert result.part[BASE] == result.part[first]


def test_near_duplicates_of_near_duplicates_go_together() -> None:
    result = run(rows_of(BASE + 2, links=[[IN_TEST, BASE], [BASE, BASE + 1]]))
    assert result.part[BASE:].tolist() == [TEST, TEST]


def test_texts_with_equal_shingles_share_their_neighbours() -> None:
    """Of three such texts only the first has links to others, and it is not even among the rows."""
    links, equal = [[IN_TEST, 100], [100, BASE], [100, BASE + 1]], [False, True, True]
    result = run(rows_of(BASE + 2, links=links, equal=equal))
    assert result.part[BASE:].tolist() == [TEST, TEST]
    apart = run(rows_of(BASE + 2, links=links, equal=[False, False, False]))
    assert apart.group[BASE:].tolist() == [BASE, BASE + 1]


def test_a_row_between_two_sides_is_rejected_and_links_nothing() -> None:
    size = BASE + 2
    subject = none_but(size, **{f"row{IN_TRAIN}": 0, f"row{BASE}": 0, f"row{BASE + 1}": 1})
    conversation = none_but(size, **{f"row{BASE}": 5, f"row{BASE + 1}": 5})
    rows = rows_of(size, links=[[IN_TEST, BASE]], subject=subject, conversation=conversation)
    result = run(rows)
    assert (result.part[BASE], result.fold[BASE], result.group[BASE]) == (-1, -1, -1)
    assert REASONS[result.reason[BASE]] == "bridges_split"
    # The next row, which shares its conversation, is on its own.
    assert result.group[BASE + 1] == BASE + 1
    assert result.reason.sum() == 1


def test_two_groups_on_one_side_become_one() -> None:
    trained = np.flatnonzero(run(rows_of(BASE)).part == TRAIN)[:2].tolist()
    result = run(rows_of(BASE + 1, links=[[trained[0], BASE], [trained[1], BASE]]))
    assert result.group[[*trained, BASE]].tolist() == [trained[0]] * 3
    assert run(rows_of(BASE)).part.tolist() == result.part[:BASE].tolist()


def test_subjects_and_conversations_are_kept_together_by_choice() -> None:
    rows = rows_of(400, subject=np.arange(400) % 4, conversation=np.arange(400) // 2)
    loose = run(rows, keep_together=["conversation"])
    assert len(set(loose.part[rows.subject == 0].tolist())) == 3  # type: ignore[index]
    assert (loose.part[::2] == loose.part[1::2]).all()
    assert len(np.unique(loose.group)) == 200
    assert len(np.unique(run(rows, keep_together=[]).group)) == 400


def test_small_sets_get_every_part_and_every_class_is_learned() -> None:
    label = [0] * 12 + [1] * 4 + [2] * 3 + [3] * 2 + [4]
    for seed in range(20):
        part = run(rows_of(len(label), label=label), seed).part
        found = [{label[row] for row in np.flatnonzero(part == number)} for number in range(3)]
        assert found[TRAIN] == {0, 1, 2, 3, 4}
        assert found[VALIDATION] >= {0, 1, 2}
        assert found[TEST] >= {0, 1, 2}
        assert (3 in found[TEST]) != (3 in found[VALIDATION])


def test_shares_are_kept_for_each_label_from_few_rows_on() -> None:
    label = np.repeat(np.arange(50), 10)
    part = run(rows_of(len(label), label=label)).part
    for number in range(50):
        assert np.bincount(part[label == number]).tolist() == [8, 1, 1]
    label = np.repeat(np.arange(3), [4000, 1500, 1500])
    part = run(rows_of(len(label), label=label)).part
    for number in range(3):
        own = part[label == number]
        for held_out in (VALIDATION, TEST):
            assert abs((own == held_out).sum() - len(own) * 0.1) < 4 * np.sqrt(len(own) * 0.09)


def test_the_seed_changes_the_split() -> None:
    parts = [run(rows_of(100), seed).part.tolist() for seed in (1, 1, 2)]
    assert parts[0] == parts[1] != parts[2]
    assert len({tuple(run(rows_of(3), seed).part.tolist()) for seed in range(20)}) == 2


def test_what_cannot_be_split_says_so() -> None:
    with pytest.raises(DataError, match=r"nothing is left for validation. 2 groups of different texts with 2 labels"):
        run(rows_of(20, text=[0] * 10 + [1] * 10, label=[0] * 10 + [1] * 10))
    with pytest.raises(DataError, match=r"nothing is left for fold \d.*give at least three different texts"):
        run(rows_of(10), folds=10)


def test_folds_deal_out_train_and_validation_and_leave_test_apart() -> None:
    rows = rows_of(2_000, subject=np.arange(2_000) // 2, label=np.arange(2_000) // 2 % 2)
    result = run(rows, folds=5)
    assert (result.part == run(rows).part).all()
    assert ((result.fold < 0) == (result.part == TEST)).all()
    assert (result.fold[::2] == result.fold[1::2]).all()
    dealt = np.bincount(result.fold[result.fold >= 0])
    assert len(dealt) == 5
    assert abs(dealt - dealt.sum() / 5).max() < 2 * 4 * np.sqrt(900 * 0.16)
    assert (run(rows).fold == -1).all()


def test_a_row_between_two_folds_is_rejected() -> None:
    base = run(rows_of(BASE), folds=2)
    one, two = (int(np.flatnonzero((base.fold == fold) & (base.part == TRAIN))[0]) for fold in (0, 1))
    result = run(rows_of(BASE + 1, links=[[one, BASE], [two, BASE]]), folds=2)
    assert result.part[BASE] == -1
    assert REASONS[result.reason[BASE]] == "bridges_split"


DATES = {"by": "time", "validation_from": "1970-01-11", "test_from": "1970-01-21"}


def test_by_time_the_later_of_two_linked_rows_is_rejected() -> None:
    time = np.arange(30) * DAY
    # Rows 5 and 25 share a subject, 12 and 13 a conversation; they came last first.
    rows = rows_of(
        30,
        place=np.arange(30)[::-1],
        time=time,
        subject=none_but(30, row5=0, row25=0),
        conversation=none_but(30, row12=0, row13=0),
    )
    result = run(rows, **DATES)
    expected = [TRAIN] * 10 + [VALIDATION] * 10 + [TEST] * 10
    expected[25] = -1
    assert result.part.tolist() == expected
    assert np.flatnonzero(result.reason == REASONS.index("bridges_split")).tolist() == [25]
    assert result.cuts == (10 * DAY, 20 * DAY)
    assert "a score on them would flatter" in result.warnings[0]
    assert run(rows, **DATES, keep_together=["conversation"]).part[25] == TEST


def test_by_time_cuts_follow_from_the_shares() -> None:
    time = numbers([*range(90)] * 2 + [NO_TIME] * 3) * 1
    result = run(rows_of(183, time=time), by="time", validation=0.2, test=0.1)
    assert result.cuts == (63, 81)
    assert [(result.part == number).sum() for number in range(3)] == [126, 36, 18]
    assert [REASONS[reason] for reason in result.reason[-3:]] == ["no_time"] * 3
    assert (result.part[-3:] == -1).all()
    # Rows of one moment are on one side.
    assert (result.part[:90] == result.part[90:180]).all()


def test_by_time_without_times_or_with_one_part_empty_is_refused() -> None:
    with pytest.raises(DataError, match=r"Name the column with the time in data.time"):
        run(rows_of(30), by="time")
    with pytest.raises(DataError, match=r"no row has a time that can be read"):
        run(rows_of(30, time=[NO_TIME] * 30), by="time")
    with pytest.raises(DataError, match=r"nothing is left for train.*choose other dates"):
        run(rows_of(30, time=[DAY * 15] * 30), **DATES)


def earlier(rows: SplitRows, result: Assignment, **more: Any) -> Pinned:
    return Pinned(contents=rows.content, parts=result.part, **more)


def test_an_earlier_corpus_keeps_its_sides_wherever_rows_are_added() -> None:
    old = rows_of(60)
    before = run(old)
    # New rows come first, and each is nearly equal to an old one; the last is to two of different parts.
    text = [*range(100, 121), *range(60)]
    links = [[row, 100 + row] for row in range(20)] + [[IN_TRAIN, 120], [IN_TEST, 120]]
    rows = rows_of(81, text=text, links=links)
    after = run(rows, pinned=earlier(old, before))
    assert after.part[21:].tolist() == before.part.tolist()
    assert after.part[:20].tolist() == before.part[:20].tolist()
    assert REASONS[after.reason[20]] == "bridges_split"
    assert after.part[21:].tolist() != run(rows).part[21:].tolist()


def test_rows_that_are_gone_still_decide_for_their_text_subject_and_conversation() -> None:
    base = rows_of(BASE)
    pinned = Pinned(
        contents=np.concatenate([base.content, contents([500, 501, 502, 503])]),
        parts=np.append(run(base).part, [TEST, TEST, TEST, TRAIN]).astype(np.int8),
        subjects=numbers([-1] * BASE + [-1, 7, -1, 7]),
        conversations=numbers([-1] * BASE + [-1, -1, 7, -1]),
    )
    rows = rows_of(
        BASE + 4,
        text=[*range(BASE), 500, 600, 601, 602],
        subject=none_but(BASE + 4, **{f"row{BASE + 3}": 7}),
        conversation=none_but(BASE + 4, **{f"row{BASE + 2}": 7, f"row{BASE}": 9}),
    )
    result = run(rows, pinned=pinned)
    assert [result.part[row] for row in (BASE, BASE + 2)] == [TEST, TEST]
    # Subject 7 was on two sides, so a new row of it fits on neither.
    assert REASONS[result.reason[BASE + 3]] == "bridges_split"
    # A group is named after a row that is here.
    assert result.group[BASE] == BASE


def test_an_earlier_corpus_that_knew_no_subjects_keeps_its_sides_all_the_same() -> None:
    old = rows_of(60)
    before = run(old)
    rows = rows_of(61, subject=[0] * 61)
    after = run(rows, pinned=earlier(old, before))
    assert after.part[:60].tolist() == before.part.tolist()
    assert REASONS[after.reason[60]] == "bridges_split"


def test_an_earlier_corpus_counts_towards_the_first_groups_of_a_label() -> None:
    """Ten new groups of a known label are left to the hash: they do not fill every part once more."""
    old = rows_of(2_000)
    before = run(old)
    parts = []
    for start in range(2_000, 4_000, 10):
        rows = rows_of(2_010, text=[*range(2_000), *range(start, start + 10)])
        parts.append(np.bincount(run(rows, pinned=earlier(old, before)).part[2_000:], minlength=3)[TEST])
    assert min(parts) == 0


def test_what_a_small_label_lacks_in_an_earlier_corpus_comes_first() -> None:
    old = rows_of(BASE + 1, label=[0] * BASE + [1])
    before = run(old)
    assert before.part[BASE] == TRAIN
    after = run(rows_of(BASE + 3, label=[0] * BASE + [1] * 3), pinned=earlier(old, before))
    assert set(after.part[BASE + 1 :].tolist()) == {VALIDATION, TEST}


def test_folds_of_an_earlier_corpus_are_kept_and_must_be_as_many() -> None:
    old = rows_of(200)
    before = run(old, folds=4)
    rows = rows_of(260, text=np.roll(np.arange(260), 60))
    after = run(rows, folds=4, pinned=earlier(old, before, folds=before.fold))
    assert after.fold[60:].tolist() == before.fold.tolist()
    assert set(after.fold[:60].tolist()) == {-1, 0, 1, 2, 3}
    with pytest.raises(DataError, match=r"folds is 5, but the earlier corpus.*Set data.split.folds as it was there"):
        run(rows, folds=5, pinned=earlier(old, before, folds=before.fold))
    with pytest.raises(DataError, match=r"folds is 4, but the earlier corpus"):
        run(rows, folds=4, pinned=earlier(old, before))


def test_by_time_an_earlier_corpus_keeps_its_sides() -> None:
    old = rows_of(30, time=np.arange(30) * DAY)
    before = run(old, **DATES)
    later = {"by": "time", "validation_from": "1970-01-21", "test_from": "1970-02-05"}
    after = run(rows_of(40, time=np.arange(40) * DAY), pinned=earlier(old, before), **later)
    assert after.part.tolist() == [*before.part.tolist(), *[VALIDATION] * 5, *[TEST] * 5]


def test_one_subject_with_most_rows_is_warned_of() -> None:
    result = run(rows_of(200, subject=[0] * 170 + list(range(1, 31))))
    assert result.warnings[0].startswith("One subject has 170 of 200 rows (85%), more than the share of train")
    result = run(rows_of(200, conversation=[0] * 170 + list(range(1, 31))))
    assert result.warnings[0].startswith("One group of linked rows")
    assert run(rows_of(200, subject=np.arange(200) // 4)).warnings == ()


def test_many_rejected_rows_are_warned_of() -> None:
    size = BASE + 20
    links = [[side, row] for row in range(BASE, size) for side in (IN_TRAIN, IN_TEST)]
    result = run(rows_of(size, links=links))
    assert result.warnings == (
        "20 of 50 rows (40.0%) are linked to rows of different parts and were rejected (bridges_split).",
    )


def test_families_are_found_through_several_generations() -> None:
    ids = ["a", "b", "c", "d", "e", "f"]
    assert families(ids, [None, "a", "b", "gone", "gone", None]).tolist() == [0, 0, 0, 1, 1, -1]
    assert families(["a"], [None]).tolist() == [-1]


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="subject has 2 values for 30 rows"):
        replace(rows_of(30), subject=numbers([0, 1]))


def test_parts_are_numbered_by_their_names() -> None:
    assert [PARTS[part] for part in (TRAIN, VALIDATION, TEST)] == ["train", "validation", "test"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"test_from": "2024-03-01"}, "are for by: time"),
        ({"by": "time", "test_from": "2024-03-01"}, "go together"),
        ({"by": "time", "validation_from": "2024-03-02", "test_from": "2024-03-01"}, "must be before test_from"),
        ({"by": "time", "validation_from": "soon", "test_from": "2024-03-01"}, "'soon' is no date"),
        ({"by": "time", "folds": 5}, "folds would train on what comes after"),
        ({"folds": 1}, "greater than or equal to 2"),
        ({"keep_together": ["text"]}, "Input should be 'subject', 'conversation' or 'prompt'"),
    ],
)
def test_a_split_that_makes_no_sense_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SplitConfig.model_validate(values)
