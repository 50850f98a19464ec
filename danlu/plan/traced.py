"""Asks for a trace of the real step, keeps the answers, and makes the plan's figures of them.

A trace takes a process of its own and a few seconds. Equal questions have equal answers, so they are kept in the
workspace's cache; a small run is planned by the formula, which costs nothing.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from danlu.core.artifact import write_json
from danlu.core.store import write_json_atomically
from danlu.learning.batching import Batch
from danlu.learning.text import pad_id
from danlu.plan.config import PlanConfig
from danlu.plan.tokens import widest_validation
from danlu.plan.trace_worker import ALONE, ANSWER, REQUEST, TOKENIZER, save_batch
from danlu.plan.training import FRAMEWORK_BYTES, Job, Training
from danlu.plan.work import Batches, Memory, Work, training

#: From so many bytes at the formula's peak, or seconds of its training, a trace is worth its seconds.
WORTH_BYTES, WORTH_SECONDS = 2e9, 300.0
#: Libraries whose code is run in a trace.
_LIBRARIES = ("torch", "transformers", "accelerate", "peft", "tokenizers", "numpy")
_PATIENCE = 0.05
_COMMAND = (sys.executable, "-m", "danlu.plan.trace_start")
#: What a trace does not follow: the reason, and whether a job has it.
_UNTRACED: dict[str, Callable[[Job], bool]] = {
    "the objective asks a second model, which a trace does not follow": lambda job: bool(job.models),
    "cells beside the texts are no part of a traced model": lambda job: job.config.data.columns is not None,
    "what several targets need is not traced": lambda job: job.config.task == "multitask",
    "a trace is of one process (train.processes)": lambda job: job.config.train.processes > 1,
}
#: The seconds that were not enough, in an answer that says so.
_TOO_LONG = "limit"
#: What a process that reports nothing is told to be.
_SILENT = "the process that traces ended without an answer"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of a trace: `found` as `danlu.plan.trace.Traced.as_json` has it, or None and `why` not.

    `seconds`: how long it took; 0 where it was kept from before.
    """

    found: dict[str, Any] | None
    why: str = ""
    seconds: float = 0.0


def ask(
    job: Job,
    plan: Training,
    *,
    base: Path | None,
    cache: Path | None,
    state: Path,
    limit: float,
    check: Callable[[], None],
    variants: bool = False,
) -> Answer:
    """Trace the widest step of `job`; `limit`: seconds that it may take. `check` is called meanwhile.

    `state`: a folder for what the tracing process reads. What could not be traced within the limit is asked again only
    with a higher one.

    With `variants` other methods are traced, on all examples of the widest step and on one of them, as on an
    accelerator; the answer's `variants` are for `danlu.plan.options`.
    """
    for why, met in _UNTRACED.items():
        if met(job):
            return Answer(found=None, why=why)
    with tempfile.TemporaryDirectory(prefix="trace-", dir=state) as name:
        folder = Path(name)
        _write(job, plan, base, folder, variants=variants)
        kept = None if cache is None else cache / f"{_key(folder, base)}.json"
        if kept is not None and kept.exists():
            known: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
            if _TOO_LONG not in known:
                return Answer(found=known)
            if known[_TOO_LONG] >= limit:
                return Answer(found=None, why=f"{_took_longer(known[_TOO_LONG])} before; a higher limit tries again")
        begun = time.monotonic()
        answer = _run(folder, limit, check)
        seconds = time.monotonic() - begun
        if kept is not None and ("untraceable" not in answer or _TOO_LONG in answer):
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_json_atomically(kept, answer)
        if "untraceable" in answer:
            return Answer(found=None, why=answer["untraceable"], seconds=seconds)
        return Answer(found=answer, seconds=seconds)


def _write(job: Job, plan: Training, base: Path | None, folder: Path, *, variants: bool) -> None:
    made, places = job.tokens.made, plan.places
    assert made is not None
    scratch = job.config.model.scratch
    made.tokenizer.save(str(folder / TOKENIZER))
    write_json(
        folder / REQUEST,
        {
            "task": job.config.task,
            "train": job.config.train.model_dump(mode="json"),
            "scratch": None if scratch is None else scratch.model_dump(mode="json"),
            "base": None if base is None else str(base),
            "labels": list(made.labels) if job.labels else [],
            "targets": list(made.targets),
            "max_length": job.tokens.max_length,
            "vocabulary": job.tokens.vocabulary,
            "used": made.used,
            "precision": job.precision,
        },
    )

    def batch(places: np.ndarray) -> Batch:
        return made.examples.packed(places) if plan.packed else made.examples.batch(places, pad_id(made.tokenizer))

    if variants:
        whole = places.step
        save_batch(batch(whole), folder / "piece-0.npz")
        save_batch(batch(whole[-1:]), folder / ALONE)
        return
    # The gradient of a further piece is added to that of the first.
    for number in range(2 if places.several else 1):
        save_batch(batch(places.widest), folder / f"piece-{number}.npz")
    for number, chosen in enumerate((places.widest, places.middle, places.narrow)):
        save_batch(batch(chosen), folder / f"typical-{number}.npz")
    validation = widest_validation(job.config, job.tokens, job.validation_rows)
    save_batch(made.examples.batch(validation, pad_id(made.tokenizer)), folder / "validation.npz")


