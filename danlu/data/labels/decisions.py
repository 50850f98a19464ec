"""What people decided, in one CSV file that a recipe names as `data.labels.decisions`.

One row a text, known by the hash of its content. Votes are kept by annotator, so that a second person's file can
come a week later; whatever a newer decision replaces is kept in the row's history.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

from danlu.core.errors import DataError
from danlu.core.store import write_atomically
from danlu.data.labels.batch import UNSURE
from danlu.data.labels.files import guard, unguard

#: single: one person; unanimous: all of several; majority: more than half; adjudicated: one person settled it;
#: open: nobody could, or as many votes for as against.
How = Literal["single", "unanimous", "majority", "adjudicated", "open"]

#: Python's csv refuses cells beyond 131,072 characters; texts and histories are longer.
_LONGEST_CELL = 2**31 - 1

_HEADER = (
    "content", "label", "how", "votes", "adjudicated", "given", "why", "part", "corpus", "decided", "text", "history",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What is decided about one text. `label` is empty while it is open.

    `votes`: annotator -> label, or `?`. `adjudicated`: the one who settled it -> label, at most one entry. `given`,
    `why`, `part` and `corpus` say how the row was handed out. `decided` is UTC. `text` is
    kept only for a row outside the corpus. `history`: what was decided before, oldest first.
    """

    content: str
    label: str = ""
    how: How = "open"
    votes: dict[str, str] = field(default_factory=dict)
    adjudicated: dict[str, str] = field(default_factory=dict)
    given: str = ""
    why: str = ""
    part: str = ""
    corpus: str = ""
    decided: str = ""
    text: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def _state(self) -> dict[str, Any]:
        return {"label": self.label, "how": self.how, "votes": self.votes, "adjudicated": self.adjudicated}

    def with_votes(self, votes: Mapping[str, str], adjudicated: Mapping[str, str], now: str) -> Decision:
        """The decision after further votes: of one person the newest counts, an adjudication beats all votes.

        Returns itself where nothing changes; otherwise the state before goes into the history.
        """
        every = self.votes | dict(votes)
        settled = dict(adjudicated) or self.adjudicated
        label, how = decide(every, settled)
        after = Decision(
            content=self.content,
            label=label,
            how=how,
            votes=every,
            adjudicated=settled,
            given=self.given,
            why=self.why,
            part=self.part,
            corpus=self.corpus,
            decided=now,
            text=self.text,
            history=[*self.history, self._state | {"decided": self.decided}] if self.decided else [],
        )
        return self if self.decided and after._state == self._state else after


def decide(votes: Mapping[str, str], adjudicated: Mapping[str, str]) -> tuple[str, How]:
    """The label that these votes make, and how; empty and "open" where more than half do not agree."""
    settled = [label for label in adjudicated.values() if label != UNSURE]
    if settled:
        return settled[-1], "adjudicated"
    counts = Counter(label for label in votes.values() if label != UNSURE)
    if not counts:
        return "", "open"
    (label, most), *_ = counts.most_common(1)
    if 2 * most <= len(votes):
        return "", "open"
    if len(votes) == 1:
        return label, "single"
    return label, "unanimous" if most == len(votes) else "majority"


def load(path: Path) -> dict[str, Decision]:
    """Every decision of the file by content; none where there is no file.

    Raises `DataError` with the line of what is not a row of `danlu label import`.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")  # line ends inside cells stay as they are
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}). Expected the labels.csv of `danlu label import`.") from None
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.DictReader(io.StringIO(text, newline=""))
    lacking = {"content", "label", "how"} - set(reader.fieldnames or ())
    if lacking:
        raise DataError(
            f"{path} has no column {', '.join(sorted(lacking))}. Expected the labels.csv of `danlu label import`, "
            f"with the columns {', '.join(_HEADER)}."
        )
    found: dict[str, Decision] = {}
    for row in reader:
        decision = _parse(row, f"{path}, line {reader.line_num}")
        if decision.content in found:
            raise DataError(f"{path}, line {reader.line_num}: the text {decision.content[:12]} stands there twice.")
        found[decision.content] = decision
    return found


def _parse(row: Mapping[str, str | None], place: str) -> Decision:
    cells: dict[str, Any] = {name: unguard(row.get(name) or "") for name in _HEADER}
    if cells["how"] not in get_args(How):
        raise DataError(f"{place}: how is {cells['how']!r}; expected one of {', '.join(get_args(How))}.")
    try:
        lists = {name: json.loads(cells.pop(name) or "{}") for name in ("votes", "adjudicated")}
        history = json.loads(cells.pop("history") or "[]")
    except ValueError as error:
        raise DataError(
            f"{place}: a cell is no JSON ({error}). Leave votes, adjudicated and history as they are."
        ) from None
    well_formed = isinstance(history, list) and all(
        isinstance(found, dict) and all(isinstance(label, str) for label in found.values()) for found in lists.values()
    )
    if not well_formed:
        raise DataError(
            f"{place}: votes, adjudicated or history is not what `danlu label import` wrote there. Leave them as they "
            "are."
        )
    how = cast(How, cells.pop("how"))
    return Decision(**cells, **lists, how=how, history=history)


def save(path: Path, decisions: Iterable[Decision]) -> None:
    """Write the file whole or not at all, sorted by content, so that two versions can be compared line by line."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_HEADER)
    for decision in sorted(decisions, key=lambda decision: decision.content):
        writer.writerow([_cell(getattr(decision, name)) for name in _HEADER])
    # With a mark, by which Excel knows UTF-8.
    write_atomically(path, "\ufeff" + text.getvalue())


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return guard(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True) if value else ""


def read_decisions(path: Path) -> dict[str, str]:
    """The decided label by content hash, for `apply_decisions`; what is still open is left out."""
    if not path.exists():
        raise DataError(f"There is no file {str(path)!r}. Check data.labels.decisions; `danlu label import` writes it.")
    return {content: decision.label for content, decision in load(path).items() if decision.label}


@dataclass(frozen=True, kw_only=True)
class Applied:
    """`labels` after the decisions; how many rows were `changed`, how many `confirmed`."""

    labels: list[str]
    changed: int
    confirmed: int


def apply_decisions(contents: Sequence[str], labels: Sequence[str], decisions: Mapping[str, str]) -> Applied:
    """Give each row the label that people decided for its text; equal texts get the same one.

    `contents` are the rows' content hashes and `labels` what the sources say, both [N]; `decisions` comes from
    `read_decisions`. Call it before conflicts are looked for: a decided text has none any more.
    """
    decided = [decisions.get(content, label) for content, label in zip(contents, labels, strict=True)]
    known = sum(content in decisions for content in contents)
    changed = sum(new != old for new, old in zip(decided, labels, strict=True))
    return Applied(labels=decided, changed=changed, confirmed=known - changed)
