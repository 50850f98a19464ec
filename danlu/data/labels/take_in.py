"""Labels back from people: votes joined with those from before, agreement measured, decisions written."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import openpyxl
from scipy.stats import binomtest

from danlu.core.errors import DataError, UserError
from danlu.core.store import Workspace, write_atomically
from danlu.data.labels.batch import NEW, SAMPLE, SUSPECT, UNSURE, Known, load_batches
from danlu.data.labels.decisions import Decision, load, save
from danlu.data.labels.excel import write_adjudication
from danlu.data.labels.votes import Vote, overwritten, read_votes
from danlu.metrics.agreement import cohen_kappa, fleiss_kappa
from danlu.metrics.bootstrap import Score

#: Which rows one person is asked to settle: those that no majority decided, or every one that was not unanimous.
Settle = Literal["ties", "disagreements"]


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import did. `out` holds all decisions, `new_rows` those on rows outside the corpus, as data."""

    out: Path
    votes: int
    decisions: dict[str, Decision]
    touched: set[str]
    to_settle: Path | None
    waiting: int
    new_rows: Path | None
    agreement: dict[str, Any]
    notes: list[str]

    def as_json(self) -> dict[str, Any]:
        every = list(self.decisions.values())
        return {
            "out": str(self.out),
            "votes": self.votes,
            "changed_decisions": len(self.touched),
            "decisions": dict(sorted(Counter(decision.how for decision in every).items())),
            "outcome": outcome(every),
            "agreement": self.agreement,
            "adjudicate": None if self.to_settle is None else str(self.to_settle),
            "waiting": self.waiting,
            "new_rows": None if self.new_rows is None else str(self.new_rows),
            "notes": self.notes,
        }


def take_in(
    paths: Sequence[Path], workspace: Workspace, out: Path, settle: Settle = "ties", *, replace: bool = False
) -> Imported:
    """Read what people filled in, and bring the file of decisions `out` up to date.

    Nothing is written when a file has a mistake (`DataError`, which names each). A vote replaces an earlier one of
    the same person; the newest adjudication wins; what was decided before stays in the history. Where only a file's
    name says who labelled, and a file of that name came before with other labels, it is refused unless `replace` says
    that it is the same person. Raises `UserError` when nothing was ever exported from the workspace, and when no
    label is filled in.
    """
    known = Known(load_batches(workspace))
    if not len(known):
        raise UserError(
            f"Nothing was exported from the workspace {workspace.root}. Name the one that was used with --workspace, "
            "or start with: danlu label export NAME"
        )
    votes = read_votes(paths, known)
    if not votes:
        raise UserError(
            f"No label is filled in in {', '.join(path.name for path in paths)}. Fill in the column 'label'."
        )
    with _lock(workspace):
        before = load(out)
        if not replace:
            _refuse_overwriting(votes, before)
        after = before | _decide(votes, known, before)
        save(out, after.values())
        touched = {content for content, decision in after.items() if decision is not before.get(content)}
        new_rows = _write_new_rows(out, after.values(), known)
        waiting = [decision for _, decision in sorted(after.items()) if _to_settle(decision, settle)]
        to_settle = _write_adjudication(out, waiting, known)
    return Imported(
        out=out,
        votes=len(votes),
        decisions=after,
        touched=touched,
        to_settle=to_settle,
        waiting=len(waiting),
        new_rows=new_rows,
        agreement=agreement(list(after.values())),
        notes=_notes(after.values()),
    )


@contextlib.contextmanager
def _lock(workspace: Workspace) -> Iterator[None]:
    """One import at a time: the second one waits for the first, and sees what it wrote."""
    folder = workspace.open().root / "labels"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _refuse_overwriting(votes: Sequence[Vote], before: Mapping[str, Decision]) -> None:
    def earlier(vote: Vote) -> str | None:
        decision = before.get(vote.content)
        if decision is None:
            return None
        return (decision.adjudicated if vote.adjudicates else decision.votes).get(vote.annotator)

    found = overwritten(votes, earlier)
    if found:
        more = f"\n  and {len(found) - 5} more" if len(found) > 5 else ""
        shown = "\n  ".join(found[:5])
        raise DataError(
            f"Nothing was imported: a file of the same name came before, with other labels.\n  {shown}{more}\n"
            "If this is another person, rename the file or fill in the column 'annotator'; if the same one changed "
            "labels, add --replace."
        )


def _decide(votes: Sequence[Vote], known: Known, before: Mapping[str, Decision]) -> dict[str, Decision]:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    cast: dict[str, dict[str, str]] = defaultdict(dict)
    settled: dict[str, dict[str, str]] = defaultdict(dict)
    for vote in votes:
        (settled if vote.adjudicates else cast)[vote.content][vote.annotator] = vote.label
    found = {}
    for content in sorted(cast.keys() | settled.keys()):
        item, batch = known.item(content), known.batch(content)
        assert item is not None  # `read_votes` refuses others
        start = before.get(content) or Decision(
            content=content,
            given=item.given,
            why=item.why,
            part=item.part,
            corpus=batch.corpus,
            text=item.text if item.part == NEW else "",
        )
        found[content] = start.with_votes(cast[content], settled[content], now)
    return found


def _to_settle(decision: Decision, settle: Settle) -> bool:
    return decision.how == "open" or (settle == "disagreements" and decision.how == "majority")


