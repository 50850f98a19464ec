"""Labels that cannot be learned are told, and what a wrong column holds is not."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from danlu.core.errors import DataError
from danlu.data.checks import check_answers, spelling_warnings
from danlu.data.config import CorpusConfig
from danlu.data.keys import Keys
from danlu.data.reader import Labels
from danlu.data.told import shape_of, told, told_speaker

PHONES = [f"138001380{number:02d}" for number in range(30)]


def warnings(counts: dict[str, int]) -> list[str]:
    labels = tuple(sorted(counts))
    label = np.repeat(np.arange(len(labels)), [counts[name] for name in labels])
    rows = np.arange(len(label))
    keys = Keys(place=rows, text=rows, label=label, characters=rows, labels=labels, contents=rows.astype(np.uint64))
    return check_answers("classify", keys, np.ones(len(rows), dtype=bool), CorpusConfig())


def test_a_column_of_phones_is_no_label_and_is_not_shown() -> None:
    with pytest.raises(DataError, match="has 30 different labels in 30 rows, built like '99999999999'") as caught:
        warnings(dict.fromkeys(PHONES, 1))
    assert not re.search("1380013", str(caught.value))
    with pytest.raises(DataError, match=r"All 30 usable rows have the label '\[PHONE\]'"):
        warnings({PHONES[0]: 30})
    with pytest.raises(DataError, match="built like 'aaaa aaaaa', '字字', '字字字'") as caught:
        warnings({"张三": 1, "王小明": 1, "Mary Smith": 1})
    assert "王" not in str(caught.value)


def test_cards_mask_what_classes_are_called() -> None:
    found = " ".join(warnings({"good": 300, "王小明": 4, "bad": 300, PHONES[1]: 3}))
    assert "'[PERSON]' (4)" in found
    assert "rows of '[PHONE]'" in found
    assert "'good'" in found
    assert PHONES[1] not in found


def test_spellings_are_masked_and_bounded() -> None:
    (found,) = spelling_warnings(Counter({PHONES[0]: 20, f" {PHONES[0]}": 3, "good": 5}))
    assert found.count("[PHONE]") == 2
    assert PHONES[0] not in found
    assert spelling_warnings(Counter({**dict.fromkeys(PHONES, 1), f"{PHONES[0]} ": 1})) == []
    labels = Labels()
    for number in range(Labels.MOST + 50):
        labels.add([f" {number}"])
    labels.add([" 7", f" {Labels.MOST + 7}"])
    assert len(labels.raw) == Labels.MOST
    assert labels.raw[" 7"] == 2


def test_words_for_a_class_or_a_side_are_shown() -> None:
    for word in ("好评", "negative", "金融", "very bad", "平安银行"):
        assert told(word) == repr(word)
    for word in ("买家", "narrator", "商家", "经理"):
        assert told_speaker(word) == repr(word)
    assert shape_of("A1-王 ") == "'a9-字 '"
