"""The data stage: near duplicates against datasketch and datatrove, cleaning against Polars, documents/s and memory.

    python benchmarks/data.py [--quick] [--json FILE]

Peers run in environments of their own, which the script makes in a cache folder the first time; one that cannot be
installed is named and left out. Everything runs on one core (processor affinity, and one thread for all libraries),
each run in a process of its own; contenders take turns, and medians are compared. Documents: see `data_texts.py`.

    near        Danlu from Parquet to verified links and clusters; datasketch's MinHash.bulk and MinHashLSH over a list
                in memory; datatrove's signatures, buckets and clusters from JSONL. The same shingles for all. Recall is
                the share of planted pairs in one cluster. Danlu's links are checked one by one by plain Python sets.
    clean       normalise, drop by length, drop equal texts, write Parquet: `danlu.data` against hand-written Polars
    stage       the three stages of the data room, from Parquet to the written corpus, with everything masked
    memory      peak of the process for 1, 4 and 16 times the documents

Ratios by CPU time are the ones to trust on a machine that others use too.

Needs: pip install 'danlu[demo,data]'.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_peers import THRESHOLD, plain_shingles
from data_texts import COLLECTIONS, composed, planted
from peers import MIB, cache_folder, environment, in_turns

PEERS = {
    "datasketch": ("datasketch==2.0.0",),
    "datatrove": ("datatrove==0.10.1", "xxhash<4", "orjson", "regex", "tokenizers"),
    "polars": ("polars==2.1.0",),
}
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS"), "1"
)
HERE = Path(__file__).parent

#: What is measured, who takes part, and the speed that Danlu is to reach as a multiple of each peer's.
NEAR_GOALS = {"datasketch": 6.0, "datatrove": 15.0}
CLEAN_GOALS = {"polars": 0.6}
RECALL_GOAL = 0.985


def main() -> None:
    """Make the documents, run the contenders in turns, and print a table of ratios last."""
    options = _options()
    from danlu.core.machine import library_versions, this_machine

    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    machine = this_machine()
    report: dict[str, Any] = {
        "machine": machine.as_dict(),
        "libraries": library_versions(("daft", "numpy", "pyarrow", "scipy")),
        "peers": {},
        "settings": {name: getattr(options, name) for name in ("documents", "natural", "repeats", "quick")},
    }
    pythons = {}
    for name, packages in PEERS.items():
        pythons[name], report["peers"][name] = environment(options.cache, name, packages)
    print(f"{machine.cpu}, one core, load {os.getloadavg()[0]:.1f}. Peers: {report['peers']}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for part in options.parts:
            work = Path(folder) / part.replace(" ", "-")
            work.mkdir()
            report[part] = PARTS[part](work, options, pythons)
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    _print(report)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a check of under two minutes, with few documents")
    parser.add_argument("--json", help="write every number to this file")
    parser.add_argument("--documents", type=int, help="composed documents (default 200000, quick 16000)")
    parser.add_argument("--natural", type=int, help="real texts (default all, quick 6000)")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="what to measure")
    parser.add_argument("--repeats", type=int, help="runs of each contender (default 3, quick 1)")
    cache = cache_folder()
    parser.add_argument("--cache", type=Path, default=cache, help=f"where peers are installed (default {cache})")
    options = parser.parse_args()
    options.documents = options.documents or (16_000 if options.quick else 200_000)
    options.natural = options.natural or (6_000 if options.quick else 1_000_000)
    options.repeats = options.repeats or (1 if options.quick else 3)
    return options


def _run(name: str, work: Path, pythons: dict[str, Path | None]) -> dict[str, Any] | None:
    """One contender in a process of its own; None for a peer that is not installed."""
    if name in PEERS:
        python = pythons[name]
        if python is None:
            return None
        command = [str(python), str(HERE / "data_peers.py"), name, str(work)]
    else:
        command = [sys.executable, str(HERE / "data_danlu.py"), name, str(work)]
    environment = os.environ | ONE_THREAD | {"DO_NOT_TRACK": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    result: dict[str, Any] = json.loads((work / f"{name}.json").read_text(encoding="utf-8"))
    print(f"  {name:14} {result['seconds']:8.2f} s, {result['cpu_seconds']:8.2f} s CPU", flush=True)
    return result


def _rounds(names: list[str], work: Path, repeats: int, pythons: dict[str, Path | None]) -> dict[str, list[Any]]:
    """Each contender once a round, in an order that turns."""
    runs: dict[str, list[Any]] = {name: [] for name in names}
    for number in range(repeats):
        for name in in_turns(names, number):
            result = _run(name, work, pythons)
            if result is not None:
                runs[name].append(result)
    return {name: found for name, found in runs.items() if found}


def _near_composed(work: Path, options: argparse.Namespace, pythons: dict[str, Path | None]) -> dict[str, Any]:
    return _near(work, "composed", options.documents, options.repeats, pythons)


def _near_natural(work: Path, options: argparse.Namespace, pythons: dict[str, Path | None]) -> dict[str, Any]:
    return _near(work, "natural", options.natural, options.repeats, pythons)


def _near(work: Path, collection: str, count: int, repeats: int, pythons: dict[str, Path | None]) -> dict[str, Any]:
    draw = random.Random(20_261_125)
    documents, pairs = planted(COLLECTIONS[collection](count, draw), draw)
    size = sum(len(document.encode()) for document in documents)
    print(
        f"near, {collection}: {len(documents)} documents, {size / len(documents):.0f} bytes each, {len(pairs)} planted"
    )
    _write_documents(work, documents)
    runs = _rounds(["danlu", *NEAR_GOALS], work, repeats, pythons)
    for found in runs.values():
        for run in found:
            clusters = run.pop("clusters")
            run["recall"] = sum(clusters[one] == clusters[other] for one, other, _ in pairs) / len(pairs)
            links = run.pop("pairs")
            run["links"] = len(links) if links is not None else None
            run["false_links"] = None
            if links is not None and run is found[0]:
                run["false_links"] = _false_links(documents, links)
    return {
        "documents": len(documents),
        "bytes_a_document": size / len(documents),
        "planted": len(pairs),
        "planted_jaccard": {
            "least": min(jaccard for *_, jaccard in pairs),
            "median": statistics.median(jaccard for *_, jaccard in pairs),
        },
        "runs": runs,
        "summary": _compared(runs, len(documents), NEAR_GOALS),
    }


def _false_links(documents: list[str], links: list[list[int]]) -> int:
    """Reported pairs below the threshold, by plain sets of strings."""
    sets: dict[int, set[str]] = {}
    false = 0
    for pair in links:
        one, other = (sets.setdefault(number, plain_shingles(documents[number])) for number in pair)
        false += len(one & other) < THRESHOLD * len(one | other)
    return false


def _write_documents(work: Path, documents: list[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    with (work / "documents.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(
            json.dumps({"text": text, "id": str(n)}, ensure_ascii=False) + "\n" for n, text in enumerate(documents)
        )
    (work / "documents").mkdir()
    # Row groups as the stage writes them: a reader holds one of them.
    path = work / "documents" / "part.parquet"
    parquet.write_table(pa.table({"text": documents}), path, compression="zstd", row_group_size=8192)


def _clean(work: Path, options: argparse.Namespace, pythons: dict[str, Path | None]) -> dict[str, Any]:
    count = _write_raw(work, options.documents)
    print(f"clean, filter, equal texts: {count} documents")
    runs = _rounds(["danlu-clean", "polars"], work, options.repeats, pythons)
    return {"documents": count, "runs": runs, "summary": _compared(runs, count, CLEAN_GOALS)}


def _write_raw(work: Path, documents: int) -> int:
    """Composed documents as a reader leaves them, a fifth of them twice, a hundredth too short; how many those are."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    from danlu.data.tables import RAW

    draw = random.Random(5)
    texts, _ = planted(composed(documents, draw), draw)
    texts += draw.sample(texts, len(texts) // 5) + [" \t "] * (len(texts) // 100)
    draw.shuffle(texts)
    count = len(texts)
    (work / "raw").mkdir()
    columns = {
        "id": [f"{draw.getrandbits(128):032x}" for _ in texts],
        "place": range(count),
        "origin": [f"file:{number + 1}" for number in range(count)],
        "source": [0] * count,
        "text": texts,
        "label": [None] * count,
    }
    table = pa.table({name: columns[name] if name in columns else [None] * count for name in RAW.names}, schema=RAW)
    parquet.write_table(table, work / "raw" / "part.parquet", compression="zstd", row_group_size=8192)
    (work / "raw.parquet").symlink_to(work / "raw" / "part.parquet")
    return count


def _stage(work: Path, options: argparse.Namespace, _: dict[str, Path | None]) -> dict[str, Any]:
    import pyarrow.parquet as parquet

    path = work / "raw" / "part.parquet"
    count = _write_raw(work, options.documents)
    size = sum(len(text.encode()) for text in parquet.read_table(path, columns=["text"])["text"].to_pylist())
    print(f"the whole stage: {count} documents, {size / 1e6:.0f} MB of text")
    runs = _rounds(["danlu-stage"], work, options.repeats, {})["danlu-stage"]
    for run in runs:
        run["documents_per_second"] = count / run["seconds"]
        run["megabytes_per_second"] = size / 1e6 / run["seconds"]
    return {"documents": count, "megabytes": size / 1e6, "runs": runs}


def _memory(work: Path, options: argparse.Namespace, _: dict[str, Path | None]) -> list[dict[str, Any]]:
    """Peaks for a sixteenth, a quarter and all of the documents: near-dedup in memory and within a budget."""
    rows = []
    for share in (16, 4, 1):
        part = work / f"1-of-{share}"
        part.mkdir()
        draw = random.Random(7)
        every = planted(composed(options.documents // share, draw), draw)[0]
        _write_documents(part, every)
        print(f"memory: {len(every)} documents")
        row: dict[str, Any] = {"documents": len(every)}
        for name in ("danlu", "danlu-spilled"):
            result = _run(name, part, {})
            assert result is not None
            row[name] = {key: result[key] for key in ("peak_bytes", "before_bytes", "seconds", "spilled")}
            row[name]["pairs"] = result["pairs"]
        assert row["danlu"].pop("pairs") == row["danlu-spilled"].pop("pairs"), "the budget changed the result"
        rows.append(row)
    return rows


def _compared(runs: dict[str, list[Any]], count: int, goals: dict[str, float]) -> dict[str, Any]:
    """Medians, and Danlu's speed as a multiple of each peer's: the median over the rounds."""
    ours = runs[next(iter(runs))]
    summary = {}
    for name, found in runs.items():
        row: dict[str, Any] = {
            "documents_per_second": count / statistics.median(run["seconds"] for run in found),
            "documents_per_cpu_second": count / statistics.median(run["cpu_seconds"] for run in found),
            "peak_mib": max(run["peak_bytes"] for run in found) / MIB,
            "goal": goals.get(name),
        }
        for what in ("seconds", "cpu_seconds"):
            ratios = [theirs[what] / own[what] for own, theirs in zip(ours, found, strict=True)]
            row[f"danlu_faster_by_{what}"] = statistics.median(ratios)
            row[f"danlu_faster_by_{what}_range"] = [min(ratios), max(ratios)]
        row |= {key: found[0][key] for key in ("recall", "links", "false_links", "rows") if key in found[0]}
        summary[name] = row
    return summary


def _met(met: bool) -> str:
    return "met" if met else "missed"


def _print(report: dict[str, Any]) -> None:
    if "memory" in report:
        print("\n| documents | peak (before), in memory | peak (before), within a budget of 64 MiB |\n|---|---|---|")
        for row in report["memory"]:
            runs = (row[name] for name in ("danlu", "danlu-spilled"))
            peaks = (
                f"{run['peak_bytes'] / MIB:.0f} ({run['before_bytes'] / MIB:.0f}) MiB, {run['seconds']:.1f} s"
                for run in runs
            )
            print(f"| {row['documents']:,} | {' | '.join(peaks)} |")
    if "stage" in report:
        for what, unit in (("documents_per_second", "docs/s"), ("megabytes_per_second", "MB/s")):
            print(f"whole stage: {statistics.median(run[what] for run in report['stage']['runs']):,.1f} {unit}")
    compared = [part for part in ("near composed", "near natural", "clean") if part in report]
    if not compared:
        return
    print("\n| what | contender | docs/s | recall | links below the threshold | Danlu faster | by CPU time | goal |")
    print("|---|---|---|---|---|---|---|---|")
    for what in compared:
        for name, row in report[what]["summary"].items():
            print(f"| {what} | {name} | {_row(name, row)} |")


def _row(name: str, row: dict[str, Any]) -> str:
    low, high = row["danlu_faster_by_seconds_range"]
    by_cpu = row["danlu_faster_by_cpu_seconds"]
    goal = f"{row['goal']:g}x {_met(by_cpu >= row['goal'])}" if row["goal"] else "-"
    recall, false = row.get("recall"), row.get("false_links")
    below = "-" if false is None else f"{false} of {row['links']:,}"
    shown = "-" if recall is None else f"{recall:.4f}"
    if name == "danlu" and recall is not None:
        goal = f"recall {RECALL_GOAL} {_met(recall >= RECALL_GOAL)}, none below {_met(false == 0)}"
    return (
        f"{row['documents_per_second']:,.0f} | {shown} | {below} | "
        f"{row['danlu_faster_by_seconds']:.2f}x ({low:.2f} to {high:.2f}) | {by_cpu:.2f}x | {goal}"
    )


PARTS: dict[str, Callable[[Path, argparse.Namespace, dict[str, Path | None]], Any]] = {
    "near composed": _near_composed,
    "near natural": _near_natural,
    "clean": _clean,
    "stage": _stage,
    "memory": _memory,
}


if __name__ == "__main__":
    main()
