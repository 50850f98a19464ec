"""Rows that training gets beyond the real ones: those augmented from them, and repeats that even out the classes.

They lie beside the real rows of train/ in a file of their own. Each has the id of its parent, whose part it shares, so
none can be on another side; one that says what a held-out row says is not written.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from danlu.data.augment.config import AugmentConfig
from danlu.data.augment.endpoint import Endpoint
from danlu.data.augment.table import Child, augment, distinct
from danlu.data.balance.config import BalanceConfig
from danlu.data.balance.rows import oversample
from danlu.data.pairs import texts_of
from danlu.data.split import PARTS
from danlu.data.steps import content_of
from danlu.data.tables import batches
from danlu.metrics.leaks import HeldOut

#: Sorted behind the real rows' files, whose names go on with a digit.
FILE = "part-added.parquet"

#: What a repeated row's `operation` is.
REPEAT = "repeat"


@dataclass(frozen=True, kw_only=True)
class Added:
    """How many rows were added, by operation, and how many were not since they say what a held-out row says."""

    by_operation: Mapping[str, int]
    like_held_out: int

    def card(self) -> dict[str, Any]:
        """The entry in card.json."""
        return {"rows": sum(self.by_operation.values()), **vars(self)}


def add_rows(
    corpus: Path,
    *,
    augmenting: AugmentConfig | None,
    balancing: BalanceConfig | None,
    repeats: Mapping[str, int],
    seed: int,
    threshold: float,
    synonyms: Path | None,
    answers: Path,
    advance: Callable[[int], None],
) -> Added:
    """Write the added rows of the corpus in `corpus`, if there are any, and say how many.

    `repeats` says how often training rows come whose source is to have a larger share, by the first 16 digits of
    their content. `threshold` is the Jaccard similarity from which a text says what a held-out one says. `answers` is
    a folder that keeps what an endpoint answered, so that it is not paid for twice. `advance(n)` is called after every
    `n` rows read.
    """
    children: list[Child] = []
    dropped = 0
    if augmenting is not None:
        with contextlib.ExitStack() as stack:
            generate = augmenting.generate
            endpoint = generate.endpoint if generate is not None else None
            generator = stack.enter_context(Endpoint(endpoint, answers)) if endpoint is not None else None
            made = augment(
                _rows(corpus, advance),
                augmenting,
                seed,
                counts=_label_counts(corpus),
                synonyms_path=synonyms,
                generator=generator,
            )
            children = distinct(made, _texts(corpus, PARTS))
        children, dropped = _without_leaks(children, corpus, threshold)
    if balancing is not None and balancing.method == "oversample":
        children += _repeats(corpus, children, balancing, seed)
    if repeats:
        children += _mixed(corpus, repeats)
    if children:
        _write(corpus, children)
    return Added(
        by_operation=dict(sorted(Counter(child.operation for child in children).items())), like_held_out=dropped
    )


def _rows(corpus: Path, advance: Callable[[int], None]) -> Iterator[tuple[str, str, str]]:
    """`(id, text, label)` of the training rows that are one plain text: turns are not rewritten."""
    for row in _columns(corpus, ("id", "text", "label", "turns")):
        advance(1)
        if not row["turns"]:
            yield row["id"], row["text"], row["label"] or ""


def _columns(corpus: Path, names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    known = set(pq.read_schema(next((corpus / "train").glob("*.parquet"))).names)
    for batch in batches(corpus / "train", [name for name in names if name in known]):
        yield from (dict.fromkeys(names) | row for row in batch.to_pylist())


def _label_counts(corpus: Path) -> Counter[str]:
    return Counter(row["label"] or "" for row in _columns(corpus, ("label",)))


def _texts(corpus: Path, parts: tuple[str, ...]) -> Iterator[str]:
    for part in parts:
        for _, texts in texts_of(corpus / part):
            yield from texts


def _without_leaks(children: list[Child], corpus: Path, threshold: float) -> tuple[list[Child], int]:
    held_out = list(_texts(corpus, PARTS[1:]))
    leaking = {int(row) for row in HeldOut(held_out, threshold).leaks([child.text for child in children])[:, 0]}
    return [child for number, child in enumerate(children) if number not in leaking], len(leaking)


def _repeats(corpus: Path, children: list[Child], config: BalanceConfig, seed: int) -> Iterator[Child]:
    """Repeats of real and augmented rows, so that small classes reach the target."""
    rows = [(row["id"], row["text"], row["label"] or "") for row in _columns(corpus, ("id", "text", "label"))]
    rows += [(_id_of(child), child.text, child.label) for child in children]
    chosen = oversample(
        [label for _, _, label in rows],
        config.target,
        seed,
        keys=[name for name, _, _ in rows],
        most_repeats=config.most_repeats,
    )
    for place, count in sorted(Counter(chosen.tolist()).items()):
        name, text, label = rows[place]
        for number in range(1, count):
            yield Child(name, number, text, label, REPEAT)


def _mixed(corpus: Path, repeats: Mapping[str, int]) -> Iterator[Child]:
    """Each row that is to come `n` times, n - 1 times more."""
    for row in _columns(corpus, ("id", "content", "text", "label")):
        for number in range(1, repeats.get(row["content"][:16], 1)):
            yield Child(row["id"], number, row["text"], row["label"] or "", REPEAT)


def _id_of(child: Child) -> str:
    name = f"{child.parent}:{child.operation}:{child.number}"
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()


def _write(corpus: Path, children: list[Child]) -> None:
    """Children as rows of the corpus, sorted by id: what they do not have themselves is that of the real row."""
    # A repeat may be of an augmented row, whose own parent is real.
    augmented = {_id_of(child): child.parent for child in children if child.operation != REPEAT}
    real = {augmented.get(child.parent, child.parent) for child in children}
    found: dict[str, dict[str, Any]] = {}
    schema = pq.read_schema(next((corpus / "train").glob("*.parquet")))
    for batch in batches(corpus / "train"):
        found.update((row["id"], row) for row in batch.to_pylist() if row["id"] in real)
    rows = []
    for child in children:
        row = {**found[augmented.get(child.parent, child.parent)], "id": _id_of(child), "text": child.text}
        row |= {"content": content_of(child.text), "parent": child.parent, "operation": child.operation}
        rows.append(row)
    rows.sort(key=lambda row: str(row["id"]))
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), corpus / "train" / FILE, compression="zstd")
