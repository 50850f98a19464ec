"""Where a person, a text or a row is: in cleaned texts, in corpora, and in what was made of those.

Every search streams over the Parquet files of the workspace; counts are exact, listed rows may be cut short.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from danlu.core.artifact import MEMBERS, Artifact
from danlu.core.descent import earlier_trainings
from danlu.core.store import Workspace
from danlu.data.identity import IdentityKey, folder_of, key_of
from danlu.data.split import PARTS
from danlu.data.tables import batches

#: Which of a table's rows are meant, as a boolean array.
Wanted = Callable[[pa.Table], pa.Array]

#: Stage -> the folders of its artifact that hold rows.
_FOLDERS: dict[str, tuple[str, ...]] = {"clean": ("texts", "rejected"), "data": (*PARTS, "rejected")}

#: The stages whose artifacts are models, by their `danlu.json`.
_MODEL_STAGES = ("train", "folds")

_TOLD = ("id", "content", "label", "origin", "source", "licence", "consent", "reason")


@dataclass(kw_only=True)
class Holder:
    """An artifact that holds what was looked for: how many rows in each of its folders, and some of these rows.

    For what was made of a corpus, `rows` is empty and `of` names the stages it has them from. `unfinished`: it is no
    artifact, but the work folder of a stage that was stopped or is running.
    """

    stage: str
    fingerprint: str
    folder: str
    rows: dict[str, int] = field(default_factory=dict)
    listed: list[dict[str, Any]] = field(default_factory=list)
    of: list[str] = field(default_factory=list)
    unfinished: bool = False

    @property
    def handed_on(self) -> bool:
        """Whether who reads it reads the rows: what lies in a corpus's rejected/ alone was never learned from."""
        return self.stage != "data" or any(part in PARTS for part in self.rows)

    def as_json(self) -> dict[str, Any]:
        """The holder as plain values."""
        return dict(vars(self))


def of_subject(subject: str, keys: Collection[IdentityKey]) -> Wanted:
    """Rows of the person with this id, which is kept as a hash under one of `keys`; a hash is taken as it is."""
    return _in("subject", {subject.strip(), *(key.name(subject) for key in keys)})


def keys_of(workspace: Workspace, only: Collection[str] | None) -> tuple[list[IdentityKey], list[str]]:
    """The keys that subjects of cleaned texts were hashed under, and fingerprints of those whose key is not here.

    `only`: fingerprints to look at; None for all.
    """
    found: dict[str, IdentityKey] = {}
    lacking = []
    for artifact in _with_subjects(workspace, only, named=True):
        key = key_of(artifact.json("clean.json").get("identity_key"), folder_of(workspace.root))
        if key is None:
            lacking.append(artifact.fingerprint)
        else:
            found[key.mark] = key
    return list(found.values()), lacking


def with_text(text: str) -> Wanted:
    """Rows whose masked text, its counterpart or the answer liked less has `text` in it; case does not count."""

    def wanted(table: pa.Table) -> pa.Array:
        names = [name for name in ("text", "pair", "rejected") if name in table.column_names]
        found = pa.array([False] * table.num_rows)
        for name in names:
            column = table[name].combine_chunks().cast(pa.string())
            found = pc.or_(found, pc.fill_null(pc.match_substring(column, text, ignore_case=True), False))
        return found

    return wanted


def _in(name: str, values: Collection[str]) -> Wanted:
    allowed = pa.array(sorted(values), pa.string())

    def wanted(table: pa.Table) -> pa.Array:
        if name not in table.column_names:
            return pa.array([False] * table.num_rows)
        return pc.is_in(table[name].combine_chunks(), value_set=allowed)

    return wanted


def find(workspace: Workspace, wanted: Wanted, only: Collection[str] | None, most: int) -> list[Holder]:
    """Every artifact that holds the rows that are `wanted`, in the order of the road, oldest first.

    `only`: fingerprints to look at; None for all. `most`: so many rows are listed for each artifact. A row that is
    wanted anywhere is looked for by its id everywhere: a dropped one has no subject in rejected/, and a corpus that was
    made without `data.subject` has none at all, though it may be of the same file.
    """
    every = [artifact for artifact in workspace.artifacts() if only is None or artifact.fingerprint in only]
    holders: dict[str, Holder] = {}
    ids = {name for artifact in every if artifact.record.stage in _FOLDERS for name in _ids(artifact, wanted)}
    for stage in ("clean", "data"):
        for artifact in every:
            if artifact.record.stage == stage:
                holder = _search(artifact, wanted, ids, most)
                if holder.rows:
                    holders[artifact.fingerprint] = holder
    held = {
        artifact.content: "data"
        for artifact in every
        if artifact.record.stage == "data"
        and artifact.fingerprint in holders
        and holders[artifact.fingerprint].handed_on
    }
    return [*holders.values(), *_made_of(every, held)]


def _search(artifact: Artifact, wanted: Wanted, ids: set[str], most: int) -> Holder:
    """Look through one artifact for rows that are wanted, or whose ids are."""
    holder = _holder(artifact)
    for folder in _FOLDERS[artifact.record.stage]:
        for batch in batches(artifact / folder):
            table = pa.table(batch)
            found = table.filter(pc.or_(wanted(table), _in("id", ids)(table)))
            if not found.num_rows:
                continue
            holder.rows[folder] = holder.rows.get(folder, 0) + found.num_rows
            holder.listed += _told(found.slice(0, most - len(holder.listed)), folder)
    return holder


