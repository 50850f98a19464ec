"""Danlu's part of `benchmarks/data.py`: one contender, in a process of its own.

    python data_danlu.py CONTENDER WORK

`WORK` has the documents; `WORK/CONTENDER.json` receives seconds, CPU seconds, the peak of memory, and what was found.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from data_peers import THRESHOLD
from peers import MIB, peak_bytes

#: The memory budget of `danlu-spilled`.
BUDGET_MIB = 64

#: What to run, and then what to tell of it that is not part of the work.
Work = Callable[[], Callable[[], dict[str, Any]]]


def _danlu(work: Path, budget_bytes: int | None = None) -> Work:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as parquet

    from danlu.data import near
    from danlu.data.config import NearConfig
    from danlu.data.keys import links_among
    from danlu.data.tables import batches

    folder = work / "documents"
    count = parquet.ParquetFile(folder / "part.parquet").metadata.num_rows
    # pyarrow imports pandas, where there is one, for its first array.
    pa.array([0])

    def stream() -> Iterator[tuple[int, Any]]:
        start = 0
        for batch in batches(folder, ["text"]):
            yield start, batch.column(0)
            start += batch.num_rows

    def run() -> Callable[[], dict[str, Any]]:
        config = NearConfig(threshold=THRESHOLD)
        places, scratch = np.arange(count), work / "scratch"
        found = links_among(stream, places, config, lambda _: None, budget_bytes=budget_bytes, scratch=scratch)
        clusters = near.components(found.pairs, count)
        return lambda: {
            "clusters": clusters.tolist(),
            "pairs": found.pairs.tolist(),
            "compared": found.compared,
            "truncated": found.truncated,
            "spilled": scratch.exists(),
        }

    return run


def _danlu_clean(work: Path) -> Work:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from danlu.data.config import DataConfig
    from danlu.data.keys import first_rows, read_keys
    from danlu.data.steps import Cleaner, clean
    from danlu.data.tables import CLEAN, Writer, batches

    config = DataConfig.model_validate({"sources": [{"path": "unused"}], "mask": []})

    def run() -> Callable[[], dict[str, Any]]:
        with Writer(work / "clean" / "part.parquet", CLEAN) as writer:
            for table in clean(work / "raw", Cleaner(config, {})):
                writer.write(table.filter(pc.equal(table["reason"], "")).select(CLEAN.names))
        keys = read_keys(work / "clean")
        kept = first_rows(keys, np.ones(len(keys.place), dtype=bool), keys.text)
        start = 0
        with Writer(work / "kept" / "part.parquet", CLEAN) as writer:
            for batch in batches(work / "clean"):
                writer.write(batch.filter(pa.array(kept[start : start + batch.num_rows])))
                start += batch.num_rows
        return lambda: {"rows": int(kept.sum())}

    return run


def _danlu_stage(work: Path) -> Work:
    from danlu.core.artifact import Artifact, Record
    from danlu.core.context import Context
    from danlu.core.machine import this_machine
    from danlu.data import clean, duplicates, stage
    from danlu.data.config import CleanStage, DataStage, DuplicatesStage

    source = work / "raw.parquet"
    folder = Path(tempfile.mkdtemp(dir=work))
    name = "data.sources[0].path"
    seconds: dict[str, float] = {}
    inputs: dict[str, Artifact] = {}
    configs: dict[str, Any] = {
        "clean": CleanStage.model_validate({"task": "generate", "data": {"sources": [{"path": str(source)}]}}),
        "duplicates": DuplicatesStage.model_validate({"data": {}}),
        "data": DataStage.model_validate({"task": "generate", "data": {}}),
    }

    def walk(which: str, run: Callable[[Context, Any], None]) -> None:
        started = time.perf_counter()
        out, state = folder / which, folder / f"{which}-state"
        out.mkdir()
        state.mkdir()
        context = Context(
            stage=which,
            fingerprint="",
            out=out,
            state=state,
            inputs=dict(inputs),
            resources={name: source},
            digests={name: "0" * 64},
            threads=1,
            machine=this_machine(),
            emit=lambda _: None,
        )
        run(context, configs[which])
        inputs[which] = Artifact(out, Record.model_construct(stage=which))
        seconds[which] = round(time.perf_counter() - started, 2)

    def run() -> Callable[[], dict[str, Any]]:
        walk("clean", clean.run)
        walk("duplicates", duplicates.run)
        walk("data", stage.run)
        return lambda: {"stages": seconds}

    return run


CONTENDERS: dict[str, Callable[[Path], Work]] = {
    "danlu": _danlu,
    "danlu-spilled": lambda work: _danlu(work, BUDGET_MIB * MIB),
    "danlu-clean": _danlu_clean,
    "danlu-stage": _danlu_stage,
}


def main() -> None:
    """Run one contender; what it imports and prepares is not on the clock, as the peers' imports are not."""
    name, work = sys.argv[1], Path(sys.argv[2])
    prepared = CONTENDERS[name](work)
    before = peak_bytes()
    started, cpu = time.perf_counter(), time.process_time()
    result = prepared()
    times = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu}
    values = {**times, "peak_bytes": peak_bytes(), "before_bytes": before, **result()}
    (work / f"{name}.json").write_text(json.dumps(values), encoding="utf-8")


if __name__ == "__main__":
    main()
