"""Near duplicates against brute force: what is found is right, and what is there is found."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from danlu.data import near
from danlu.data import spill as spilling
from danlu.data.signatures import PERMUTATIONS, RECALL_AT_THRESHOLD, Signatures, bands_for
from danlu.data.signatures import signatures_of as hashes_of
from danlu.data.spill import Spill
from danlu.metrics.shingles import HAN_SHINGLE, WORD_SHINGLE, shingles

WORDS = [f"word{number}" for number in range(400)]
HAN = "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方"


def plain_shingles(text: str) -> set[tuple[str, ...]]:
    """The definition, spelled out slowly."""
    units = re.findall(r"[\u4e00-\u9fff]|[^\W_\u4e00-\u9fff]+", text.lower())
    han = sum(re.match(r"[\u4e00-\u9fff]", unit) is not None for unit in units)
    size = HAN_SHINGLE if han * 2 >= len(units) else WORD_SHINGLE
    size = min(size, len(units))
    return {tuple(units[start : start + size]) for start in range(len(units) - size + 1)} if units else {(text,)}


def jaccard(one: str, other: str) -> float:
    a, b = plain_shingles(one), plain_shingles(other)
    return len(a & b) / len(a | b)


def edited(text: list[str], draw: random.Random, pool: list[str], edits: int) -> list[str]:
    copy = list(text)
    for _ in range(edits):
        copy[draw.randrange(len(copy))] = draw.choice(pool)
    return copy


def corpus(kind: str, seed: int = 3) -> list[str]:
    draw = random.Random(seed)
    pool, join = (WORDS, " ") if kind == "words" else (list(HAN), "")
    texts = []
    for _ in range(100):
        base = [draw.choice(pool) for _ in range(draw.randrange(8, 60))]
        texts += [join.join(edited(base, draw, pool, edits)) for edits in (0, 1, 2, 4)]
    return list(dict.fromkeys(texts))


def signatures_of(texts: list[str], threshold: float, spill: Spill | None = None, at_once: int = 97) -> Signatures:
    signatures = Signatures(threshold, spill)
    for start in range(0, len(texts), at_once):
        signatures.add(texts[start : start + at_once])
    return signatures


def texts_of(texts: list[str], at_once: int = 50) -> near.TextsOf:
    """Some at a time, the last first: any order will do."""

    def some(positions: near.Indices) -> Iterator[tuple[near.Indices, list[str]]]:
        assert (np.diff(positions) > 0).all()
        for start in reversed(range(0, len(positions), at_once)):
            part = positions[start : start + at_once]
            yield part, [texts[position] for position in part]

    return some


def clusters_of(texts: list[str], threshold: float) -> list[int]:
    return near.cluster(signatures_of(texts, threshold), texts_of(texts)).of_text.tolist()


@pytest.mark.parametrize("kind", ["words", "han"])
def test_shingle_sets_are_those_of_the_definition(kind: str) -> None:
    texts = [*corpus(kind)[:60], "", "!!!", "好", "a", "Mixed 中文 and English words 混在一起", "A,b;C a b c"]
    hashes, bounds = shingles(texts)
    sets = [set(hashes[bounds[i] : bounds[i + 1]].tolist()) for i in range(len(texts))]
    assert [len(found) for found in sets] == [len(plain_shingles(text)) for text in texts]
    for (i, one), (j, other) in itertools.combinations(enumerate(texts), 2):
        assert len(sets[i] & sets[j]) == len(plain_shingles(one) & plain_shingles(other))


@pytest.mark.parametrize("kind", ["words", "han"])
def test_clusters_are_those_of_brute_force(kind: str) -> None:
    texts = corpus(kind)
    found = clusters_of(texts, 0.8)
    alone = list(range(len(texts)))

    def root(number: int) -> int:
        while alone[number] != number:
            number = alone[number]
        return number

    sets = [plain_shingles(text) for text in texts]
    for i, j in itertools.combinations(range(len(texts)), 2):
        if len(sets[i] & sets[j]) >= 0.8 * len(sets[i] | sets[j]):
            alone[max(root(i), root(j))] = min(root(i), root(j))
    assert found == [root(number) for number in range(len(texts))]


def test_signs_case_and_spaces_do_not_count() -> None:
    assert len(set(clusters_of(["性价比很高。。", "性价比很高", " 性价比 很高！"], 0.8))) == 1
    assert len(set(clusters_of(["Great, value!", "great value"], 0.8))) == 1
    assert len(set(clusters_of(["!!!", "???", "..."], 0.8))) == 3


def test_the_order_of_texts_does_not_matter() -> None:
    texts = corpus("words")[:200]
    order = list(range(len(texts)))
    random.Random(1).shuffle(order)
    shuffled = clusters_of([texts[number] for number in order], 0.8)
    straight = clusters_of(texts, 0.8)
    groups = {frozenset(texts[order[i]] for i in range(len(texts)) if shuffled[i] == c) for c in set(shuffled)}
    assert groups == {frozenset(texts[i] for i in range(len(texts)) if straight[i] == c) for c in set(straight)}


def test_batches_do_not_matter() -> None:
    texts = corpus("han")[:100]
    bands = bands_for(0.8)
    whole, same = hashes_of(texts, bands)
    parts = [hashes_of(texts[start : start + 7], bands) for start in range(0, len(texts), 7)]
    assert (whole == np.concatenate([part for part, _ in parts], axis=1)).all()
    assert (same == np.concatenate([part for _, part in parts])).all()


def test_large_buckets_stay_connected() -> None:
    texts = [f"the very same long sentence about a kettle that arrived late on monday number {n}" for n in range(400)]
    assert len(set(clusters_of(texts, 0.8))) == 1


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9, 0.95])
def test_bands_keep_the_recall_they_promise(threshold: float) -> None:
    bands = bands_for(threshold)
    assert bands.count * bands.rows <= PERMUTATIONS
    assert 1 - (1 - threshold**bands.rows) ** bands.count >= RECALL_AT_THRESHOLD


def templated(count: int) -> list[str]:
    """Pairs of texts, one after the other: 30 words that all share, 6 of their own, and one word edited."""
    draw = random.Random(11)
    frame = [f"frame{number}" for number in range(30)]
    texts = []
    for _ in range(count):
        words = [*frame, *(f"own{draw.randrange(10**6)}" for _ in range(6))]
        texts += [" ".join(words), " ".join(["edited" if place == 3 else word for place, word in enumerate(words)])]
    return texts


def test_no_pair_is_lost_in_a_crowd() -> None:
    texts = templated(1_500)
    assert min(jaccard(*texts[:2]), jaccard(*texts[2:4])) >= 0.85
    found = clusters_of(texts, 0.8)
    assert found == [number - number % 2 for number in range(len(texts))]


def test_a_shingle_that_too_many_texts_have_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = templated(200)
    assert near.cluster(signatures_of(texts, 0.8), texts_of(texts)).truncated == 0
    monkeypatch.setattr(near, "_MOST_WITH_SHINGLE", 1)
    found = near.cluster(signatures_of(texts, 0.8), texts_of(texts))
    assert found.truncated > 0
    assert all(cluster in (number, number - number % 2) for number, cluster in enumerate(found.of_text))


def everything(texts: list[str], spill: Spill) -> near.Links:
    with spill:
        return near.links(signatures_of(texts, 0.8, spill), texts_of(texts))


def test_a_budget_changes_nothing_but_where_things_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spilling, "LEAST_PORTION", 4_096)
    monkeypatch.setattr(spilling, "VALUES_AT_ONCE", 250)
    texts = [*corpus("words")[:150], *templated(80), *corpus("han")[:60], "!!!", "great value", "Great, value!"] * 2
    in_memory = everything(texts, Spill())
    assert len(in_memory.pairs) > 400
    for budget in (1, 40_000):
        spill = Spill(budget, tmp_path / "scratch")
        on_disk = everything(texts, spill)
        assert spill.spilled
        assert on_disk.pairs.tolist() == in_memory.pairs.tolist()
        assert (on_disk.compared, on_disk.truncated) == (in_memory.compared, in_memory.truncated)
        assert list((tmp_path / "scratch").iterdir()) == []
    with pytest.raises(ValueError, match="budget is 0 bytes"):
        Spill(0)


def test_every_link_reaches_the_threshold_and_outside_of_crowds_none_is_missing() -> None:
    texts = corpus("words")
    found = {tuple(pair) for pair in near.links(signatures_of(texts, 0.8), texts_of(texts)).pairs.tolist()}
    sets = [plain_shingles(text) for text in texts]
    expected = {
        (i, j)
        for (i, one), (j, other) in itertools.combinations(enumerate(sets), 2)
        if len(one & other) >= 0.8 * len(one | other)
    }
    assert found <= expected
    # Texts with equal shingles have their links at the first of them.
    firsts = {min(i for i, other in enumerate(sets) if other == one) for one in sets}
    missing = {pair for pair in expected - found if set(pair) <= firsts}
    assert len(missing) <= 0.005 * len(expected)


def test_links_do_not_depend_on_the_order_of_texts() -> None:
    texts = list(dict.fromkeys([*templated(150), *corpus("han")[:150]]))
    order = list(range(len(texts)))
    random.Random(2).shuffle(order)
    straight = near.links(signatures_of(texts, 0.8), texts_of(texts)).pairs
    shuffled = near.links(
        signatures_of([texts[number] for number in order], 0.8), texts_of([texts[number] for number in order])
    ).pairs
    assert {frozenset(pair) for pair in straight.tolist()} == {
        frozenset((order[one], order[other])) for one, other in shuffled.tolist()
    }


def test_nothing_and_nobody_near() -> None:
    assert near.cluster(signatures_of([], 0.8), texts_of([])).of_text.tolist() == []
    assert clusters_of(["one text", "another line"], 0.8) == [0, 1]
    assert clusters_of(["one text"], 0.8) == [0]


def test_texts_that_do_not_come_are_missed_aloud() -> None:
    texts = corpus("words")[:8]
    with pytest.raises(ValueError, match="were asked for and 0 came"):
        near.links(signatures_of(texts, 0.8), lambda _: iter(()))


def test_signs_alone_are_told_apart_to_the_last() -> None:
    # The hashes of such texts once differed in bits alone that sets do not keep, so that a smile was a frown.
    texts = [":(", ":)", "!!!", "!!?", "???"]
    assert len(set(shingles(texts)[0].tolist())) == len(texts)
    assert near.links(signatures_of(texts, 0.8), texts_of(texts)).pairs.tolist() == []


def test_plain_and_other_scripts_in_one_batch_are_as_alone() -> None:
    texts = [
        "plain words here",
        "中文和English混在一起",
        "",
        "plain words here!",
        ":)",
        "好",
        "x",
        "x y",
        "naïve café words",
    ]
    texts += [f"word{number} " * 3 + "续 " * number + "tail " * (number * 7) for number in range(40)]
    bands = bands_for(0.8)
    together, same = hashes_of(texts, bands)
    for number, text in enumerate(texts):
        alone, own = hashes_of([text], bands)
        assert alone[:, 0].tolist() == together[:, number].tolist()
        assert own[0] == same[number]
