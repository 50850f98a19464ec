"""The tables of `benchmarks/train_instruct.py`."""

from __future__ import annotations

import datetime
import platform
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peers import MIB, met, ratios_by_round, spread

#: How much faster Danlu is to be than a peer, and what share of its memory it may take, by case.
SPEED_GOALS = {"mixed": {"trl": 1.5}, "vocabulary": {"trl": 1.15}}
MEMORY_GOALS = {"vocabulary": {"trl": 0.65}}
OVERHEAD_GOAL_MS = 1.0

#: Danlu's mean loss may be this share above a peer's and still count as equal: chance, since the order of the texts
#: differs, moves it as much from seed to seed.
EQUAL_LOSS = 0.02

#: What is below this line in a report was written by hand.
BY_HAND = "\n---\n"


def tables(cases: dict[str, Any], *, quick: bool) -> Iterator[str]:
    """The lines of all tables."""
    for name, found in cases.items():
        yield from _overhead(found) if name == "overhead" else _training(name, found, quick=quick)


def _training(name: str, found: dict[str, Any], *, quick: bool) -> Iterator[str]:
    case, told = found["case"], found["told"]
    lengths = ", ".join(f"{key} {value:g}" for key, value in told["tokens_a_text"].items())
    yield f"## {name}"
    yield ""
    yield (
        f"{told['parameters'] / 1e6:.1f}M parameters ({case['layers']} layers of {case['width']}, "
        f"{case['vocabulary']:,} tokens), {case['samples']} conversations of {told['tokens']:,} tokens, "
        f"{told['targets']:,} of them in answers (tokens each: {lengths}), batch {case['batch_size']}, peak rate "
        f"{case['rate']:g}, {case['held_out']} held out."
    )
    yield ""
    yield (
        "| contender | tokens/s | tokens/CPU s | peak MiB (before the loop) | held-out loss by seed | Danlu faster "
        "(range) | by CPU time | Danlu's peak of its | Danlu's loss less its | goals |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    runs = {who: [run for run in found["runs"] if run["contender"] == who] for who in case["contenders"]}
    ours = {run["seed"]: run for run in runs.get("danlu", [])}
    for who, theirs in runs.items():
        if theirs:
            yield _row(name, who, theirs, ours, quick=quick)
    yield ""
    for who, why in found["failed"].items():
        yield f"{who} failed: `{why}`"
        yield ""


def _row(name: str, who: str, theirs: list[dict[str, Any]], ours: dict[int, dict[str, Any]], *, quick: bool) -> str:
    def median(what: str) -> float:
        return statistics.median(run[what] for run in theirs)

    losses = [run["loss"] for run in theirs]
    cells = [
        who,
        f"{median('tokens_per_second'):,.0f}",
        f"{median('tokens_per_cpu_second'):,.0f}",
        f"{median('peak_bytes') / MIB:,.0f} ({median('before_bytes') / MIB:,.0f})",
        " ".join(f"{loss:.3f}" for loss in losses),
    ]
    if who == "danlu" or not ours:
        return f"| {' | '.join([*cells, *'-----'])} |"
    faster = ratios_by_round(ours, theirs, "tokens_per_second")
    memory = statistics.median(ratios_by_round(ours, theirs, "peak_bytes"))
    loss = statistics.mean(run["loss"] for run in ours.values()) - statistics.mean(losses)
    equal = loss <= EQUAL_LOSS * statistics.mean(losses)
    verdict = "too few samples to judge" if quick else "equal or better" if equal else "WORSE"
    goals = []
    if who in SPEED_GOALS.get(name, {}):
        goal = SPEED_GOALS[name][who]
        goals.append(f"{goal:g}x {met(statistics.median(faster) >= goal)}")
    if who in MEMORY_GOALS.get(name, {}):
        goal = MEMORY_GOALS[name][who]
        goals.append(f"memory {goal:g} {met(memory <= goal)}")
    cells += [
        spread(faster),
        f"{statistics.median(ratios_by_round(ours, theirs, 'tokens_per_cpu_second')):.2f}x",
        f"{memory:.2f}x",
        f"{loss:+.3f} ({verdict})",
        ", ".join(goals) or "-",
    ]
    return f"| {' | '.join(cells)} |"


def _overhead(found: dict[str, Any]) -> Iterator[str]:
    yield "## overhead"
    yield ""
    yield (
        f"{found['case']['layers']} layers of {found['case']['width']}, float32, batch {found['case']['batch_size']} "
        f"of at most {found['case']['longest']} tokens. Bare: forward, loss, backward, clipping, update, on tensors "
        "made before."
    )
    yield ""
    yield "| steps | Danlu's loop, ms a step | bare, ms a step | more (range) | more CPU ms | same weights | goal |"
    yield "|---|---|---|---|---|---|---|"
    for steps in sorted({run["steps"] for run in found["runs"]}):
        runs = [run for run in found["runs"] if run["steps"] == steps]
        more = [run["loop_ms"] - run["bare_ms"] for run in runs]
        loop, bare = (statistics.median(run[what] for run in runs) for what in ("loop_ms", "bare_ms"))
        cpu = statistics.median(run["loop_cpu_ms"] - run["bare_cpu_ms"] for run in runs)
        yield (
            f"| {steps:,} | {loop:.2f} | {bare:.2f} | {statistics.median(more):.2f} ({min(more):.2f} to "
            f"{max(more):.2f}) | {cpu:.2f} | {'yes' if all(run['equal'] for run in runs) else 'NO'} | "
            f"{OVERHEAD_GOAL_MS:g} ms {met(statistics.median(more) <= OVERHEAD_GOAL_MS)} |"
        )
    yield ""


def write_report(path: Path, report: dict[str, Any], *, command: str) -> None:
    """The tables as Markdown, with machine and versions; what was written by hand below them stays."""
    kept = path.read_text(encoding="utf-8").partition(BY_HAND)[2] if path.exists() else ""
    machine, today = report["machine"], datetime.datetime.now(datetime.UTC).date()
    versions = ", ".join(f"{name} {version}" for name, version in report["libraries"].items())
    peers = "; ".join(f"{name}: {told}" for name, told in report["peers"].items())
    lines = [
        f"# Instruction tuning on mixed lengths against TRL and LLaMA-Factory, {today:%-d %B %Y}",
        "",
        f"    {command}",
        "",
        f"{machine['cpu']} ({' '.join(machine['instructions'])}), {report['threads']} threads, load "
        f"{report['load']:.1f} when it began and {report['load_at_end']:.1f} when it ended; Python "
        f"{platform.python_version()}, {versions}. Peers: {peers}. {report['repeats']} rounds, medians; "
        f"{report['seconds'] / 60:.0f} minutes in all.",
        "",
        *tables(report["cases"], quick=report["quick"]),
    ]
    path.write_text("\n".join(lines).rstrip() + "\n" + (BY_HAND + kept if kept else ""), encoding="utf-8")
