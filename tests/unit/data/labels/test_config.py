from __future__ import annotations

import pytest
from pydantic import ValidationError

from danlu.core.config import resources
from danlu.data.labels.config import LabelsConfig, merged


def test_spellings_become_one_class() -> None:
    config = LabelsConfig(merge={"spam": ["Spam", "SPAM ", "垃圾"]})
    assert [merged(label, config) for label in ("spam", "Spam", " SPAM", "垃圾", "ham ", "sPaM")] == [
        "spam", "spam", "spam", "spam", "ham", "sPaM",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("merge", "said"),
    [
        ({"spam": ["junk"], "ham": ["junk"]}, "'junk' stands under 'spam' and under 'ham'"),
        ({"spam": ["ham"], "ham": []}, "'ham' stands under 'spam' and under 'ham'"),
        ({"spam": [" "]}, "empty spelling stands under 'spam'"),
        ({"spam": ["a"], "spam ": ["b"]}, "equal but for white space"),
    ],
)
def test_what_would_be_ambiguous_is_refused(merge: dict[str, list[str]], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        LabelsConfig(merge=merge)


def test_the_decisions_are_a_resource_so_that_their_content_is_fingerprinted() -> None:
    assert resources(LabelsConfig(decisions="labels.csv")) == {"decisions": "labels.csv"}
    used = LabelsConfig(merge={"a": ["b"]})
    assert merged("b", used) == "a"
    assert used == LabelsConfig(merge={"a": ["b"]})
    assert set(used.model_dump()) == {"merge", "decisions"}
