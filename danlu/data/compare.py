"""What changed between two corpora.

Rows are matched by content (the hash of the masked text): a row's id changes whenever its file does. Both corpora are
dealt out into files by the first digits of the content, and one file of each is compared at a time, so that memory
does not grow with the rows.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from danlu.core.artifact import Artifact
from danlu.core.store import Workspace
from danlu.data.split import PARTS
from danlu.data.tables import Buckets, batches
from danlu.data.targets import COLUMNS, answer_told
from danlu.sources.targets import TARGETS

#: About so many rows of each corpus are in memory at once.
_ROWS_AT_ONCE = 50_000
_MOST_FILES = 256

_SCHEMA = pa.schema([("content", pa.string()), *COLUMNS.items(), ("part", pa.string()), ("origin", pa.string())])

#: By what rows are counted on each side.
_COUNTED = ("part", "label", "source", "licence", "consent")

#: Stages whose settings make a corpus; the data stage reads the other two.
_STAGES = ("clean", "duplicates", "data")


@dataclass(kw_only=True)
class Difference:
    """What `compare` found; counts are of rows unless said otherwise.

    `counts`: what is counted -> value -> [rows before, rows after]. `moved`: "train → test" -> texts. `relabelled`:
    "good → bad" -> texts. `examples` of each kind of change, without texts. `settings`: dotted name -> [before,
    after]. `files`: SHA-256 -> name, of the source files that only one of the two was made from.
    """

    before: str
    after: str
    rows: list[int] = field(default_factory=lambda: [0, 0])
    counts: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    added: int = 0
    removed: int = 0
    kept: int = 0
    moved: Counter[str] = field(default_factory=Counter)
    relabelled: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    dropped: dict[str, list[int]] = field(default_factory=dict)
    settings: dict[str, list[Any]] = field(default_factory=dict)
    files_added: dict[str, str] = field(default_factory=dict)
    files_removed: dict[str, str] = field(default_factory=dict)

    @property
    def same(self) -> bool:
        """Whether the rows, their parts and their labels are the same."""
        return not (self.added or self.removed or self.moved or self.relabelled)

    def as_json(self) -> dict[str, Any]:
        """The difference as plain values, the most frequent change first."""
        return vars(self) | {"moved": _ranked(self.moved), "relabelled": _ranked(self.relabelled), "same": self.same}


def _ranked(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def compare(before: Artifact, after: Artifact, workspace: Workspace, most: int = 20) -> Difference:
    """Compare two Corpus artifacts; at most `most` examples of each kind of change are listed.

    Writes some 100 bytes a row into the workspace's cache while it works.
    """
    found = Difference(before=before.fingerprint, after=after.fingerprint)
    both = (before, after)
    cache = workspace.root / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    rows = sum(pq.ParquetFile(path).metadata.num_rows for corpus in both for path in _files(corpus, PARTS))
    shards = min(_MOST_FILES, 1 + rows // (2 * _ROWS_AT_ONCE))
    with tempfile.TemporaryDirectory(dir=cache, prefix="compare-") as scratch:
        dealt = [_deal_out(corpus, Path(scratch) / str(side), shards, side, found) for side, corpus in enumerate(both)]
        for number in range(shards):
            old, new = (_by_content(buckets.read(number)) for buckets in dealt)
            _compare_rows(old, new, found, most)
    cards = [corpus.json("card.json") for corpus in both]
    dropped, settings = [_dropped(card) for card in cards], [_settings(corpus, workspace) for corpus in both]
    found.dropped = _changed(dropped[0], dropped[1], 0)
    found.settings = _changed(settings[0], settings[1], None)
    files = [_source_files(card) for card in cards]
    found.files_added = {digest: name for digest, name in files[1].items() if digest not in files[0]}
    found.files_removed = {digest: name for digest, name in files[0].items() if digest not in files[1]}
    return found


def _files(corpus: Artifact, parts: tuple[str, ...]) -> Iterator[Path]:
    for part in parts:
        yield from sorted((corpus / part).glob("*.parquet"))


def _deal_out(corpus: Artifact, folder: Path, shards: int, side: int, found: Difference) -> Buckets:
    """Deal the rows of a corpus out to `shards` files by content, and count them."""
    buckets = Buckets(folder, _SCHEMA, shards, "content")
    for part in PARTS:
        for batch in batches(corpus / part):
            table = pa.table(batch)
            table = table.append_column("part", pa.array([part] * table.num_rows, pa.string()))
            found.rows[side] += table.num_rows
            for name in _COUNTED:
                if name in table.column_names:
                    _add(found.counts.setdefault(name, {}), table[name], side)
            if "labels" in table.column_names:
                _add(found.counts.setdefault("label", {}), pc.list_flatten(table["labels"]), side)
            if "targets" in table.column_names:
                names = [name for kept in table["targets"].to_pylist() for name in TARGETS["multitask"].names(kept)]
                _add(found.counts.setdefault("label", {}), pa.chunked_array([names], pa.string()), side)
            table = pa.table(
                [
                    table[name] if name in table.column_names else pa.nulls(table.num_rows, kind)
                    for name, kind in zip(_SCHEMA.names, _SCHEMA.types, strict=True)
                ],
                names=_SCHEMA.names,
            )
            buckets.write(table)
    buckets.close()
    return buckets


def _add(counts: dict[str, list[int]], values: pa.ChunkedArray, side: int) -> None:
    for entry in values.value_counts().to_pylist():
        if entry["values"] is not None:
            counts.setdefault(entry["values"], [0, 0])[side] += entry["counts"]


@dataclass(kw_only=True)
class _Text:
    """The rows of one content: it is in one part, and may carry several answers where the recipe keeps conflicts."""

    part: str
    labels: list[str]
    origin: str


def _by_content(rows: pa.Table) -> dict[str, _Text]:
    texts: dict[str, _Text] = {}
    for row in rows.to_pylist():
        text = texts.setdefault(row["content"], _Text(part=row["part"], labels=[], origin=row["origin"]))
        text.labels.append(answer_told(row))
    for text in texts.values():
        text.labels.sort()
    return texts


def _compare_rows(old: Mapping[str, _Text], new: Mapping[str, _Text], found: Difference, most: int) -> None:
    for content in sorted(old.keys() | new.keys()):
        before, after = old.get(content), new.get(content)
        if before is None:
            assert after is not None
            found.added += len(after.labels)
            _example(found, "added", content, after, most)
        elif after is None:
            found.removed += len(before.labels)
            _example(found, "removed", content, before, most)
        else:
            found.kept += min(len(before.labels), len(after.labels))
            found.added += max(0, len(after.labels) - len(before.labels))
            found.removed += max(0, len(before.labels) - len(after.labels))
            if before.part != after.part:
                change = f"{before.part} → {after.part}"
                found.moved[change] += 1
                _example(found, "moved", content, after, most, change)
            # Each label once: a row that balancing repeats has no other label for that.
            old_labels, new_labels = (sorted(set(text.labels)) for text in (before, after))
            if old_labels != new_labels:
                change = f"{' + '.join(old_labels)} → {' + '.join(new_labels)}"
                found.relabelled[change] += 1
                _example(found, "relabelled", content, after, most, change)


def _example(found: Difference, kind: str, content: str, text: _Text, most: int, change: str = "") -> None:
    listed = found.examples.setdefault(kind, [])
    if len(listed) < most:
        told = {"content": content, "part": text.part, "labels": text.labels, "origin": text.origin}
        listed.append(told | ({"change": change} if change else {}))


def _dropped(card: Mapping[str, Any]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for step in card.get("funnel", ()):
        total.update(step["dropped"])
    return dict(total)


def _source_files(card: Mapping[str, Any]) -> dict[str, str]:
    return {file["sha256"]: file["name"] for source in card.get("sources", ()) for file in source["files"]}


def _settings(corpus: Artifact, workspace: Workspace) -> dict[str, Any]:
    """The settings that made a corpus, by dotted name, and the versions of the stages."""
    found: dict[str, Any] = {}
    for stage in _STAGES:
        made = corpus if stage == "data" else workspace.find(stage, corpus.record.inputs.get(stage, [""])[0])
        if made is not None:
            found[f"version of the stage {stage}"] = made.record.version
            found |= _flat(made.record.config)
    return found


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return {key: leaf for name, item in value.items() for key, leaf in _flat(item, f"{path}.{name}").items()}
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return {key: leaf for index, item in enumerate(value) for key, leaf in _flat(item, f"{path}[{index}]").items()}
    return {path.lstrip("."): value}


def _changed(before: Mapping[str, Any], after: Mapping[str, Any], nothing: Any) -> dict[str, list[Any]]:
    pairs = {name: [before.get(name, nothing), after.get(name, nothing)] for name in sorted({*before, *after})}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