def _ids(artifact: Artifact, wanted: Wanted) -> Iterator[str]:
    for folder in _FOLDERS[artifact.record.stage]:
        for batch in batches(artifact / folder):
            table = pa.table(batch)
            yield from table.filter(wanted(table))["id"].to_pylist()


def without_subjects(workspace: Workspace, only: Collection[str] | None) -> list[str]:
    """Fingerprints of cleaned texts that were made without `data.subject`: whose rows they hold cannot be said."""
    return [artifact.fingerprint for artifact in _with_subjects(workspace, only, named=False)]


def _with_subjects(workspace: Workspace, only: Collection[str] | None, *, named: bool) -> Iterator[Artifact]:
    """Cleaned texts whose recipe named the column of subjects, or those whose recipe did not."""
    for artifact in workspace.artifacts("clean"):
        data = artifact.record.config.get("data") or {}
        if (only is None or artifact.fingerprint in only) and (data.get("subject") is not None) == named:
            yield artifact


def _holder(artifact: Artifact) -> Holder:
    return Holder(stage=artifact.record.stage, fingerprint=artifact.fingerprint, folder=str(artifact.folder))


def _told(rows: pa.Table, folder: str) -> list[dict[str, Any]]:
    """Rows without their texts: where they are is asked, not what they say."""
    names = [name for name in _TOLD if name in rows.column_names]
    return [{"part": folder, **row} for row in rows.select(names).to_pylist()]


def _made_of(every: Iterable[Artifact], held: dict[str, str]) -> Iterator[Holder]:
    """What was made, directly or not, of the artifacts with the contents `held` (content -> stage).

    A model that began with one of an earlier run, or learned from it, is made of that one's corpus too.
    """
    waiting = [artifact for artifact in every if artifact.record.stage not in _FOLDERS]
    progress = True
    while progress:
        progress = False
        for artifact in list(waiting):
            contents = [pair[1] for pair in artifact.record.inputs.values()] + _stands_on(artifact)
            sources = sorted({held[content] for content in contents if content in held})
            if sources:
                waiting.remove(artifact)
                held[artifact.content] = artifact.record.stage
                progress = True
                holder = _holder(artifact)
                holder.of = sources
                yield holder


def _stands_on(artifact: Artifact) -> list[str]:
    """The contents of the earlier trainings that an artifact's models stand on, and of what those were made of.

    A run may have been cleared away since, while its corpus is still here.
    """
    if artifact.record.stage not in _MODEL_STAGES:
        return []
    contents = []
    for path in (artifact / "danlu.json", *sorted((artifact / MEMBERS).glob("*/danlu.json"))):
        if path.is_file():
            for one in earlier_trainings(json.loads(path.read_text(encoding="utf-8"))):
                contents += [one["content"], *(pair[1] for pair in one["inputs"].values())]
    return contents


@dataclass(kw_only=True)
class Trace:
    """One row, back to its file. `files` are those that its origin may mean: one, unless two have the same name."""

    id: str
    content: str | None
    origin: str
    file: str
    line: str
    files: list[dict[str, Any]] = field(default_factory=list)
    places: list[dict[str, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The trace as plain values."""
        return dict(vars(self))


def trace(workspace: Workspace, prefix: str, only: Collection[str] | None, most: int) -> list[Trace]:
    """The rows whose id or content begins with `prefix`, with file and every place where each is; `most` of them."""
    traces: dict[str, Trace] = {}
    prefix = prefix.strip().lower()
    for artifact in workspace.artifacts():
        stage = artifact.record.stage
        if stage not in _FOLDERS or (only is not None and artifact.fingerprint not in only):
            continue
        card = artifact.json("clean.json" if stage == "clean" else "card.json")
        for folder in _FOLDERS[stage]:
            for batch in batches(artifact / folder):
                table = pa.table(batch)
                for row in table.filter(_begins(table, prefix)).to_pylist():
                    found = _traced(traces, row, most)
                    if found is not None:
                        _place(found, row, artifact, folder, card.get("sources", []))
    return list(traces.values())


def _begins(table: pa.Table, prefix: str) -> pa.Array:
    found = pc.starts_with(table["id"].combine_chunks(), prefix)
    if "content" in table.column_names:
        found = pc.or_(found, pc.fill_null(pc.starts_with(table["content"].combine_chunks(), prefix), False))
    return found


def _traced(traces: dict[str, Trace], row: dict[str, Any], most: int) -> Trace | None:
    if row["id"] not in traces:
        if len(traces) >= most:
            return None
        name, _, line = row["origin"].rpartition(":")
        traces[row["id"]] = Trace(id=row["id"], content=row.get("content"), origin=row["origin"], file=name, line=line)
    found = traces[row["id"]]
    found.content = found.content or row.get("content")
    return found


def _place(found: Trace, row: dict[str, Any], artifact: Artifact, folder: str, sources: list[dict[str, Any]]) -> None:
    """Note where the row is, and the files of that name among the sources that it may come from."""
    place = {"stage": artifact.record.stage, "fingerprint": artifact.fingerprint, "part": folder}
    found.places.append(place | ({"reason": row["reason"]} if "reason" in row else {}))
    source = row.get("source")
    meant = [
        one
        for number, one in enumerate(sources)
        if source is None or source == one["name"] or (artifact.record.stage == "clean" and source == number)
    ]
    files = [
        {
            "source": one["name"],
            "name": file["name"],
            "sha256": file["sha256"],
            **{name: one.get(name) for name in ("licence", "origin", "consent", "consent_note")},
        }
        for one in meant
        for file in one["files"]
        if file["name"] == found.file
    ]
    # What knows the source's number or name says more than what knows the file's name only.
    if files and (not found.files or len(files) < len(found.files)):
        found.files = files
