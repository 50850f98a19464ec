"""Children differ from their parent, keep what must not change, and depend on their own row alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from danlu.core.errors import DataError
from danlu.data.augment import words as words_module
from danlu.data.augment.characters import LOOK_ALIKES, NEIGHBOURS
from danlu.data.augment.config import AugmentConfig
from danlu.data.augment.pieces import join, pieces_of
from danlu.data.augment.synonyms import neighbours, read_synonyms
from danlu.data.augment.table import OPERATIONS, Child, augment

SYNONYMS = {"非常": ["特别", "十分"], "like": ["love", "enjoy"], "battery": ["accumulator"], "早餐": ["早饭"]}
ROWS = [
    ("a", "这家银行的服务态度非常好，请打 [PHONE] 联系，早餐也不错！", "good"),
    ("b", "I really don't like the battery of this phone, see https://example.com/abc #fail 12345.", "bad"),
    ("c", "银行行长没有重复说过重要的事，我们非常喜欢他", "good"),
]


def made(*kinds: str, rows: Sequence[tuple[str, str, str]] = ROWS, seed: int = 1, **config: object) -> list[Child]:
    asked = AugmentConfig.model_validate({"operations": [{"kind": kind} for kind in kinds], **config})
    return list(augment(rows, asked, seed, synonyms=SYNONYMS))


@pytest.mark.parametrize("kind", list(OPERATIONS))
def test_children_differ_and_keep_what_must_not_change(kind: str) -> None:
    children = made(kind, copies=6)
    assert children
    texts = {name: text for name, text, _ in ROWS}
    labels = {name: label for name, _, label in ROWS}
    for name, text in texts.items():
        family = [child for child in children if child.parent == name]
        assert len({child.text for child in family} | {text}) == len(family) + 1
        assert [child.number for child in family] == list(range(len(family)))
    for child in children:
        assert child.operation == kind
        assert child.label == labels[child.parent]
        for kept in ("[PHONE]", "https://example.com/abc", "#fail", "12345", "don't", "没有"):
            assert (kept in child.text) == (kept in texts[child.parent])


@pytest.mark.parametrize("kind", list(OPERATIONS))
def test_a_rows_children_depend_on_it_alone(kind: str) -> None:
    together = made(kind, copies=3)
    alone = [child for row in reversed(ROWS) for child in made(kind, rows=[row], copies=3)]
    assert sorted(together, key=repr) == sorted(alone, key=repr)
    assert made(kind, copies=3) == together
    assert made(kind, copies=3, seed=2) != together


@given(st.text(max_size=60), st.sampled_from(sorted(OPERATIONS)), st.integers(0, 5))
def test_any_text_can_be_tried(text: str, kind: str, seed: int) -> None:
    children = made(kind, rows=[("x", text, "")], seed=seed, copies=2)
    assert all(child.text not in ("", text) for child in children)


@given(st.text(alphabet="ab'’ .,[]PHONE@#银行不好12\n-", max_size=40))
def test_pieces_join_to_the_text(text: str) -> None:
    for by_character in (True, False):
        assert "".join(piece.text for piece in pieces_of(text, by_character=by_character)) == text


def test_a_dropped_word_leaves_no_gap() -> None:
    pieces = [piece for piece in pieces_of("a fine, quiet room .") if piece.text not in ("fine", "room")]
    assert join(pieces) == "a, quiet."


def test_homophones_sound_alike_where_they_stand() -> None:
    from pypinyin import Style, lazy_pinyin

    text = ROWS[2][1]
    children = made("homophone", rows=[ROWS[2]], copies=10)
    assert len(children) == 10
    for child in children:
        changed = [place for place, (new, old) in enumerate(zip(child.text, text, strict=True)) if new != old]
        sounds = lazy_pinyin("银行行长没有重复说过重要的事", style=Style.TONE3)
        for place in changed:
            if place < len(sounds):
                assert lazy_pinyin(child.text[place], style=Style.TONE3)[0] == sounds[place]


def test_look_alikes_come_from_one_group() -> None:
    text = ROWS[0][1]
    for child in made("look_alike", rows=[ROWS[0]], copies=5):
        for new, old in zip(child.text, text, strict=True):
            assert new == old or any(new in group and old in group for group in LOOK_ALIKES)


def test_tables_are_sound() -> None:
    assert all(len(set(group)) == len(group) > 1 for group in LOOK_ALIKES)
    assert set(NEIGHBOURS["g"]) == set("fhtyvb")
    assert all(letter in NEIGHBOURS[other] for letter, others in NEIGHBOURS.items() for other in others)


@pytest.mark.parametrize(
    ("config", "parents"),
    [
        ({"labels": ["bad"]}, {"b"}),
        ({"fewer_than": 2}, {"b"}),
        ({"fewer_than": 3}, {"a", "b", "c"}),
        ({}, {"a", "b", "c"}),
    ],
)
def test_rows_are_chosen(config: dict[str, object], parents: set[str]) -> None:
    assert {child.parent for child in made("word_drop", **config)} == parents


def test_a_share_of_rows_is_chosen_by_their_ids() -> None:
    rows = [(f"r{number}", "one two three four five six", "x") for number in range(400)]
    chosen = {child.parent for child in made("word_swap", rows=rows, share=0.25)}
    assert 60 < len(chosen) < 140
    assert {child.parent for child in made("word_swap", rows=rows[::-1][:200], share=0.25)} == chosen & {
        name for name, _, _ in rows[200:]
    }


def test_a_weight_decides_how_often() -> None:
    rows = [(f"r{number}", "one two three four five six", "x") for number in range(200)]
    config = AugmentConfig.model_validate(
        {"operations": [{"kind": "word_swap", "weight": 9.0}, {"kind": "character_noise", "weight": 1.0}]}
    )
    kinds = [child.operation for child in augment(rows, config, 1)]
    assert 150 < kinds.count("word_swap") < 199


def test_eda_changes_alpha_times_the_words() -> None:
    text = " ".join(f"{letter}word like{letter}" for letter in "abcdefghij")
    synonyms = {word: ["NEW"] for word in text.split()}
    words = text.split()
    replacement, insertion, swap, deletion = words_module._EDA
    for seed in range(20):
        random = Random(seed)
        new = replacement(text, random, 0.2, synonyms).split()
        assert sum(one != other.lower() for one, other in zip(words, new, strict=True)) == 4
        new = insertion(text, random, 0.2, synonyms).split()
        assert new.count("NEW") == 4
        assert [word for word in new if word != "NEW"] == words
        new = swap(text, random, 0.2, synonyms).split()
        assert sorted(new) == sorted(words)
        assert sum(one != other for one, other in zip(words, new, strict=True)) <= 8
    kept = sum(len(deletion(text, Random(seed), 0.2, synonyms).split()) for seed in range(200))
    assert 0.75 < kept / (200 * len(words)) < 0.85


def test_the_last_word_is_never_dropped() -> None:
    config = OPERATIONS["word_drop"].config.model_validate({"kind": "word_drop", "share": 1.0})
    assert len(pieces_of(OPERATIONS["word_drop"].apply("one two three", Random(1), config, None))) == 1


def test_what_would_do_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="would do nothing"):
        AugmentConfig()
    with pytest.raises(ValidationError, match="kind"):
        AugmentConfig.model_validate({"operations": [{"kind": "word_dorp"}]})
    with pytest.raises(DataError, match="need synonyms and none came"):
        augment(ROWS, AugmentConfig.model_validate({"operations": [{"kind": "eda"}]}), 1)


def test_synonyms_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "synonyms.txt"
    path.write_text("Good\tfine, great，good\n\n很好\t不赖、挺好\ngood\tdecent\n", encoding="utf-8")
    assert read_synonyms(path) == {"good": ["fine", "great", "decent"], "很好": ["不赖", "挺好"]}
    config = AugmentConfig.model_validate({"operations": [{"kind": "synonym"}]})
    (child,) = augment([("x", "Good room", "")], config, 1, synonyms_path=path)
    assert child.text in {"Fine room", "Great room", "Decent room"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"good fine", "line 1: 'good fine' came"),
        (b"a\tb\nc\t,\n", "line 2"),
        (b"\n", "has no line in it"),
        ("好\t棒".encode("gb18030"), "not UTF-8"),
    ],
)
def test_a_bad_file_of_synonyms_is_told(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "synonyms.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_synonyms(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_synonyms(tmp_path / "gone.txt")


def test_neighbours_of_vectors() -> None:
    words = ["good", "great", "fine", "table"]
    vectors = np.array([[1.0, 0.0], [0.95, 0.1], [0.9, 0.3], [0.0, 1.0]])
    assert neighbours(words, vectors, most=1, similarity=0.9) == {
        "good": ["great"],
        "great": ["good"],
        "fine": ["great"],
    }
    with pytest.raises(DataError, match="4 words came"):
        neighbours(words, vectors[:3])
