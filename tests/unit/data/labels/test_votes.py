from __future__ import annotations

import pytest

from danlu.data.labels import votes
from danlu.data.labels.votes import Vote


class Handed:
    """What was handed out: one row, whose labels differ in case alone."""

    labels = ("Positive", "positive", "negative")

    def item(self, content: str) -> str:
        return content

    def batch(self, _content: str) -> Handed:
        return self


@pytest.mark.parametrize(
    ("label", "meant"), [("positve", "positive"), ("Positve", "Positive"), ("negativ", "negative")]
)
def test_of_labels_that_differ_in_case_the_one_written_most_alike_is_meant(label: str, meant: str) -> None:
    vote = Vote(content="a", label=label, annotator="ann", adjudicates=False, place="ann.csv, row 2")
    said, taken = votes._checked(vote, Handed())  # type: ignore[arg-type]
    assert taken is None
    assert f"Did you mean {meant!r}?" in said
