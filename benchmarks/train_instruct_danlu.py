"""Danlu's part of `benchmarks/train_instruct.py`, in a process of its own.

    python train_instruct_danlu.py WORK

As for the peers, `WORK/job.json` says what to do, `WORK/model` receives the model and `WORK/result.json` the clock's
readings. The train stage runs as `danlu run` runs it. The clock is that of its loop, less validation and checkpoints,
which the peers are told to leave out and Danlu cannot.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peers import Timer, peak_bytes, resident_bytes
from train_instruct_peers import WARMUP_SHARE, WEIGHT_DECAY

from danlu.core.artifact import Artifact, Record
from danlu.core.context import Context
from danlu.core.machine import this_machine
from danlu.learning import shards
from danlu.learning.batching import NO_TARGET
from danlu.learning.optimizers.schedules import rate_at
from danlu.train.config import TrainStage
from danlu.train.state import TrainingState

#: Steps before the overhead is measured.
_WARM_UP_STEPS = 50

stage: Any = importlib.import_module("danlu.train.stage")
loop: Any = importlib.import_module("danlu.train.loop")


def main() -> None:
    """Do the job."""
    work = Path(sys.argv[1])
    job = json.loads((work / "job.json").read_text(encoding="utf-8"))
    result = {"danlu": run, "overhead": overhead}[job["contender"]](job, work)
    (work / "result.json").write_text(json.dumps(result), encoding="utf-8")


def run(job: dict[str, Any], work: Path) -> dict[str, Any]:
    """Train; what the clock says."""
    facts: dict[str, Any] = {}
    left_out = [_timed(loop, "_validate"), _timed(TrainingState, "save")]
    whole = Timer(stage.train)

    def train(*arguments: Any) -> Any:
        facts["before_bytes"] = resident_bytes()
        answer = whole(*arguments)
        facts["peak_bytes"] = peak_bytes()
        return answer

    stage.train = train
    run_stage(job, work)
    examples = shards.read(work / "state" / "tokens-train")
    assert examples is not None
    told = json.loads((work / "model" / "training.json").read_text(encoding="utf-8"))
    learned = len(examples.tokens) if examples.learned is None else int(examples.learned[:].sum())
    return facts | {
        "tokens": told["tokens"],
        "targets": learned,
        "steps": told["steps"],
        "seconds": whole.seconds - sum(timer.seconds for timer in left_out),
        "cpu_seconds": whole.cpu_seconds - sum(timer.cpu_seconds for timer in left_out),
    }


def _timed(owner: Any, name: str) -> Timer:
    """The clock of a function or method, from now on."""
    timer = Timer(getattr(owner, name))
    # A function, so that it becomes a method where `owner` is a class.
    setattr(owner, name, lambda *arguments, **named: timer(*arguments, **named))
    return timer


def run_stage(job: dict[str, Any], work: Path) -> None:
    """The train stage with a Context of its own."""
    config = TrainStage.model_validate(
        {
            "task": "generate",
            "model": {"base": job["base"], "max_length": job["max_length"]},
            "train": {
                "epochs": job["epochs"],
                "early_stopping": 0,
                "batch_size": job["batch_size"],
                "learning_rate": job["rate"],
                "optimizer": {"kind": "adamw", "weight_decay": WEIGHT_DECAY},
                "schedule": {"kind": "cosine", "warmup": WARMUP_SHARE},
                "validations_per_epoch": 1,
                "validation_rows": 20,
                "checkpoint_minutes": 60,
                "precision": job["precision"],
                "seed": job["seed"],
            },
        }
    )
    for name in ("model", "state"):
        (work / name).mkdir()
    partial_record: Any = Record  # the stage reads the corpus's files alone
    stage.run(
        Context(
            stage="train",
            fingerprint="",
            out=work / "model",
            state=work / "state",
            inputs={"data": Artifact(Path(job["corpus"]), partial_record.model_construct(stage="data"))},
            resources={"model.base": Path(job["base"])},
            digests={},
            threads=job["threads"],
            machine=this_machine(),
            emit=lambda _: None,
        ),
        config,
    )


def overhead(job: dict[str, Any], work: Path) -> dict[str, Any]:
    """Milliseconds a step of Danlu's loop, and of the bare model on the same batches, with the same weights at the end.

    Bare is: forward, loss, backward, clipping, update, on tensors that were made before the clock starts.
    """
    validating, saving = _timed(loop, "_validate"), _timed(TrainingState, "save")
    whole = Timer(stage.train)
    result: dict[str, Any] = {}

    def train(ctx: Any, training: Any, state: Any) -> Any:
        start, steps = _copy(training.model), training.order.steps
        batches = [_tensors(training, step) for step in range(steps)]
        ends: dict[str, dict[str, torch.Tensor]] = {}
        answers: list[Any] = []

        def bare() -> None:
            timer = Timer(_bare)
            timer(training, batches)
            result["bare_ms"], result["bare_cpu_ms"] = 1000 * timer.seconds / steps, 1000 * timer.cpu_seconds / steps

        def danlu() -> None:
            answers.append(whole(ctx, training, state))
            result["loop_ms"] = 1000 * (whole.seconds - validating.seconds - saving.seconds) / steps
            clocked = whole.cpu_seconds - validating.cpu_seconds - saving.cpu_seconds
            result["loop_cpu_ms"] = 1000 * clocked / steps

        _bare(training, batches[:_WARM_UP_STEPS])
        # Which one comes first changes from round to round.
        for measure in (bare, danlu)[:: 1 if job["seed"] % 2 else -1]:
            training.model.load_state_dict(start)
            training.optimizer.state.clear()
            measure()
            ends[measure.__name__] = _copy(training.model)
        result["steps"] = steps
        result["equal"] = all(torch.equal(value, ends["danlu"][name]) for name, value in ends["bare"].items())
        return answers[0]

    stage.train = train
    run_stage(job, work)
    return result


def _copy(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _tensors(training: Any, step: int) -> dict[str, torch.Tensor]:
    batch = training.examples.batch(training.order.batch(step), training.pad_id)
    arrays = {"input_ids": batch.ids, "attention_mask": batch.mask, "targets": batch.targets}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _bare(training: Any, batches: list[dict[str, torch.Tensor]]) -> None:
    """All steps."""
    model, optimizer, settings = training.model, training.optimizer, training.settings
    steps = len(batches)
    rates = [rate_at(n, steps=steps, schedule=settings.schedule, peak=settings.learning_rate) for n in range(steps)]
    loss_of: Callable[..., torch.Tensor] = torch.nn.functional.cross_entropy
    model.train()
    for rate, batch in zip(rates, batches, strict=True):
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
        loss = loss_of(logits.flatten(0, 1).float(), batch["targets"].flatten(), ignore_index=NO_TARGET)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.guard.clip)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    if not math.isfinite(loss.item()):
        raise SystemExit("The tiny model diverged.")


if __name__ == "__main__":
    main()
