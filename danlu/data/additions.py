"""Rows that training gets beyond the real ones: those augmented from them, and repeats that even out the classes.

They lie beside the real rows of train/ in files of their own. Each has the id of its parent, whose part it shares, so
none can be on another side; one that says what a held-out row says is not written. What is drawn is drawn by what rows
say, so that a file with one row more brings few other additions.

Texts stream by: of each row some numbers are in memory, 8 bytes each.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from danlu.data.augment.config import AugmentConfig
from danlu.data.augment.endpoint import Endpoint
from danlu.data.augment.table import Child, augment
from danlu.data.balance.config import BalanceConfig
from danlu.data.balance.rows import oversample
from danlu.data.leaks import portions, texts_in
from danlu.data.split import PARTS
from danlu.data.steps import content_of
from danlu.data.tables import BATCH_ROWS, SortedPart, Writer, batches, file_batches
from danlu.data.targets import answer_told
from danlu.metrics.leaks import HeldOut

Integers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]

#: Put before the names of files with added rows: sorted behind the real rows' files, whose names go on with a digit.
FILE = "part-added-"

#: What a repeated row's `operation` is.
REPEAT = "repeat"

#: Rows that are kept until their children have come: augmenting reads some hundred rows ahead.
_ROWS_WAITING = 2_048


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
    scratch: Path,
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

    `scratch` is a folder for what waits. `repeats` says how often training rows come whose source is to have a larger
    share, by the first 16 digits of their content. `threshold` is the Jaccard similarity from which a text says what a
    held-out one says. `answers` is a folder that keeps what an endpoint answered, so that it is not paid for twice.
    `advance(n)` is called after every `n` rows read.
    """
    train, made = corpus / "train", scratch / "made"
    schema = pq.read_schema(next(train.glob("*.parquet")))
    added = _Writer(train, scratch / "added", schema)
    dropped = 0
    if augmenting is not None:
        with contextlib.ExitStack() as stack, Writer(made / "rows.parquet", schema) as writer:
            generate = augmenting.generate
            endpoint = generate.endpoint if generate is not None else None
            generator = stack.enter_context(Endpoint(endpoint, answers)) if endpoint is not None else None
            waiting = _Waiting(train, advance)
            children = augment(
                waiting.rows(),
                augmenting,
                seed,
                counts=_label_counts(train),
                synonyms_path=synonyms,
                generator=generator,
            )
            order = _write_all(waiting.children(children), writer, schema)
        stays = _distinct(order, corpus)
        leaking = _leaking(made, stays, corpus, threshold)
        dropped = int(leaking.sum())
        _keep(made, stays & ~leaking, schema)
        added.write(_rows([made]))
    if balancing is not None and balancing.method == "oversample":
        added.write(_repeats([train, made], balancing, seed))
    if repeats:
        added.write(_mixed(train, repeats))
    added.close()
    return Added(by_operation=dict(sorted(added.counts.items())), like_held_out=dropped)


class _Writer:
    """Writes added rows sorted by id, in flat memory, and counts them by operation."""

    def __init__(self, train: Path, scratch: Path, schema: pa.Schema) -> None:
        self.counts: Counter[str] = Counter()
        self._train = train
        self._scratch = scratch
        self._schema = schema
        self._part = SortedPart(scratch / "sorted", scratch / "waiting", schema, shards=1)

    def write(self, rows: Iterable[dict[str, Any]]) -> None:
        for portion in _some(rows):
            self.counts.update(row["operation"] for row in portion)
            self._part.write(pa.Table.from_pylist(portion, schema=self._schema))

    def close(self) -> None:
        if self._part.rows:
            self._part.close()
            for path in sorted((self._scratch / "sorted").glob("*.parquet")):
                shutil.move(path, self._train / path.name.replace("part-", FILE))


