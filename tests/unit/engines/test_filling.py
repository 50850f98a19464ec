"""Gaps and hidden tokens: what an encoder puts there, and that no text's score depends on another."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models

from danlu.core.errors import ModelError, UserError
from danlu.engines.base import Form
from danlu.engines.filling import HIDDEN_SHARE, Special
from danlu.engines.torch_engine import TorchEngine
from danlu.learning import scratch
from danlu.learning.hidden import places
from tests.unit.engines import tiny

SHAPE = scratch.Shape(layers=1, width=32, heads=2, positions=64)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> TorchEngine:
    folder = tmp_path_factory.mktemp("fill")
    tokenizer = scratch.train_tokenizer(tiny.texts(300), scratch.ENCODER, 400)
    torch.manual_seed(5)
    scratch.make_masked(SHAPE, tokenizer, ()).save_pretrained(folder)
    scratch.save_tokenizer(tokenizer, scratch.ENCODER, folder, 16)
    form = Form(
        name="torch", engine="torch", task="fill", labels=None, max_length=16, batch_invariant=True,
        precision="float32", bytes=0,
    )  # fmt: skip
    return TorchEngine(folder, form, 1)


def test_the_same_tokens_are_hidden_wherever_a_text_comes(engine: TorchEngine) -> None:
    texts = [*tiny.texts(40), "fast slow " * 30]
    together = engine.score_hidden(texts, 1)
    for text, one in list(zip(texts, together, strict=True))[::7]:
        (alone,) = engine.score_hidden([text], 1)
        assert alone.ids.tolist() == one.ids.tolist()
        np.testing.assert_allclose(alone.log_likelihood, one.log_likelihood, atol=1e-4)
    tokens = [len(engine._tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]
    hidden = [len(one.ids) for one in together]
    assert all(1 <= many <= max(1, 0.25 * size + 1) for many, size in zip(hidden, tokens, strict=True))
    # A text longer than the model reads goes on in further windows.
    assert tokens[-1] > 16 and hidden[-1] >= 0.1 * tokens[-1]
    assert [len(one.ids) for one in engine.score_hidden(texts, 2)] == hidden
    assert any(a.ids.tolist() != b.ids.tolist() for a, b in zip(together, engine.score_hidden(texts, 2), strict=True))
    assert engine.score_hidden([""], 1)[0].ids.tolist() == []


def test_places_are_a_share_and_one_at_least() -> None:
    assert len(places(range(200), HIDDEN_SHARE, 1)) == 30
    assert len(places([7], HIDDEN_SHARE, 1)) == 1
    assert len(places([], HIDDEN_SHARE, 1)) == 0
    assert places(range(50), 0.5, 1).tolist() == sorted(set(places(range(50), 0.5, 1).tolist()))


def test_gaps_are_filled_in_their_order(engine: TorchEngine) -> None:
    texts = ["the [MASK] is [MASK]", "no gap", "[MASK]", "fast " * 30 + "[MASK]"]
    filled = engine.fill(texts)
    assert [len(one.masks) for one in filled] == [2, 0, 1, 0], "a gap beyond the longest text stays"
    assert filled[1].text == "no gap" and filled[3].text == texts[3]
    for one in filled:
        for best in one.masks:
            assert [chance for _, chance in best] == sorted((chance for _, chance in best), reverse=True)
            assert all("[" not in token and token.strip() for token, _ in best)
    assert filled[0].text == f"the {filled[0].masks[0][0][0].strip()} is {filled[0].masks[1][0][0].strip()}"
    assert engine.gap() == "[MASK]"


def pieces() -> Special:
    """A vocabulary as BERT writes it."""
    words = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]", "walk", "##ing", "home", "##", "店"]
    tokenizer = Tokenizer(models.WordPiece({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(words[:5])
    return Special(tokenizer)


def sure_of(*tokens: int) -> np.ndarray:
    logits = np.zeros((len(tokens), 10), dtype=np.float32)
    logits[np.arange(len(tokens)), tokens] = 50.0
    return logits


@pytest.mark.parametrize(
    ("text", "tokens", "filled"),
    [
        ("walk[MASK] home", [6], "walking home"),
        ("walk [MASK] home", [6], "walking home"),
        ("[MASK]", [6], "ing"),
        ("walk [MASK]", [7], "walk home"),
        ("这家[MASK]很[MASK]", [9, 7], "这家店很home"),
        ("[MASK] [MASK] and [MASK]", [5, 6], "walking and [MASK]"),
    ],
)
def test_pieces_of_words_are_joined(text: str, tokens: list[int], filled: str) -> None:
    found = pieces().fill(text, sure_of(*tokens))
    assert found.text == filled
    assert [best[0][0] for best in found.masks] == [
        ["walk", "##ing", "home", "##", "店"][token - 5] for token in tokens
    ]


def test_other_calls_and_tokenizers_without_a_gap_are_refused(engine: TorchEngine) -> None:
    with pytest.raises(UserError, match=r"for fill; embed needs one for embed.*/v1/predict"):
        engine.embed(["a"])
    with pytest.raises(UserError, match="predict needs one for labels"):
        engine.predict(["a"])
    decoder = scratch.train_tokenizer(tiny.texts(50), scratch.DECODER, 300)
    with pytest.raises(ModelError, match=r"no token to hide words with \(\[MASK\] or <mask>\)"):
        Special(decoder)
