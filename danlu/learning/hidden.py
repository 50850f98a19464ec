"""Which tokens of a text are hidden, without torch: what training, engines and evaluation share.

T tokens of a text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer

#: What encoders call the token that stands where a word is hidden.
MASK_NAMES = ("[MASK]", "<mask>")


def mask_token(tokenizer: Tokenizer) -> tuple[str, int] | None:
    """Name and number of the token that hides words, or None for a model that knows none."""
    for name in MASK_NAMES:
        number = tokenizer.token_to_id(name)
        if number is not None:
            return name, int(number)
    return None


def special_ids(tokenizer: Tokenizer) -> np.ndarray:
    """Numbers of the tokens that are no words, sorted."""
    added = tokenizer.get_added_tokens_decoder()
    return np.array(sorted(number for number, token in added.items() if token.special), dtype=np.int64)


def places(ids: Sequence[int], share: float, seed: int) -> np.ndarray:
    """Places of `share` of the tokens of a text, sorted; one at least, none where there are no tokens.

    A function of the tokens and the seed alone: the same text has the same words hidden in every batch, corpus and
    form of a model.
    """
    if not len(ids):
        return np.zeros(0, dtype=np.int64)
    told = hashlib.sha256(np.asarray(ids, dtype=np.int64).tobytes()).digest()[:8]
    generator = np.random.default_rng([seed, int.from_bytes(told, "little")])
    count = min(len(ids), max(1, round(share * len(ids))))
    return np.sort(generator.permutation(len(ids))[:count])
