"""The loss over a large vocabulary: in chunks (danlu.learning.chunked) against torch's cross-entropy of all logits.

    python benchmarks/loss.py [--quick] [--json FILE]

Same hidden states, output layer and targets for all, forward and backward; each run is a process of its own, so that
its peak memory is its own, and the contenders take turns. Memory is what is added to the inputs. Contenders, each in
float32 and in bfloat16 (the products; sums and softmax are in float32 for all):

    plain          torch's linear and cross_entropy, the logits of all tokens at once
    chunked        the mean loss in chunks, gradients in the same pass: what language models are trained on
    chunked-each   the loss of each token in chunks, logits made again in the backward pass: preference pairs

Needs: pip install 'danlu[train]'.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CONTENDERS = ("plain", "chunked", "chunked-each")
PRECISIONS = ("float32", "bfloat16")

#: Largest difference from plain that counts as equal in float32: of the loss, and of the gradients' lengths.
EQUAL = 1e-5


def main() -> None:
    """Run the contenders, print each run and a table last."""
    options = _options()
    if options.contender:
        print(json.dumps(_measure(options)))
        return
    from danlu.core.machine import library_versions, this_machine

    machine, libraries = this_machine(), library_versions(("torch",))
    print(f"{machine.cpu}, {options.threads} threads, instructions: {' '.join(machine.instructions)}")
    print("  ".join(f"{name} {version}" for name, version in libraries.items()))
    print(
        f"vocabulary {options.vocabulary}, hidden {options.hidden}, {options.tokens} tokens, {options.repeats} rounds"
    )
    started, runs = time.time(), []
    for _ in range(options.repeats):
        for precision in options.precisions:
            runs += [_in_a_process(options, contender, precision) for contender in CONTENDERS]
    summary = {precision: _summary(runs, precision) for precision in options.precisions}
    if options.json:
        settings = {name: getattr(options, name) for name in ("vocabulary", "hidden", "tokens", "threads", "repeats")}
        report = {"machine": machine.as_dict(), "libraries": libraries, "settings": settings, "runs": runs}
        report |= {"summary": summary, "seconds": round(time.time() - started, 1)}
        Path(options.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    _print_table(summary)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a vocabulary of 32,768, 512 tokens, one round")
    parser.add_argument("--json", help="write every number to this file")
    parser.add_argument("--vocabulary", type=int)
    parser.add_argument("--hidden", type=int, default=640)
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.vocabulary = options.vocabulary or (32_768 if options.quick else 262_144)
    options.tokens = options.tokens or (512 if options.quick else 2_048)
    options.repeats = options.repeats or (1 if options.quick else 3)
    return options


def _in_a_process(options: argparse.Namespace, contender: str, precision: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--contender", contender, "--precisions", precision]
    for name in ("vocabulary", "hidden", "tokens", "threads"):
        command += [f"--{name}", str(getattr(options, name))]
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "PYTHONPATH": root}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{contender} in {precision} failed:\n{done.stderr[-2000:]}")
    run: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(
        f"{precision:9} {contender:13} {run['seconds']:7.2f} s  {run['cpu_seconds']:7.2f} CPU s  {run['mib']:7.0f} MiB"
    )
    return run


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    """One forward and backward pass, after a tiny one that warms up."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    from danlu.core.machine import peak_resident_bytes, resident_bytes
    from danlu.learning.chunked import States, mean_loss, token_losses
    from danlu.learning.fast import keep_freed_memory

    torch.set_num_threads(options.threads)
    keep_freed_memory()
    torch.manual_seed(0)
    dtype = getattr(torch, options.precisions[0])
    head = nn.Linear(options.hidden, options.vocabulary, bias=False)
    nn.init.normal_(head.weight, std=0.02)
    hidden = torch.randn(1, options.tokens, options.hidden, requires_grad=True)
    targets = torch.randint(options.vocabulary, (1, options.tokens))

    def plain(found: States, targets: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            logits = found.head(found.hidden)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())

    losses = {"plain": plain, "chunked": mean_loss, "chunked-each": lambda *given: token_losses(*given).mean()}
    loss = losses[options.contender]
    small = States(hidden=torch.randn(1, 2, 8, requires_grad=True), head=nn.Linear(8, 16), dtype=dtype)
    loss(small, targets[:, :2] % 16).backward()
    before = resident_bytes()
    started, cpu = time.perf_counter(), time.process_time()
    value = loss(States(hidden=hidden, head=head, dtype=dtype), targets)
    value.backward()
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    assert hidden.grad is not None
    assert head.weight.grad is not None
    return {
        "contender": options.contender,
        "precision": options.precisions[0],
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "mib": (peak_resident_bytes() - before) / 2**20,
        "loss": value.item(),
        "hidden_gradient": float(hidden.grad.norm()),
        "weight_gradient": float(head.weight.grad.norm()),
        "first_gradients": [*hidden.grad[0, 0, :4].tolist(), *head.weight.grad[int(targets[0, 0]), :4].tolist()],
    }


def _summary(runs: list[dict[str, Any]], precision: str) -> dict[str, dict[str, float]]:
    """Medians of each contender, and how far it is from plain."""
    summary: dict[str, dict[str, float]] = {}
    by_name = {c: [run for run in runs if (run["contender"], run["precision"]) == (c, precision)] for c in CONTENDERS}
    for name, found in by_name.items():
        own = {what: statistics.median(run[what] for run in found) for what in ("seconds", "cpu_seconds", "mib")}
        whole = by_name["plain"][0]
        compared = ("loss", "hidden_gradient", "weight_gradient")
        summary[name] = own | {"difference": max(abs(found[0][what] / whole[what] - 1) for what in compared)}
    return summary


def _print_table(summary: dict[str, dict[str, dict[str, float]]]) -> None:
    print()
    print("| precision | loss | s | CPU s | MiB added | time of plain | memory of plain | largest difference |")
    print("|---|---|---|---|---|---|---|---|")
    for precision, rows in summary.items():
        whole = rows["plain"]
        for name, row in rows.items():
            equal = "" if precision != "float32" else " (equal)" if row["difference"] <= EQUAL else " (NOT equal)"
            print(
                f"| {precision} | {name} | {row['seconds']:.2f} | {row['cpu_seconds']:.2f} | {row['mib']:.0f} | "
                f"{row['cpu_seconds'] / whole['cpu_seconds']:.2f}x | {row['mib'] / whole['mib']:.2f}x | "
                f"{row['difference']:.1e}{equal} |"
            )


if __name__ == "__main__":
    main()