def _some(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    left = iter(rows)
    while portion := list(islice(left, BATCH_ROWS)):
        yield portion


def _rows(folders: Iterable[Path], names: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of all folders; None for a column that they do not have."""
    for folder in folders:
        for path in sorted(folder.glob("*.parquet")):
            known = names and [name for name in names if name in pq.read_schema(path).names]
            for batch in file_batches(path, known):
                yield from (dict.fromkeys(names or ()) | row for row in batch.to_pylist())


def _label_counts(train: Path) -> Counter[str]:
    return Counter(row["label"] or "" for row in _rows([train], ["label"]))


def _key_of(row: Mapping[str, Any]) -> str:
    """What a row's draws hang on: what it says, and its answer, where conflicts of answers are kept."""
    return f"{row['content'][:16]}:{answer_told(row)}"


class _Waiting:
    """Training rows on their way to `augment` and back as children with all columns."""

    def __init__(self, train: Path, advance: Callable[[int], None]) -> None:
        self._train = train
        self._advance = advance
        self._rows: dict[str, dict[str, Any]] = {}

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """`(key, text, answer)` of the rows that are one plain text: turns are not rewritten."""
        for row in _rows([self._train]):
            self._advance(1)
            if not row.get("turns"):
                key = _key_of(row)
                self._rows[key] = row
                if len(self._rows) > _ROWS_WAITING:
                    del self._rows[next(iter(self._rows))]
                yield key, row["text"], answer_told(row)

    def children(self, children: Iterable[Child]) -> Iterator[tuple[dict[str, Any], str, int]]:
        """Each child as a row of the corpus, with its parent's key and its number among that one's children."""
        for child in children:
            row = self._rows[child.parent]
            changed = {"text": child.text, "content": content_of(child.text)}
            yield _child(row, child.operation, child.number, changed), child.parent, child.number


def _child(row: Mapping[str, Any], operation: str, number: int, changed: Mapping[str, Any]) -> dict[str, Any]:
    """A row that has what it does not have itself from the row it was made of."""
    name = hashlib.blake2b(f"{row['id']}:{operation}:{number}".encode(), digest_size=16).hexdigest()
    return {**row, **changed, "id": name, "parent": row["id"], "operation": operation}


def _write_all(
    children: Iterable[tuple[dict[str, Any], str, int]], writer: Writer, schema: pa.Schema
) -> tuple[Hashes, Hashes, Integers]:
    """Write children as they come; for each the hashes of what it says and of its parent's key, and its number."""
    found: list[tuple[npt.NDArray[Any], ...]] = []
    left = iter(children)
    while portion := list(islice(left, BATCH_ROWS)):
        writer.write(pa.Table.from_pylist([row for row, _, _ in portion], schema=schema))
        contents = [int(row["content"][:16], 16) for row, _, _ in portion]
        keys = [_hash(key) for _, key, _ in portion]
        numbers = [number for _, _, number in portion]
        found.append((np.array(contents, np.uint64), np.array(keys, np.uint64), np.array(numbers, np.int64)))
    if not found:
        return np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.int64)
    content, key, number = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return content, key, number


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8"), digest_size=8).digest(), "big")


def _distinct(order: tuple[Hashes, Hashes, Integers], corpus: Path) -> Flags:
    """Which children [C] say what no row of any part says, and no child before them in the order of their parents.

    A child that says what a test row says would be a leak. By the first 64 bits of what is said: of ten million texts
    some child is dropped for another one's sake with probability 3e-6.
    """
    content, key, number = order
    place = np.lexsort((number, key, content))
    first = np.ones(len(place), dtype=bool)
    first[1:] = content[place[1:]] != content[place[:-1]]
    stays = np.zeros(len(place), dtype=bool)
    stays[place[first]] = True
    known = np.sort(_contents(corpus / part for part in PARTS))
    if len(known):
        found = np.minimum(np.searchsorted(known, content), len(known) - 1)
        stays &= known[found] != content
    return stays


def _contents(folders: Iterable[Path]) -> Hashes:
    """The first 64 bits of what each row of the folders says."""
    found = [
        np.array([int(value[:16], 16) for value in batch.column(0).to_pylist()], dtype=np.uint64)
        for folder in folders
        for batch in batches(folder, ["content"])
    ]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.uint64)


def _leaking(made: Path, wanted: Flags, corpus: Path, threshold: float) -> Flags:
    """Which of the wanted children say, nearly, what a held-out row says."""
    leaking = np.zeros(len(wanted), dtype=bool)
    if wanted.any():
        for _, portion in portions(texts_in([corpus / part for part in PARTS[1:]])):
            held_out = HeldOut(portion, threshold)
            for rows, texts in texts_in([made], wanted):
                leaking[rows[held_out.leaks(texts)[:, 0]]] = True
    return leaking


def _keep(made: Path, wanted: Flags, schema: pa.Schema) -> None:
    """Write the wanted children anew and nothing else."""
    before, after = made / "rows.parquet", made / "kept.parquet"
    start = 0
    with Writer(after, schema) as writer:
        for batch in file_batches(before):
            writer.write(batch.filter(pa.array(wanted[start : start + batch.num_rows])))
            start += batch.num_rows
    before.unlink()


def _repeats(folders: list[Path], config: BalanceConfig, seed: int) -> Iterator[dict[str, Any]]:
    """Repeats of real and augmented rows, so that small classes reach the target."""
    numbers: dict[str, int] = {}
    labels: list[npt.NDArray[np.int32]] = []
    keys: list[Hashes] = []
    for portion in _some(_rows(folders, ["content", "label", "parent"])):
        labels.append(np.array([numbers.setdefault(row["label"] or "", len(numbers)) for row in portion], np.int32))
        keys.append(np.array([_hash(_key_of(row)) for row in portion], np.uint64))
    chosen = oversample(
        np.concatenate(labels), config.target, seed, keys=np.concatenate(keys), most_repeats=config.most_repeats
    )
    times = np.bincount(chosen)
    del chosen, labels, keys
    for place, row in enumerate(_rows(folders)):
        for number in range(1, int(times[place])):
            yield _child(row, REPEAT, number, {})


def _mixed(train: Path, repeats: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    """Each row that is to come `n` times, n - 1 times more."""
    for row in _rows([train]):
        for number in range(1, repeats.get(row["content"][:16], 1)):
            yield _child(row, REPEAT, number, {})
