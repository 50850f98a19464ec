"""What changed between two corpora, where the whole run is not needed to see it."""

from __future__ import annotations

from danlu.data.compare import Difference, _compare_rows, _Text


def compared(before: list[str], after: list[str]) -> Difference:
    found = Difference(before="a", after="b")
    old, new = (_Text(part="train", labels=labels, origin="rows.csv:2") for labels in (before, after))
    _compare_rows({"c0": old}, {"c0": new}, found, 5)
    return found


def test_a_repeated_row_has_no_other_label() -> None:
    found = compared(["good"], ["good", "good", "good"])
    assert (found.added, found.kept, dict(found.relabelled)) == (2, 1, {})


def test_another_label_is_told_once() -> None:
    assert dict(compared(["bad", "good"], ["good", "good"]).relabelled) == {"bad + good → good": 1}
