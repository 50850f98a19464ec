"""Tokens: cutting, padding, numbers of special tokens, and what `auto` means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer

from danlu.core.errors import ModelError
from danlu.learning.scratch import DECODER, ENCODER, Vocabulary, save_tokenizer, train_tokenizer
from danlu.learning.text import auto_length, encode, encode_whole, end_id, load_tokenizer, pad, pad_id, start_id

TEXTS = [
    "这家酒店的房间很不错，下次还来。",
    "房间太小，酒店的服务很差！",
    "The room was fine, we'll be back.",
    "房间不错",
] * 20


def test_pad_gives_a_rectangle_with_a_mask() -> None:
    ids, mask = pad([[5, 6, 7], [8]], 9)
    assert ids.tolist() == [[5, 6, 7], [8, 9, 9]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert ids.dtype == mask.dtype == np.int64


@pytest.mark.parametrize("vocabulary", [ENCODER, DECODER], ids=["encoder", "decoder"])
def test_tokenizer_is_deterministic_and_transformers_agrees(vocabulary: Vocabulary, tmp_path: Path) -> None:
    learned = train_tokenizer(TEXTS, vocabulary, 400)
    assert learned.to_str() == train_tokenizer(TEXTS, vocabulary, 400).to_str()
    save_tokenizer(learned, vocabulary, tmp_path, 64)
    ours, theirs = load_tokenizer(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    assert encode(ours, TEXTS[:4], 64) == theirs(TEXTS[:4])["input_ids"]
    assert theirs.model_max_length == 64
    for role, token in vocabulary.roles.items():
        assert getattr(theirs, role) == token
    assert pad_id(ours) == theirs.pad_token_id


def test_encoder_tokens_are_dressed_and_cut() -> None:
    learned = train_tokenizer(TEXTS, ENCODER, 400)
    (row,) = encode(learned, [TEXTS[0]], 5)
    assert len(row) == 5
    assert row[0] == learned.token_to_id("[CLS]")
    assert row[-1] == learned.token_to_id("[SEP]")
    (whole,) = encode_whole(learned, [TEXTS[0]])
    assert len(whole) > 5


@pytest.mark.parametrize("text", ["房间不错", "emoji 🙂 and  two spaces\n\tnew line", "ＦＵＬＬ width", "ÀÉ 12345", ""])
def test_decoder_writes_back_what_it_read(text: str) -> None:
    learned = train_tokenizer(TEXTS, DECODER, 400)
    (row,) = encode_whole(learned, [text])
    assert row[0] == start_id(learned)
    assert end_id(learned) == learned.token_to_id("</s>")
    assert learned.decode(row) == text


def test_chinese_tokens_are_words_not_bytes() -> None:
    learned = train_tokenizer(TEXTS, DECODER, 400)
    pieces = [learned.decode([number]) for number in learned.encode("酒店的房间不错").ids]
    assert "".join(pieces) == "酒店的房间不错"
    assert len(pieces) <= 4


def test_auto_length_covers_99_percent_in_eights() -> None:
    assert auto_length([20] * 995 + [400] * 5, 512) == 24
    assert auto_length([16] * 100, 512) == 16
    assert auto_length([1000] * 10, 512) == 512
    assert auto_length([1], 512) == 8


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="not a tokenizer file"):
        load_tokenizer(tmp_path)


def test_a_word_that_is_spelt_like_an_end_token_is_none() -> None:
    """As in Gemma, whose vocabulary has HTML's <s> and </s> beside its <bos> and <eos>."""
    words = {"<s>": 0, "</s>": 1, "<bos>": 2, "<eos>": 3, "hello": 4}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="hello"))
    assert (start_id(tokenizer), end_id(tokenizer)) == (0, 1), "where nothing is special the first name counts"
    tokenizer.add_special_tokens(["<bos>", "<eos>"])
    tokenizer.add_tokens(["<s>", "</s>"])
    assert (start_id(tokenizer), end_id(tokenizer)) == (2, 3)
