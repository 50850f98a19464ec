"""From what is asked (`danlu.core.asked`) to what a model reads, without torch: training and every engine share it.

Two texts are dressed as the base model's own tokenizer dresses them (Devlin et al. 2019, arXiv:1810.04805, section 3.2:
`[CLS] a [SEP] b [SEP]`), and where they are too long together, the longer one is cut first.

Shapes: N questions, B of them in a batch, T tokens of the longest one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from danlu.core.asked import Cell, Question, Takes, as_asked, question
from danlu.core.columns import Codes, read_codes
from danlu.core.errors import ModelError

#: The name under which examples and batches keep where the second segment of each begins.
SECOND = "second"

#: The names under which examples, batches and models know the cells beside a text, coded.
NUMBERS, CATEGORIES = "numbers", "categories"

#: Beside the weights of a model that is told columns: how their cells are coded.
COLUMNS = "columns.json"

#: The columns of a corpus that hold what stands beside the text of a question; one may not be there.
BESIDE = ("pair", "numbers", "categories")

#: What stands between two texts whose tokenizer has no form for two.
_BETWEEN = "\n"


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Token numbers of each question, special ones included, not padded.

    `second` [N]: the place in a row from which its tokens are of the second segment; a row's length where there is
    none. Empty for texts that stand alone.
    """

    rows: list[list[int]]
    second: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


def encode_asked(
    tokenizer: Tokenizer, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int | None
) -> Encoded:
    """Texts, or pairs of them where `pairs` [N] are given, cut to `max_length` tokens in all; None cuts nothing."""
    if max_length is None:
        tokenizer.no_truncation()
    elif tokenizer.truncation is None or tokenizer.truncation["max_length"] != max_length:
        tokenizer.enable_truncation(max_length, strategy="longest_first")
    if not pairs:
        return Encoded(rows=[encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))])
    between = "" if _has_form_for_two(tokenizer) else _BETWEEN
    both = [(text, f"{between}{pair}") for text, pair in zip(texts, pairs, strict=True)]
    found = tokenizer.encode_batch_fast(both)
    begins = [encoding.type_ids.index(1) if 1 in encoding.type_ids else len(encoding.ids) for encoding in found]
    return Encoded(rows=[encoding.ids for encoding in found], second=np.array(begins, dtype=np.int64))


def _has_form_for_two(tokenizer: Tokenizer) -> bool:
    """Whether the tokenizer puts something between two texts; those of most language models do not."""
    # Not from the number of special tokens: some put them at both ends alone.
    places: list[int | None] = tokenizer.encode("a", "b").sequence_ids
    if 0 not in places or 1 not in places:
        return True  # it reads neither letter, so nothing can be told of it
    return None in places[places.index(0) : places.index(1)]


def token_types(second: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`token_type_ids` int64 [B, T]: 1 from `second` [B] on, 0 before and on padding (`mask` 0)."""
    return ((np.arange(mask.shape[1])[None, :] >= second[:, None]) & (mask > 0)).astype(np.int64)


def knows_two_segments(config: Mapping[str, Any]) -> bool:
    """Whether a model by its `config.json` has vectors of its own for the tokens of a second text."""
    return int(config.get("type_vocab_size") or 0) > 1


def beside(takes: Takes) -> list[str]:
    """The columns of a corpus that hold what a model takes beside a text."""
    return [*(["pair"] if takes.pair else []), *(BESIDE[1:] if takes.columns else [])]


def questions(rows: Mapping[str, Sequence[Any]]) -> list[Question]:
    """The rows of a corpus part as they are asked: `text`, and `pair`, `numbers` and `categories` where there are some.

    A column that the corpus does not have is empty or not there; a text that stands alone is a plain string.
    """
    texts: Sequence[str] = rows["text"]
    nothing: list[None] = [None] * len(texts)
    pairs: Sequence[str | None] = rows.get("pair") or nothing
    cells: Sequence[dict[str, Cell] | None] = cells_of(rows) or nothing
    return [question(text, pair, beside) for text, pair, beside in zip(texts, pairs, cells, strict=True)]


def cells_of(rows: Mapping[str, Sequence[Any]]) -> list[dict[str, Cell]]:
    """The cells beside each text, by name, from the columns of a corpus part; empty where it has none."""
    both = [rows.get(name) or [] for name in (NUMBERS, CATEGORIES)]
    if not any(both):
        return []
    return [{**dict(numbers or ()), **dict(words or ())} for numbers, words in zip(*both, strict=True)]


def coded(codes: Codes, cells: Sequence[Mapping[str, Cell]]) -> dict[str, np.ndarray]:
    """What a model reads of cells: `numbers` float32 [N, 2 M] and `categories` int64 [N, C], as far as it has them."""
    found: dict[str, np.ndarray] = {}
    if codes.numeric:
        found[NUMBERS] = np.array([codes.numbers(one) for one in cells], np.float32).reshape(len(cells), -1)
    if codes.categorical:
        found[CATEGORIES] = np.array([codes.categories(one) for one in cells], np.int64).reshape(len(cells), -1)
    return found


def load_codes(folder: Path) -> Codes:
    """How the cells of the model in `folder` are coded. Raises `ModelError` where that cannot be read."""
    path = folder / COLUMNS
    try:
        return read_codes(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} cannot be read ({error!r}). Export the model again with `danlu run`.") from error


def spellable(asked: Sequence[Question]) -> tuple[list[str], list[str] | None]:
    """Texts and pairs [N] as a tokenizer can take them; see `spell`."""
    found = [as_asked(one) for one in asked]
    texts = [spell(one.text) for one in found]
    pairs = [spell(one.pair) for one in found if one.pair is not None]
    return texts, pairs or None


def spell(text: str) -> str:
    """`text` with halves of surrogate pairs, which JSON can carry but no tokenizer takes, as question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
