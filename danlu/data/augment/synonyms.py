"""Which words may stand for one another: from a user's file, or from neighbours in a space of word vectors.

There is no thesaurus in Danlu: WordNet and the Chinese ones come as downloads or under licences that do not allow it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from danlu.core.errors import DataError

Synonyms = Mapping[str, Sequence[str]]

_COMMA = re.compile("[,，、]")


def read_synonyms(path: Path) -> dict[str, list[str]]:
    """Synonyms by word from lines of `word<TAB>synonym,synonym`; words in letters are known in lower case.

    Raises `DataError` for a file that cannot be read, a line of another form, and a file without any synonym.
    """
    try:
        lines = path.read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name}, the file of synonyms, is not UTF-8 (byte {error.start:,}). Save it as UTF-8."
        ) from error
    except OSError as error:
        raise DataError(f"{path.name}, the file of synonyms, cannot be read: {error.strerror}.") from error
    found: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        word, tab, others = line.partition("\t")
        word = word.strip().lower()
        listed = [other for part in _COMMA.split(others) if (other := part.strip()) and other.lower() != word]
        if not tab or not word or not listed:
            raise DataError(
                f"{path.name}, line {number}: {line[:60]!r} came; expected a word, a tab and its synonyms with commas "
                "between, such as 'good<TAB>fine,great'."
            )
        found[word] = list(dict.fromkeys([*found.get(word, []), *listed]))
    if not found:
        raise DataError(
            f"{path.name}, the file of synonyms, has no line in it. Write lines 'word<TAB>synonym,synonym'."
        )
    return found


def neighbours(
    words: Sequence[str], vectors: npt.ArrayLike, most: int = 5, similarity: float = 0.7
) -> dict[str, list[str]]:
    """Words by nearness of their vectors [W, D]: for each, the `most` nearest of cosine `similarity` or more.

    Near words are used alike, which holds for opposites too (good and bad): for a task about mood, a file of synonyms
    is safer. Raises `DataError` where words and vectors do not match.
    """
    rows = np.asarray(vectors, dtype=np.float32)
    if rows.ndim != 2 or len(rows) != len(words):
        raise DataError(
            f"{len(words):,} words came with vectors of shape {rows.shape}; expected one row for each word."
        )
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    found: dict[str, list[str]] = {}
    for start in range(0, len(words), 1_024):
        near = rows[start : start + 1_024] @ rows.T
        for offset, row in enumerate(near):
            row[start + offset] = -1.0
            ranked = np.argsort(-row, kind="stable")[:most]
            if chosen := [words[place] for place in ranked.tolist() if row[place] >= similarity]:
                found[words[start + offset].lower()] = chosen
    return found
