"""The plan's memory and time against what a training step takes, configuration by configuration.

    python benchmarks/plan.py [--memory] [--only NAME ...] [--json FILE]

Every configuration is predicted by a trace without weights, and then trained for real: 8 times the step that `danlu
run` takes, on one thread, with random weights. Both happen in fresh processes: the first is the one that `danlu plan`
starts. Compared are

    allocator   the most bytes that torch's allocator had given out at once (torch.profiler), against the traced peak
    resident    the process's peak, with MALLOC_MMAP_THRESHOLD_=65536, against the traced peak and what the tracing
                process held before it made a model
    time        CPU seconds of a step: cold, by the plan's formula and this machine's rates (calibrated in the
                measuring process), and after a pilot of 5 steps, for 2 further ones; without --memory
    accelerate  what `accelerate estimate-memory` says of the same model: a batch of 1, whatever is trained

and how long `danlu.plan.trace_start` takes, started as `danlu plan` starts it, for models of 1 and 8 billion
parameters, which are not trained here.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SHAPES: dict[str, dict[str, Any]] = {
    "bert-24m": {"type": "bert", "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12},
    "bert-85m": {"type": "bert", "hidden_size": 768, "num_hidden_layers": 10, "num_attention_heads": 12},
    "llama-25m": {"type": "llama", "hidden_size": 384, "num_hidden_layers": 8, "num_attention_heads": 6},
    "llama-90m": {"type": "llama", "hidden_size": 768, "num_hidden_layers": 10, "num_attention_heads": 12},
    "gemma-80m": {"type": "gemma3_text", "hidden_size": 384, "num_hidden_layers": 8, "num_attention_heads": 4},
    "qwen-60m": {"type": "qwen3", "hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8},
    "llama-1b": {"type": "llama", "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32},
    "llama-8b": {"type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32},
}
MORE: dict[str, dict[str, Any]] = {
    "bert": {"vocab_size": 30_522},
    "llama": {"vocab_size": 32_000, "tie_word_embeddings": True},
    "gemma3_text": {"vocab_size": 131_072, "num_key_value_heads": 1, "head_dim": 96},
    "qwen3": {"vocab_size": 75_968, "num_key_value_heads": 4, "head_dim": 64, "tie_word_embeddings": True},
}
OF_SHAPE = {
    "llama-1b": {"vocab_size": 128_256, "num_key_value_heads": 8, "intermediate_size": 8192},
    "llama-8b": {
        "vocab_size": 128_256,
        "num_key_value_heads": 8,
        "intermediate_size": 14_336,
        "tie_word_embeddings": False,
    },
}
LORA, DORA = {"method": {"kind": "lora"}}, {"method": {"kind": "dora"}}
AGAIN, SPARE = {"checkpointing": True}, {"optimizer": {"kind": "adafactor"}}
#: Shape, precision, examples in a batch, tokens of the longest, and settings of `train`.
CONFIGURATIONS: list[tuple[str, str, int, int, dict[str, Any]]] = [
    ("bert-24m", "float32", 16, 64, {}),
    ("bert-24m", "float32", 4, 256, {}),
    ("bert-24m", "float32", 16, 128, LORA),
    ("bert-24m", "bfloat16", 8, 128, DORA),
    ("bert-24m", "bfloat16", 16, 128, {}),
    ("bert-24m", "bfloat16", 8, 128, AGAIN),
    ("bert-24m", "float32", 16, 64, {"method": {"kind": "freeze", "layers": 4}}),
    ("bert-85m", "float32", 8, 64, {}),
    ("bert-85m", "bfloat16", 8, 128, LORA),
    ("bert-85m", "float32", 4, 128, AGAIN | SPARE),
    ("llama-25m", "float32", 1, 96, {}),
    ("llama-25m", "float32", 8, 64, {}),
    ("llama-25m", "bfloat16", 8, 128, {}),
    ("llama-25m", "bfloat16", 4, 256, AGAIN),
    ("llama-25m", "bfloat16", 8, 128, LORA),
    ("llama-25m", "float32", 4, 128, SPARE),
    ("llama-90m", "bfloat16", 4, 128, {}),
    ("llama-90m", "bfloat16", 4, 128, LORA | AGAIN),
    ("gemma-80m", "float32", 2, 64, {}),
    ("gemma-80m", "bfloat16", 4, 128, {}),
    ("gemma-80m", "bfloat16", 4, 128, LORA),
    ("qwen-60m", "float32", 4, 64, {}),
    ("qwen-60m", "bfloat16", 4, 128, {}),
    ("qwen-60m", "bfloat16", 8, 64, LORA),
    ("qwen-60m", "float32", 2, 128, AGAIN | LORA),
]
LARGE: list[tuple[str, str, int, int, dict[str, Any]]] = [
    ("llama-1b", "bfloat16", 4, 512, {}),
    ("llama-1b", "bfloat16", 4, 512, LORA | AGAIN),
    ("llama-8b", "bfloat16", 1, 512, {}),
    ("llama-8b", "bfloat16", 1, 512, LORA | AGAIN),
]
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "CUDA_VISIBLE_DEVICES": ""}
#: Lengths of the steps, as shares of the longest: one to warm up, five of a pilot, two that it foresees.
STEPS = (1.0, 0.75, 0.5, 1.0, 0.5, 0.75, 1.0, 0.5)
#: Where memory alone is asked for: the optimizer's state is there from the second step on.
MEMORY_STEPS = (1.0, 1.0)
WARM, PILOT = 1, 6
SHARES = (1.0, 0.75, 0.5)


def main() -> None:
    """Predict and measure every configuration; print a row each, and the medians last."""
    options = _options()
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):  # read when a process begins
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ENVIRONMENT)
    started, steps = time.time(), MEMORY_STEPS if options.memory else STEPS
    if options.measure:
        print(json.dumps(_measure(options.measure, steps)))
        return
    rows: list[dict[str, Any]] = []
    for one in CONFIGURATIONS:
        if not options.only or one[0] in options.only:
            rows.append(_compared(*one, steps))
            if options.json:  # what is done is not lost
                Path(options.json).write_text(json.dumps({"rows": rows}), encoding="utf-8")
    large = [_large(*one) for one in LARGE] if not options.only or "large" in options.only else []
    from danlu.core.machine import library_versions, this_machine

    report = {
        "machine": this_machine().as_dict(),
        "libraries": library_versions(("torch", "transformers", "accelerate", "peft")),
        "rows": rows,
        "large": large,
        "seconds": round(time.time() - started, 1),
    }
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    _print_medians(rows, large)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], help="names of shapes to run, and large; by default all")
    parser.add_argument(
        "--memory", action="store_true", help="two steps each, and no times: for a machine that is busy"
    )
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", help="write all rows to this file")
    return parser.parse_args()


def _write(folder: Path, name: str, precision: str, rows: int, length: int, train: dict[str, Any]) -> None:
    """A request such as the plan makes, with texts of random tokens."""
    import numpy as np
    import transformers

    from danlu.core.artifact import write_json
    from danlu.learning.batching import Examples
    from danlu.learning.scratch import VOCABULARIES, train_tokenizer
    from danlu.plan.trace_worker import REQUEST, TOKENIZER, save_batch

    shape = dict(SHAPES[name])
    kind = shape.pop("type")
    classifies = kind == "bert"
    width = shape["hidden_size"]
    sizes = {"intermediate_size": 4 * width if classifies else 32 * round(width / 12)}
    config = transformers.AutoConfig.for_model(kind, **(sizes | MORE[kind] | shape | OF_SHAPE.get(name, {})))
    config.save_pretrained(folder)
    head = "classifier" if classifies else "causal"
    train_tokenizer(["a b c"] * 3, VOCABULARIES[head], 300).save(str(folder / TOKENIZER))
    write_json(
        folder / REQUEST,
        {
            "task": "classify" if classifies else "generate",
            "train": train,
            "scratch": None,
            "base": str(folder),
            "labels": ["a", "b", "c"] if classifies else [],
            "targets": [],
            "max_length": length,
            "vocabulary": 0,
            "used": 12_000,
            "precision": precision,
        },
    )
    numbers = np.random.default_rng(0).integers(300, 12_000, (rows, length))

    def batch(share: float) -> Any:
        cut = numbers[:, : round(share * length)].tolist()
        columns = {"labels": np.arange(rows) % 3} if classifies else None
        return Examples.from_rows(cut, columns=columns).batch(np.arange(rows), 0)

    save_batch(batch(1.0), folder / "piece-0.npz")
    for number, share in enumerate(SHARES):
        save_batch(batch(share), folder / f"typical-{number}.npz")


def _measured(folder: Path, *, memory: bool) -> dict[str, Any]:
    """What this script measures in a process of its own."""
    arguments = [sys.executable, __file__, "--measure", str(folder), *(["--memory"] if memory else [])]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def _worker(folder: Path) -> dict[str, Any]:
    """A trace as `danlu plan` asks for it, libraries and all."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "danlu.plan.trace_start", str(folder), str(os.getpid())]
    subprocess.run(command, check=True, capture_output=True)
    seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    answer: dict[str, Any] = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
    if "untraceable" in answer:
        sys.exit(f"not traced: {answer['untraceable']}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return answer | {"seconds": seconds, "cpu_seconds": cpu}


def _compared(
    name: str, precision: str, rows: int, length: int, train: dict[str, Any], steps: tuple[float, ...]
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _write(folder, name, precision, rows, length, train)
        found = _worker(folder)
        measured = _measured(folder, memory=steps != STEPS)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    row = {
        "name": name,
        "precision": precision,
        "rows": rows,
        "length": length,
        "train": train,
        "parameters": found["parameters"],
        "allocator": {"predicted": found["step"]["total"], "actual": measured["allocated"]},
        "resident": {"predicted": found["step"]["total"] + found["base_bytes"], "actual": measured["resident"]},
        "accelerate": {"predicted": measured["accelerate"], "actual": measured["allocated"]},
        "parts": found["step"]["parts"],
        "trace_seconds": found["seconds"],
        "trace_cpu_seconds": found["cpu_seconds"],
        "rates": measured["rates"],
        "times": measured["times"],
        "passes": found["passes"],
        "update": found["update"],
    }
    row["time"] = _timed(row, config) if steps == STEPS else None
    errors = {
        what: row[what]["predicted"] / row[what]["actual"] - 1 for what in ("allocator", "resident", "accelerate")
    }
    shown = "  ".join(f"{what} {error:+.1%}" for what, error in errors.items())
    if row["time"] is not None:
        shown += "".join(f"  {key} {row['time'][key]:+.1%}" for key in ("cold", "pilot"))
    print(f"{name} {precision} {rows}x{length} {train}: {shown}", flush=True)
    return row


def _timed(row: dict[str, Any], config: dict[str, Any]) -> dict[str, float]:
    """How far off the seconds of the steps after the pilot are, cold and after it."""
    foreseen = [_foreseen(row, config, share) for share in STEPS]
    factor = statistics.median(
        actual / expected for actual, expected in zip(row["times"][WARM:PILOT], foreseen[WARM:PILOT], strict=True)
    )
    actual, cold = sum(row["times"][PILOT:]), sum(foreseen[PILOT:])
    return {"seconds": actual, "cold": cold / actual - 1, "pilot": factor * cold / actual - 1, "factor": factor}


def _foreseen(row: dict[str, Any], config: dict[str, Any], share: float) -> float:
    """Seconds of one step as the plan has them: its formula, with the operations that the trace counted."""
    from danlu.learning.optimizers.table import MAKERS
    from danlu.plan.calibrate import Rates
    from danlu.plan.config import TrainConfig
    from danlu.plan.predict import seconds_of_training
    from danlu.plan.shape import from_config
    from danlu.plan.trained import trained_by
    from danlu.plan.work import Batches, training

    settings, generates = TrainConfig.model_validate(row["train"]), not row["name"].startswith("bert")
    shape = from_config(config)
    work = training(
        shape,
        trained_by(settings.method, shape, row["parameters"], generates=generates),
        Batches.of([row["rows"]], [round(share * row["length"])]),
        generates=generates,
        mixed=row["precision"] != "float32",
        checkpointing=settings.checkpointing,
        moved=MAKERS[settings.optimizer.kind].moved(settings.optimizer),
    )
    counted = sum(row["passes"][SHARES.index(share)]["flops"].values())
    return seconds_of_training(dataclasses.replace(work, flops=counted), Rates(**row["rates"]))


def _large(name: str, precision: str, rows: int, length: int, train: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        _write(Path(place), name, precision, rows, length, train)
        found = _worker(Path(place))
    total = found["step"]["total"]
    seconds, cpu = found["seconds"], found["cpu_seconds"]
    print(
        f"{name} {precision} {rows}x{length} {train}: {total / 1e9:.1f} GB, {seconds:.1f} s, CPU {cpu:.1f} s",
        flush=True,
    )
    return {"name": name, "train": train, "bytes": total, "trace_seconds": seconds, "trace_cpu_seconds": cpu}


def _measure(folder: Path, steps: tuple[float, ...]) -> dict[str, Any]:
    """Train for real what `folder` asks for; bytes, and CPU seconds of each step."""
    import torch
    from accelerate.commands.estimate import calculate_maximum_sizes, estimate_training_usage
    from torch.profiler import ProfilerActivity, profile

    from danlu.core.machine import peak_resident_bytes
    from danlu.learning import chunked
    from danlu.learning.adapters.table import adapt
    from danlu.learning.assembly import ready_to_train
    from danlu.learning.fast import fast_attention
    from danlu.learning.models import like_base
    from danlu.learning.objectives.base import Facts
    from danlu.learning.objectives.config import aim_of
    from danlu.learning.objectives.table import KINDS, make_objective
    from danlu.learning.step import make_accelerator, train_step
    from danlu.plan.calibrate import measure
    from danlu.plan.trace_worker import TOKENIZER, read_request

    torch.set_num_threads(1)
    torch.manual_seed(0)
    import numpy as np
    from tokenizers import Tokenizer

    # What takes pages of its own is not seen by the profiler.
    chunked._OWN_PAGES = sys.maxsize
    request = read_request(folder)
    train, batches = request.train, dict(zip(SHARES, request.typical, strict=True))
    aim = aim_of(request.task, train.objective)  # type: ignore[arg-type]
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    objective = make_objective(aim, Facts(tokenizer=tokenizer, labels=request.labels))
    model = like_base(folder, KINDS[aim.kind].head, request.labels)
    sizes = calculate_maximum_sizes(model)[0]
    adapt(model, train.method)
    optimizer, vocabulary = ready_to_train(
        model,
        used=lambda: np.arange(request.used),
        pad_id=0,
        regularize=train.regularize,
        optimizer=train.optimizer,
        checkpointing=train.checkpointing,
        compiled=False,
    )
    accelerator = make_accelerator(request.precision)
    ready = accelerator.prepare(model)
    ready.train()

    def step(share: float) -> float:
        begun = time.process_time()
        train_step(accelerator, ready, optimizer, objective, [batches[share]], rate=1e-4, clip=1.0)
        return time.process_time() - begun

    with fast_attention(model):
        times = [step(share) for share in steps]
        resident = peak_resident_bytes()
        state = [value for held in optimizer.state.values() for value in held.values() if torch.is_tensor(value)]
        wide = [] if vocabulary.numbers is None else [vocabulary._wide.weight]
        held = [*model.parameters(), *model.buffers(), *state, *wide]
        there = sum({one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in held}.values())
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
            step(1.0)
    events = [event for event in watched.profiler.kineto_results.events() if event.name() == "[memory]"]
    given = np.cumsum([event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())])
    config = model.config.get_text_config()
    rates = None
    if steps == STEPS:
        rates = measure(
            precision=request.precision,
            tokens=request.pieces[0].ids.size,
            width=config.hidden_size,
            inner=config.intermediate_size,
            threads=1,
            check=lambda: None,
        )
    usage = estimate_training_usage(sizes, request.precision)
    return {
        "allocated": int(there + given.max()),
        "resident": resident,
        "accelerate": max(usage.values()),
        "times": times,
        "rates": None if rates is None else vars(rates),
    }


def _print_medians(rows: list[dict[str, Any]], large: list[dict[str, Any]]) -> None:
    print()
    errors = {
        what: [abs(row[what]["predicted"] / row[what]["actual"] - 1) for row in rows]
        for what in ("allocator", "resident", "accelerate")
    }
    if rows and all(row["time"] is not None for row in rows):
        errors |= {f"time {what}": [abs(row["time"][what]) for row in rows] for what in ("cold", "pilot")}
    for what, found in errors.items() if rows else ():
        print(f"{what:12}  median error {statistics.median(found):.1%}  worst {max(found):.1%}")
    for of, found in (("rows", rows), ("large", large)):
        if found:
            print(f"trace of {of}: at most {max(one['trace_seconds'] for one in found):.1f} s")


if __name__ == "__main__":
    main()
