"""The labelled rows of a corpus, and rows outside it, cleaned and masked as the corpus was."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from danlu.core.artifact import Artifact
from danlu.core.errors import DataError, UserError
from danlu.core.fingerprint import SECRET
from danlu.core.store import Workspace
from danlu.data.config import CleanConfig
from danlu.data.split import PARTS
from danlu.data.steps import Cleaner, content_of
from danlu.data.tables import batches
from danlu.metrics.naive import choose_rows
from danlu.sources.formats import open_file
from danlu.sources.records import missing_column
from danlu.sources.values import as_text

#: More rows than this are not judged at once: probabilities from five folds would take longer than they are worth.
MOST_ROWS = 50_000


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of a corpus, as columns [N] of equal length, sorted by content."""

    contents: list[str]
    texts: list[str]
    labels: list[str]
    clusters: list[str]
    parts: list[str]

    def __len__(self) -> int:
        return len(self.contents)

    def select(self, positions: Collection[int]) -> Rows:
        """The rows at these positions, in their order."""
        return Rows(**{name: [column[position] for position in positions] for name, column in vars(self).items()})


def cleaning_of(corpus: Artifact, workspace: Workspace) -> CleanConfig:
    """How the rows of the corpus were cleaned, as far as that can be done again: without its list of blocked words.

    Raises `UserError` for a corpus of another task than classify, and for one that cannot be understood any more.
    """
    if corpus.record.config["task"] != "classify":
        task = corpus.record.config["task"]
        raise UserError(
            f"The corpus {corpus.fingerprint[:12]} is for {task}; `danlu label` is for classify, where each text "
            "has one label. Correct other answers in the files, and run the recipe again."
        )
    clean = workspace.find("clean", corpus.record.inputs.get("clean", [""])[0])
    if clean is None:
        raise UserError(
            f"What the corpus {corpus.fingerprint[:12]} was made from is gone. Run its recipe again, then export."
        )
    section = dict(clean.record.config["data"])
    # The record keeps what files held, not where they were: they cannot be read from it.
    section["sources"] = [{"path": "unknown"}]
    section.pop("identity_key", None)
    section["mask"] = {name: value for name, value in section["mask"].items() if name != SECRET}
    section["filters"] = {name: value for name, value in section["filters"].items() if name != "blocked_words"}
    try:
        return CleanConfig.model_validate_json(json.dumps(section))
    except ValidationError as error:
        raise UserError(
            f"The corpus {corpus.fingerprint[:12]} was made by another version of Danlu "
            f"({error.error_count()} settings are unknown here). Run its recipe again, then export."
        ) from None


def read_rows(
    corpus: Artifact, parts: Collection[str], without: Collection[str], seed: int, most: int = MOST_ROWS
) -> Rows:
    """The rows of these parts of a corpus but those with a content in `without`; about `most` of them.

    Where there are more, whole clusters are drawn at random by `seed`.
    """
    left_out = set(without)
    found: dict[str, tuple[str, str, str]] = {}
    for part in PARTS:
        if part in parts:
            for batch in batches(corpus / part, ["content", "label", "cluster"]):
                for content, label, cluster in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    if content not in left_out:
                        found[content] = (label, cluster, part)
    contents = sorted(found)
    if contents:
        _, member = np.unique(
            np.asarray([found[content][1] for content in contents], dtype=object), return_inverse=True
        )
        chosen = choose_rows(member, np.arange(len(contents)), seed, most)
        contents = [content for content, wanted in zip(contents, chosen, strict=True) if wanted]
    wanted = set(contents)
    texts: dict[str, str] = {}
    for part in parts:
        for batch in batches(corpus / part, ["content", "text"]):
            pairs = zip(*(column.to_pylist() for column in batch.columns), strict=True)
            texts.update((content, text) for content, text in pairs if content in wanted)
    return Rows(
        contents=contents,
        texts=[texts[content] for content in contents],
        labels=[found[content][0] for content in contents],
        clusters=[found[content][1] for content in contents],
        parts=[found[content][2] for content in contents],
    )


def all_contents(corpus: Artifact) -> set[str]:
    """The content hashes of every row of the corpus."""
    return {
        content
        for part in PARTS
        for batch in batches(corpus / part, ["content"])
        for content in batch.column(0).to_pylist()
    }


def read_unlabelled(path: Path, column: str | None, config: CleanConfig, known: Collection[str]) -> dict[str, str]:
    """The texts of a file by content, cleaned and masked as the corpus was, without those in `known`.

    `column` defaults to the corpus's own text column; a file with a single column needs no name. Raises `DataError`
    when the file cannot be read or nothing is left.
    """
    if not path.is_file():
        raise DataError(f"There is no file {str(path)!r}. Check what --unlabelled names.")
    opened = open_file(path)
    name = column or (opened.columns[0] if len(opened.columns) == 1 else config.text)
    if opened.columns and name not in opened.columns:
        raise DataError(f"{missing_column(path.name, name, opened)} Here the column is named with --text.")
    cleaner = Cleaner(config, {})
    found: dict[str, str] = {}
    rows = 0
    for row in opened.rows:
        rows += 1
        text = as_text((row.values or {}).get(name))
        cleaned = cleaner.clean([text]) if text and text.strip() else None
        if cleaned is not None and not cleaned.reason:
            content = content_of(cleaned.parts[0])
            if content not in known:
                found[content] = cleaned.parts[0]
    if not found:
        raise DataError(
            f"{path.name} has no row to label: {rows:,} rows were read, and each is empty, dropped by the corpus's "
            f"filters, already in the corpus or already decided. Is {name!r} the column with the text (--text)?"
        )
    return found
