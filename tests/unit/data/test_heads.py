"""Several targets a row: read, settled where equal texts disagree, and checked, each by itself."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from danlu.core.errors import DataError
from danlu.core.heads import Head, columns, heads_of, outputs_of
from danlu.data.checks import CHECKS
from danlu.data.config import CleanConfig, CorpusConfig
from danlu.data.heads.counted import count_targets
from danlu.data.heads.reading import check_found, lacking
from danlu.data.heads.settled import kept_of, settled
from danlu.data.keys import Keys
from danlu.data.rows import BROKEN, NO_LABEL, Unusable, columns_for, read_label
from danlu.data.targets import answer_told, strata
from danlu.sources.targets import TARGETS, heads_in

TARGET = TARGETS["multitask"]


def asked(**targets: dict[str, Any]) -> CleanConfig:
    return CleanConfig.model_validate({"sources": [{"path": "rows.csv", "licence": "CC0-1.0"}], "targets": targets})


ASKED = asked(
    mood={"task": "classify", "column": "feeling"}, topics={"task": "tag", "empty": "none"}, stars={"task": "regress"}
)


def read(values: dict[str, Any], config: CleanConfig = ASKED) -> dict[str, Any]:
    kept = read_label(values, columns_for("multitask", config))[1]
    found: dict[str, Any] = json.loads(kept)
    return found


def kept(**values: Any) -> str:
    return json.dumps(values, ensure_ascii=False, sort_keys=True)


def test_each_target_is_read_as_its_own_task_reads_it() -> None:
    assert read({"feeling": " good ", "topics": "price| delivery|price", "stars": "4"}) == {
        "mood": "good",
        "topics": ["delivery", "price"],
        "stars": 4.0,
    }
    assert read({"feeling": "", "topics": ["a=b"], "stars": 3}) == {"topics": ["a=b"], "stars": 3.0}


def test_an_empty_cell_is_unknown_unless_it_says_that_none_fits() -> None:
    row = {"feeling": None, "topics": "", "stars": "2.5"}
    assert read(row) == {"topics": [], "stars": 2.5}
    unknown = asked(topics={"task": "tag"}, stars={"task": "regress"})
    assert read(row, unknown) == {"stars": 2.5}


def test_a_row_may_lack_columns_but_not_every_target() -> None:
    assert read({"stars": "1"}) == {"stars": 1.0}
    with pytest.raises(Unusable) as found:
        read({"feeling": " ", "stars": ""})
    assert found.value.kind == NO_LABEL


def test_a_cell_that_cannot_be_read_is_told_with_its_column() -> None:
    with pytest.raises(Unusable, match="column 'stars' holds no number") as found:
        read({"feeling": "good", "stars": "many"})
    assert found.value.kind == BROKEN


def test_a_source_lacks_some_targets_and_the_sources_together_none() -> None:
    heads = columns_for("multitask", ASKED).reading.heads
    assert lacking(heads, ["text", "stars"]) == []
    assert lacking(heads, ["text", "points"]) == ["feeling"]
    check_found(heads, {"mood": 1, "topics": 2, "stars": 3})
    with pytest.raises(DataError, match=r"No row has the target 'topics'.*data\.targets\.topics\.column"):
        check_found(heads, {"mood": 1, "stars": 3})


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ({"stars": {"task": "regress"}}, "one target came"),
        ({"情绪": {"task": "classify"}, "stars": {"task": "regress"}}, "use Latin letters"),
        ({"version": {"task": "classify"}, "stars": {"task": "regress"}}, "means something else"),
        ({"pair": {"task": "classify"}, "stars": {"task": "regress"}}, "means something else"),
        ({"columns": {"task": "classify"}, "stars": {"task": "regress"}}, "means something else"),
        ({"mood": {"task": "classify", "empty": "none"}, "stars": {"task": "regress"}}, "empty: none is for tag"),
        ({"mood": {"task": "generate"}, "stars": {"task": "regress"}}, "'classify', 'tag' or 'regress'"),
    ],
)
def test_targets_that_cannot_be_had_are_refused(targets: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        asked(**targets)


def test_labels_are_counted_and_renamed_under_their_targets() -> None:
    one = kept(mood="好", says=["b", "a"], stars=4.0)
    assert TARGET.names(one) == ("mood=好", "says=b", "says=a")
    assert json.loads(TARGET.renamed(one, {"好": "good", "a": "b", "b": "b"}.__getitem__)) == {
        "mood": "good",
        "says": ["b"],
        "stars": 4.0,
    }
    stratum = strata("multitask", ["", one, kept(stars=1.0)])
    assert stratum.labels == ("mood=好", "says=a", "says=b")
    assert stratum.members == ((3,), (0, 2, 1), (3,))
    assert answer_told({"targets": one}) == "mood: 好; says: b, a; stars: 4"


def keys(texts: list[int], answers: list[str]) -> Keys:
    labels = tuple(sorted(set(answers)))
    return Keys(
        place=np.arange(len(texts)),
        text=np.array(texts),
        label=np.array([labels.index(answer) for answer in answers]),
        characters=np.ones(len(texts), dtype=np.int64),
        labels=labels,
        contents=np.arange(max(texts) + 1, dtype=np.uint64),
    )


def test_equal_texts_share_what_they_know_and_lose_only_what_they_dispute() -> None:
    rows = [
        (0, kept(mood="good", stars=4.0)),
        (0, kept(mood="bad", topics=["price"])),
        (0, kept(mood="good")),
        (1, kept(stars=1.0)),
        (2, kept(mood="good")),
        (2, kept(mood="bad")),
    ]
    given = keys([text for text, _ in rows], [answer for _, answer in rows])
    dropped, said = settled(given, "drop")
    found = [json.loads(dropped.labels[number] or "{}") for number in dropped.label]
    assert found == [{"stars": 4.0, "topics": ["price"]}] * 3 + [{"stars": 1.0}] + [{}] * 2
    assert said == [
        "2 texts have different values of the target mood, each in rows of their own (data.label_conflicts: drop)."
    ]
    clear, _ = settled(given, "majority")
    found = [json.loads(clear.labels[number] or "{}") for number in clear.label]
    assert found == [{"mood": "good", "stars": 4.0, "topics": ["price"]}] * 3 + [{"stars": 1.0}] + [{}] * 2
    assert settled(given, "keep") == (given, [])
    assert list(dropped.labels) == sorted(dropped.labels)


def test_a_look_at_the_data_settles_texts_as_the_run_does() -> None:
    votes = {kept(mood="good", stars=4.0): 2, kept(mood="bad"): 1}
    assert kept_of(votes, "drop") == [(kept(stars=4.0), 3)]
    assert kept_of(votes, "majority") == [(kept(mood="good", stars=4.0), 3)]
    assert kept_of(votes, "keep") == list(votes.items())
    assert kept_of({kept(mood="good"): 1, kept(mood="bad"): 1}, "drop") == []


def test_what_no_target_can_learn_is_refused_by_its_name() -> None:
    config = CorpusConfig()
    fine = {kept(mood="good", stars=1.0): 30, kept(mood="bad", stars=2.0): 30, kept(mood="bad"): 3}
    assert CHECKS["multitask"](fine, config) == []
    with pytest.raises(DataError, match="The target 'stars': All 33 usable rows have the number 1"):
        CHECKS["multitask"]({kept(mood="good", stars=1.0): 30, kept(mood="bad", stars=1.0): 3}, config)
    with pytest.raises(DataError, match="No usable row has the target 'stars'"):
        CHECKS["multitask"]({kept(mood="good"): 30, kept(mood="bad"): 30, kept(stars=1.0): 0}, config)
    rare = {kept(mood="good", stars=1.0): 300, kept(mood="bad", stars=2.0): 3}
    assert [told.split(":")[0] for told in CHECKS["multitask"](rare, config)] == ["Target mood", "Target mood"]


def test_rows_are_counted_by_target() -> None:
    counts = {kept(mood="good", stars=1.0): 2, kept(stars=4.0): 1, kept(mood="bad"): 0, kept(topics=[]): 5}
    found = count_targets(counts, lambda values: {"sum": sum(values)})
    assert found == {"mood": {"rows": 2}, "stars": {"rows": 3, "values": {"sum": 6.0}}, "topics": {"rows": 5}}


def test_heads_come_back_from_json_and_know_their_outputs() -> None:
    heads = heads_in([kept(mood="good", stars=1.0), kept(mood="bad", says=["x"]), kept(says=[])])
    assert heads == (
        Head(name="mood", task="classify", labels=("bad", "good")),
        Head(name="says", task="tag", labels=("x",)),
        Head(name="stars", task="regress"),
    )
    assert heads_of(json.loads(json.dumps([head.as_json() for head in heads]))) == heads
    assert outputs_of(heads) == ["mood=bad", "mood=good", "says=x", "stars"]
    assert columns(heads) == [slice(0, 2), slice(2, 3), slice(3, 4)]