def _key(folder: Path, base: Path | None) -> str:
    """A name for all that the answer depends on: the question, the base's configuration, and the code that runs."""
    told = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        if path.name == REQUEST:
            question = json.loads(content)
            # Where a base lies does not change a step.
            question["base"] = None if base is None else (base / "config.json").read_text(encoding="utf-8")
            content = json.dumps(question, sort_keys=True).encode()
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                content = b"".join(name.encode() + _bytes(arrays[name]) for name in sorted(arrays.files))
        told.update(path.name.encode() + content)
    told.update(_code().encode())
    return told.hexdigest()[:32]


def _bytes(array: np.ndarray) -> bytes:
    return str((array.shape, array.dtype)).encode() + array.tobytes()


@functools.cache
def _code() -> str:
    """The versions of the libraries, and the text of the code that is traced."""
    told = hashlib.sha256(" ".join(f"{name} {version(name)}" for name in _LIBRARIES).encode())
    root = Path(__file__).parents[1]
    for path in sorted([*root.glob("learning/**/*.py"), *root.glob("plan/trace*.py")]):
        told.update(path.read_bytes())
    return told.hexdigest()


def _run(folder: Path, limit: float, check: Callable[[], None]) -> dict[str, Any]:
    """The answer of a process that traces what is in `folder`; never raises for what that process does."""
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [*_COMMAND, str(folder), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        )
    until = time.monotonic() + limit
    try:
        while process.poll() is None:
            check()
            if time.monotonic() > until:
                return {"untraceable": _took_longer(limit), _TOO_LONG: limit}
            time.sleep(_PATIENCE)
    finally:
        process.kill()
        process.wait()
    path = folder / ANSWER
    answer: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"untraceable": _SILENT}
    return answer


def _took_longer(limit: float) -> str:
    return f"it took longer than {limit:.0f} seconds (plan.trace_seconds)"


def worth(settings: PlanConfig, plan: Training, seconds: float) -> bool:
    """Whether a trace is asked for, or pays: `seconds` of training and its memory as the formula has them."""
    if settings.trace != "auto":
        return settings.trace == "always"
    return plan.memory.total >= WORTH_BYTES or seconds >= WORTH_SECONDS


def with_trace(job: Job, plan: Training, found: dict[str, Any]) -> Training:
    """`plan` with the peak by part as a trace has it, beside what libraries, texts and kernels hold, and its work with
    the operations that were counted.

    What is read before the first step is known to the formula alone, and stays where it is larger.
    """
    peaks = [found["step"], found["validation"]] if found["validation"] else [found["step"]]
    highest = max(peaks, key=lambda peak: peak["total"])
    # The formula's constant for a process without a model gives way to what was measured.
    framework = plan.memory.framework - FRAMEWORK_BYTES + found["base_bytes"]
    traced = Memory(**{name: float(size) for name, size in highest["parts"].items()}, framework=framework)
    before = plan.memory.gradients == 0.0 and plan.memory.teacher > 0.0
    return replace(
        plan,
        memory=plan.memory if before and plan.memory.total > traced.total else traced,
        work=_as_counted(job, plan, found),
        traced=True,
    )


def _as_counted(job: Job, plan: Training, found: dict[str, Any]) -> Work:
    """The work of all steps, with as many operations as the trace counted in a step of middling width.

    Operations that are fewer than the formula's are taken to be output values that were not made: of a conversation
    only the answers are scored.
    """
    middle = found["passes"][1]
    shape, batch = job.shape, Batches.of([middle["rows"]], [middle["length"]])
    formula = training(
        shape,
        job.trained,
        batch,
        generates=job.generates,
        mixed=job.mixed,
        checkpointing=job.config.train.checkpointing,
    ).flops
    counted = sum(middle["flops"].values())
    if not counted or not formula:
        return plan.work
    made = 1.0
    if job.generates:
        of_output = (
            2.0 * shape.vocabulary * shape.width * batch.tokens * (1.0 + job.trained.passed + job.trained.learned)
        )
        made = min(1.0, max(0.0, 1.0 - (formula - counted) / of_output))
    return replace(plan.work, flops=plan.work.flops * counted / formula, logits=plan.work.logits * made)