def _write_new_rows(out: Path, decisions: Any, known: Known) -> Path | None:
    """Decided rows from outside the corpus, as a file that a recipe can name as a source."""
    rows = sorted((d for d in decisions if d.part == NEW and d.label), key=lambda decision: decision.content)
    path = out.with_name(f"{out.stem}.new.jsonl")
    if not rows and not path.exists():
        return None
    lines = []
    for decision in rows:
        batch = known.batch(decision.content) if known.item(decision.content) else None
        text, label = (batch.text, batch.label) if batch else ("text", "label")
        lines.append(json.dumps({text: decision.text, label: decision.label}, ensure_ascii=False) + "\n")
    write_atomically(path, "".join(lines))
    return path


def _write_adjudication(out: Path, waiting: Sequence[Decision], known: Known) -> Path | None:
    """Write what one person has to settle, in a file of its own: one that is there may hold somebody's work."""
    if not waiting:
        return None
    contents = {decision.content for decision in waiting}
    path = out.with_name("adjudicate.xlsx")
    for number in itertools.count(2):
        if not path.exists():
            break
        if _ids_in(path) == contents:
            return path
        path = out.with_name(f"adjudicate-{number}.xlsx")
    labels: dict[str, None] = {}
    rows = []
    for decision in waiting:
        item = known.item(decision.content)
        rows.append((decision.content, item.text if item else decision.text, decision.votes))
        labels |= dict.fromkeys(known.batch(decision.content).labels if item else decision.votes.values())
    write_adjudication(path, rows, [label for label in labels if label != UNSURE])
    return path


def _ids_in(path: Path) -> set[str]:
    try:
        book: Any = openpyxl.load_workbook(path, read_only=True)
        found = {str(row[0]) for row in book.worksheets[0].iter_rows(min_row=2, max_col=1, values_only=True)}
        book.close()
    except Exception:  # whatever it is, it is not ours and stays as it is
        return set()
    return found


def agreement(decisions: Sequence[Decision]) -> dict[str, Any]:
    """How far annotators agree, over every row that more than one of them labelled; `?` is no label.

    Cohen's kappa for each pair, and for more than two people Fleiss' kappa over the rows with the most frequent
    number of votes. `kappa` is None for fewer than two people.
    """
    votes = [
        {name: label for name, label in decision.votes.items() if label != UNSURE}
        for decision in sorted(decisions, key=lambda decision: decision.content)
    ]
    people = sorted({name for row in votes for name in row})
    pairs = [pair for first, second in itertools.combinations(people, 2) if (pair := _pair(votes, first, second))]
    found: dict[str, Any] = {"annotators": people, "kind": None, "rows": 0, "kappa": None, "pairs": pairs}
    if len(people) == 2 and pairs:
        found |= {"kind": "cohen", "rows": pairs[0]["rows"], "kappa": pairs[0]["kappa"]}
    elif len(people) > 2:
        found |= _fleiss(votes)
    return found


def _pair(votes: Sequence[Mapping[str, str]], first: str, second: str) -> dict[str, Any] | None:
    both = [(row[first], row[second]) for row in votes if first in row and second in row]
    if not both:
        return None
    kappa = cohen_kappa([a for a, _ in both], [b for _, b in both])
    equal = sum(a == b for a, b in both) / len(both)
    return {"annotators": [first, second], "rows": len(both), "equal": equal, "kappa": kappa}


def _fleiss(votes: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    sizes = Counter(len(row) for row in votes if len(row) > 1)
    if not sizes:
        return {}
    size = max(sizes, key=lambda size: (sizes[size], size))
    rows = [row for row in votes if len(row) == size]
    labels = sorted({label for row in rows for label in row.values()})
    counts = np.array([[list(row.values()).count(label) for label in labels] for row in rows], dtype=np.int64)
    return {"kind": "fleiss", "rows": len(rows), "votes_per_row": size, "kappa": fleiss_kappa(counts)}


def outcome(decisions: Sequence[Decision]) -> dict[str, dict[str, Any]]:
    """By why rows were handed out: how many are decided, how many of those got another label than the given one.

    `changed_share` comes with its interval; for the random sample of the test part it estimates how much of the
    whole part is labelled otherwise than people do without a hint.
    """
    found = {}
    for why in sorted({decision.why for decision in decisions}):
        decided = [decision for decision in decisions if decision.why == why and decision.label]
        had_one = [decision for decision in decided if decision.given]
        changed = sum(decision.given != decision.label for decision in had_one)
        found[why] = {"decided": len(decided), "changed": changed, "changed_share": _share(changed, len(had_one))}
    return found


def _share(changed: int, rows: int) -> Score | None:
    """A share with the interval of Wilson 1927, which does not claim [0, 0] where nothing was seen to change."""
    if not rows:
        return None
    interval = binomtest(changed, rows).proportion_ci(confidence_level=0.95, method="wilson")
    return {"value": changed / rows, "low": float(interval.low), "high": float(interval.high)}


def _notes(decisions: Any) -> list[str]:
    """What must be known before scores on the test part are believed."""
    changed = Counter(d.why for d in decisions if d.part == "test" and d.label and d.label != d.given)
    notes = []
    if changed[SUSPECT]:
        notes.append(
            f"{changed[SUSPECT]:,} labels of the test part were changed because a model pointed at them: scores on "
            "this part now favour models like it. Say so beside the scores, or have the whole part checked."
        )
    if changed[SAMPLE]:
        notes.append(
            f"{changed[SAMPLE]:,} labels of a random sample of the test part were changed, which favours no model; "
            "scores before and after are not comparable."
        )
    return notes
