"""From texts to token numbers, without torch: what training, every engine and the plan share.

Shapes: B texts in a batch, T tokens of the longest one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from danlu.core.errors import ModelError

TOKENIZER_FILE = "tokenizer.json"

#: What the common model families call their special tokens, in the order in which they are looked for.
_PAD_NAMES = ("[PAD]", "<pad>", "<|pad|>", "<|endoftext|>", "</s>")
_START_NAMES = ("<s>", "<bos>", "<|begin_of_text|>", "[CLS]")
_END_NAMES = ("</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>", "[SEP]")


def load_tokenizer(folder: Path) -> Tokenizer:
    """Read `tokenizer.json`; cutting and padding that the file asks for are switched off, they are done here.

    Raises `ModelError` when the file is missing or cannot be read.
    """
    path = folder / TOKENIZER_FILE
    if not path.is_file():
        raise ModelError(
            f"The model folder {str(folder)!r} has no {TOKENIZER_FILE}. Expected a fast tokenizer: load the model's "
            "tokenizer with transformers and call save_pretrained, which writes it."
        )
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception for every kind of bad file
        raise ModelError(f"{str(path)!r} is not a tokenizer file: {error}.") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Token numbers of each text with its special tokens, cut to `max_length` tokens in all, not padded."""
    cut = tokenizer.truncation
    if cut is None or cut["max_length"] != max_length:
        tokenizer.enable_truncation(max_length)
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]


def encode_whole(tokenizer: Tokenizer, texts: Sequence[str], *, special: bool = True) -> list[list[int]]:
    """`encode` without cutting; without the tokens for a text's beginning and end where they are not `special`."""
    tokenizer.no_truncation()
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts), add_special_tokens=special)]


def encode_documents(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """`encode_whole` with the end token (`end_id`) after each text that does not have it already.

    What a language model is trained to foresee, and what it is scored on: the end of a text is part of it.
    """
    end = end_id(tokenizer)
    closing = [] if end is None else [end]
    return [row if row[-1:] == closing else row + closing for row in encode_whole(tokenizer, texts)]


def encode_spans(tokenizer: Tokenizer, text: str, spans: Sequence[tuple[int, int]]) -> tuple[list[int], list[bool]]:
    """Token numbers of `text`, uncut and with none added, and of each whether it lies in one of the `spans`.

    A span is `(begin, end)` in characters; a token that reaches over its beginning belongs to it.
    """
    tokenizer.no_truncation()
    encoding = tokenizer.encode(text, add_special_tokens=False)
    inside = [any(begin < last <= end for begin, end in spans) for _, last in encoding.offsets]
    return list(encoding.ids), inside


def pad(rows: list[list[int]], pad_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of token numbers as one rectangle: `(ids [B, T], mask [B, T])`, int64; mask is 1 on real tokens."""
    longest = max((len(row) for row in rows), default=0)
    ids = np.full((len(rows), longest), pad_id, dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return ids, mask


def _first_known(tokenizer: Tokenizer, names: Sequence[str]) -> int | None:
    """The first of `names` that is a special token; where none is, the first that is a token at all.

    Gemma's vocabulary has the HTML tags <s> and </s> as words, beside <bos> and <eos>.
    """
    known = [int(number) for name in names if (number := tokenizer.token_to_id(name)) is not None]
    if len(known) < 2:
        return next(iter(known), None)
    special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    return next((number for number in known if number in special), known[0])


def pad_id(tokenizer: Tokenizer) -> int:
    """Number of the padding token; 0 where there is none, which is as good, since the mask hides it."""
    return _first_known(tokenizer, _PAD_NAMES) or 0


def start_id(tokenizer: Tokenizer) -> int | None:
    """Number of the token that opens a document, or None where the model knows none."""
    return _first_known(tokenizer, _START_NAMES)


def end_id(tokenizer: Tokenizer) -> int | None:
    """Number of the token that closes a document, or None where the model knows none."""
    return _first_known(tokenizer, _END_NAMES)


def auto_length(lengths: Sequence[int] | np.ndarray, positions: int) -> int:
    """What `model.max_length: auto` means: 99 % of the texts fit whole.

    `lengths` are the training texts' lengths in tokens, special ones included, uncut. Their 99th percentile is
    rounded up to a multiple of 8 (kind to every kernel) and kept to `positions`, the most the model can take.
    """
    if len(lengths) == 0:
        return positions
    percentile = float(np.percentile(np.asarray(lengths), 99, method="higher"))
    return min(max(8, 8 * math.ceil(percentile / 8)), positions)
