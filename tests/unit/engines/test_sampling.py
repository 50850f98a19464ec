from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from danlu.engines.sampling import choose, log_softmax, pieces, softmax

TEXT = "丹炉 burns 🔥, 炼丹。"


def byte_level() -> Tokenizer:
    """One token a byte, as GPT-like tokenizers fall back to."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: index for index, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def byte_fallback() -> Tokenizer:
    """Llama's way: a space is `▁`, lost at the start of a text, and unknown characters are bytes `<0xE4>`."""
    vocabulary = {"<unk>": 0} | {f"<0x{byte:02X}>": byte + 1 for byte in range(256)} | {"▁": 257, "▁b": 258, "b": 259}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("▁", "b")], unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    return tokenizer


@pytest.mark.parametrize("make", [byte_level, byte_fallback])
@given(text=st.text(alphabet="ab 丹炉🔥é。\n", min_size=1, max_size=12), cut=st.integers(0, 11))
@settings(max_examples=60, deadline=None)
def test_pieces_join_to_the_text_and_hold_whole_characters(make, text: str, cut: int) -> None:
    tokenizer = make()
    prompt, rest = f"b{text[:cut]}", text[cut:]
    whole = tokenizer.encode(prompt + rest, add_special_tokens=False).ids
    begin = tokenizer.encode(prompt, add_special_tokens=False).ids
    if whole[: len(begin)] != begin:  # the tokenizer merged over the cut
        return
    got = list(pieces(begin, whole[len(begin) :], tokenizer, []))
    assert "".join(got) == rest
    assert all(piece and "\N{REPLACEMENT CHARACTER}" not in piece for piece in got)


def test_a_character_that_is_never_whole_is_dropped() -> None:
    tokenizer = byte_level()
    tokens = tokenizer.encode(TEXT).ids
    fire = len(tokenizer.encode("丹炉 burns 🔥").ids) - 1
    assert "".join(pieces([], tokens[:fire], tokenizer, [])) == "丹炉 burns "
    broken = tokens[:fire] + tokenizer.encode("炼丹").ids
    assert "".join(pieces([], broken, tokenizer, [])) == "丹炉 burns 炼丹"


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        ([" burns"], "丹炉"),
        (["🔥"], "丹炉 burns "),
        (["炼丹！", "丹。"], "丹炉 burns 🔥, 炼"),
        (["丹"], ""),
        (["zz"], TEXT),
    ],
)
def test_nothing_from_a_stop_sequence_on_is_yielded(stop: list[str], expected: str) -> None:
    tokenizer = byte_level()
    assert "".join(pieces([], tokenizer.encode(TEXT).ids, tokenizer, stop)) == expected


def test_what_may_begin_a_stop_sequence_is_held_back_only_so_long() -> None:
    tokenizer = byte_level()
    assert list(pieces([], tokenizer.encode("ab炉c").ids, tokenizer, ["炉火"])) == ["a", "b", "炉c"]


def test_tokens_after_a_stop_sequence_are_not_asked_for() -> None:
    tokenizer = byte_level()

    def endless():
        yield from tokenizer.encode("ab.").ids
        raise AssertionError("asked for a token after the end")

    assert "".join(pieces([], endless(), tokenizer, ["."])) == "ab"


def test_log_softmax_is_exact_for_large_logits() -> None:
    logits = np.array([[1e4, 1e4 - 1.0, -1e4]])
    assert np.allclose(log_softmax(logits)[0, :2], [-0.31326169, -1.31326169])
    assert softmax(logits).dtype == np.float32


def test_choose_draws_as_often_as_probable_and_only_from_the_nucleus() -> None:
    logits = np.log(np.array([0.1, 0.6, 0.3], dtype=np.float32))
    random = np.random.default_rng(1)
    drawn = np.bincount([choose(logits, 1.0, 1.0, random) for _ in range(4000)], minlength=3) / 4000
    assert np.allclose(drawn, [0.1, 0.6, 0.3], atol=0.03)
    assert {choose(logits, 1.0, 0.85, random) for _ in range(300)} == {1, 2}
    assert {choose(logits, 1.0, 0.6, random) for _ in range(50)} == {1}
    assert {choose(logits, 1e-310, 1.0, random) for _ in range(50)} == {1}
    assert choose(logits, 0.0, 1.0, random) == 1


def test_temperature_sharpens() -> None:
    logits = np.log(np.array([0.1, 0.6, 0.3], dtype=np.float32))
    random = np.random.default_rng(2)
    drawn = np.bincount([choose(logits, 0.5, 1.0, random) for _ in range(4000)], minlength=3) / 4000
    squared = np.array([0.01, 0.36, 0.09])
    assert np.allclose(drawn, squared / squared.sum(), atol=0.03)
