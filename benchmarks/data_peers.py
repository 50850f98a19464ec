"""The peers of `benchmarks/data.py`. Runs in their environments, so it imports nothing of Danlu.

    python data_peers.py PEER WORK

`WORK/documents.jsonl` (for Polars `documents.parquet`) is read; `WORK/PEER.json` receives seconds, and `PEER.npy` the
cluster of each document.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from peers import peak_bytes

PERMUTATIONS = 128
THRESHOLD = 0.8

_SINGLE = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f\u3041-\u3096\u30a1-\u30fa\uac00-\ud7a3"
_SINGLE += "\U0001f300-\U0001faff"
_UNIT = re.compile(f"[{_SINGLE}]|[^\\W_{_SINGLE}]+")
_ALONE = re.compile(f"[{_SINGLE}]")


def units_of(text: str) -> list[str]:
    """The units of Danlu's shingles (`danlu.metrics.shingles`), by the plainest code there is."""
    return _UNIT.findall(text.lower())


def shingle_list(text: str) -> list[str]:
    """Runs of three units where at least half of the units are Han characters, otherwise of two."""
    units = units_of(text)
    if not units:
        return [text]
    size = 3 if 2 * sum(len(unit) == 1 and _ALONE.match(unit) is not None for unit in units) >= len(units) else 2
    size = min(size, len(units))
    return [" ".join(units[start : start + size]) for start in range(len(units) - size + 1)]


def plain_shingles(text: str) -> set[str]:
    """The set that the true Jaccard similarity is taken of."""
    return set(shingle_list(text))


def clusters_of(pairs: Iterable[tuple[int, int]], count: int) -> list[int]:
    """The first member of the cluster of each of so many documents."""
    parent = list(range(count))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    return [root(number) for number in range(count)]


def datasketch(work: Path) -> tuple[float, float, Any]:
    """MinHash.bulk with its defaults and MinHashLSH at the same threshold. Candidates are not verified."""
    from datasketch import MinHash, MinHashLSH

    documents = [json.loads(line)["text"] for line in (work / "documents.jsonl").open(encoding="utf-8")]
    started, cpu = time.perf_counter(), time.process_time()

    def shingles() -> Iterator[list[bytes]]:
        for text in documents:
            yield [shingle.encode() for shingle in set(shingle_list(text))]

    hashes = MinHash.bulk(shingles(), num_perm=PERMUTATIONS)
    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    pairs = []
    for number, value in enumerate(hashes):
        pairs += [(other, number) for other in index.query(value)]
        index.insert(number, value, check_duplication=False)
    clusters = clusters_of(pairs, len(documents))
    return time.perf_counter() - started, time.process_time() - cpu, (clusters, pairs)


def datatrove(work: Path) -> tuple[float, float, Any]:
    """Signatures, buckets and clusters of datatrove with its default 14 bands of 8, and the same shingles."""
    import shutil
    import struct

    import numpy as np
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import JsonlReader
    from loguru import logger

    logger.remove()

    class Signature(MinhashDedupSignature):
        def get_shingles(self, text: str) -> Any:
            hashes = [self._hash_func(shingle) for shingle in shingle_list(text)]
            return np.array(hashes, dtype=np.uint64).reshape(-1, 1)

    import datatrove.pipeline.dedup.minhash as module

    module.load_word_tokenizer = lambda _: None  # our shingles need none
    folder = work / "datatrove"
    shutil.rmtree(folder, ignore_errors=True)
    config = MinhashConfig()
    stages = [
        (1, [JsonlReader(str(work), glob_pattern="documents.jsonl"), Signature(str(folder / "signatures"), config)]),
        (config.num_buckets, [MinhashDedupBuckets(str(folder / "signatures"), str(folder / "buckets"), config=config)]),
        (1, [MinhashDedupCluster(str(folder / "buckets"), str(folder / "clusters"), config, save_cluster_id=True)]),
    ]
    started, cpu = time.perf_counter(), time.process_time()
    for number, (tasks, steps) in enumerate(stages):
        LocalPipelineExecutor(
            pipeline=steps, tasks=tasks, workers=1, logging_dir=str(folder / f"log{number}"), skip_completed=False
        ).run()
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    packed = (folder / "clusters" / "000000.clusters").read_bytes()
    clusters = list(range(sum(1 for _ in (work / "documents.jsonl").open(encoding="utf-8"))))
    first: dict[int, int] = {}
    for number, cluster in struct.iter_unpack("<II", packed):
        clusters[number] = first.setdefault(cluster, number)
    return seconds, cpu_seconds, (clusters, None)


def polars(work: Path) -> tuple[float, float, Any]:
    """Clean, filter and drop equal texts, written by hand: what `danlu.data.text.normalise` does but for mojibake."""
    import polars as pl

    started, cpu = time.perf_counter(), time.process_time()
    text = pl.col("text").str.normalize("NFC").str.replace_all(r"\r\n?|[\x{2028}\x{2029}\x{85}]", "\n")
    removed = (
        r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x{9f}\x{ad}\x{200b}\x{200e}\x{200f}\x{202a}-\x{202e}\x{2060}-\x{2069}"
        r"\x{feff}\x{fff9}-\x{fffb}]"
    )
    text = text.str.replace_all(removed, "").str.replace_all(r"[^\S\n]+", " ")
    text = text.str.replace_all(r" ?\n ?", "\n").str.replace_all(r"\n{3,}", "\n\n").str.strip_chars()
    rows = (
        pl.scan_parquet(work / "raw.parquet")
        .with_columns(text.alias("text"))
        .filter(pl.col("text").str.len_chars().is_between(2, 20_000))
        .unique("text", keep="first", maintain_order=True)
        .collect(engine="streaming")
    )
    rows.write_parquet(work / "polars.parquet", compression="zstd")
    return time.perf_counter() - started, time.process_time() - cpu, rows.height


PEERS: dict[str, Callable[[Path], tuple[float, float, Any]]] = {
    "datasketch": datasketch,
    "datatrove": datatrove,
    "polars": polars,
}


def main() -> None:
    name, work = sys.argv[1], Path(sys.argv[2])
    seconds, cpu_seconds, found = PEERS[name](work)
    result: dict[str, Any] = {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_bytes": peak_bytes(),
    }
    if isinstance(found, int):
        result["rows"] = found
    else:
        result["clusters"], result["pairs"] = found
    (work / f"{name}.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
