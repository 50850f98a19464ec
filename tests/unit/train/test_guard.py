"""Memory that runs out, losses that are no numbers, losses that leap: what a run does, and that it does it again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from safetensors.torch import load_file

import danlu.train.loop as loop
import danlu.train.stage as stage
from danlu.core.errors import Interrupted, ModelError, UserError
from danlu.learning.batching import Batch
from danlu.learning.objectives.base import Scored
from danlu.learning.step import StepResult, lacks_memory, make_accelerator
from danlu.train import guard
from danlu.train.config import TrainConfig
from danlu.train.state import Progress, TrainingState
from tests.unit.train.conftest import Attempt, write_corpus
from tests.unit.train.test_resume import content, steps_logged

PLAIN = loop.train_step
#: Without dropout the noise of a step does not depend on its pieces.
CALM = {"regularize": {"dropout": 0.0}}

ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:82] data. DefaultCPUAllocator: not enough memory: you tried"),
    MemoryError(),
]


def facts(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "training.json").read_text())


def texts(batches: list[Batch]) -> list[bytes]:
    """Each example of a step, recognisable however it is padded."""
    return [row[mask == 1].tobytes() for batch in batches for row, mask in zip(batch.ids, batch.mask, strict=True)]


def chosen(batches: list[Batch], one_in: int) -> bool:
    """The same for a batch whenever it comes, and whatever it is cut into."""
    return sum(sum(text) for text in texts(batches)) % one_in == 0


class Injected:
    """Stands in for `train_step`: `trouble(model, batches, take)` comes between; what was learned from is in `seen`."""

    def __init__(self, trouble: Callable[[Any, list[Batch], Callable[[], StepResult]], StepResult]) -> None:
        self.trouble = trouble
        self.seen: list[bytes] = []
        self.losses: list[float] = []
        self.times = 0

    def __call__(
        self, accelerator: Any, model: Any, optimizer: Any, objective: Any, batches: Any, **rest: Any
    ) -> StepResult:
        result = self.trouble(model, batches, lambda: PLAIN(accelerator, model, optimizer, objective, batches, **rest))
        self.seen += texts(batches)
        self.losses.append(result.loss)
        return result


def without_trouble(model: Any, batches: Any, take: Callable[[], StepResult]) -> StepResult:
    del model, batches
    return take()


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_what_says_that_memory_ran_out_is_known(error: Exception) -> None:
    assert lacks_memory(error)
    assert not lacks_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def memory_for(size: int, error: Exception) -> Callable[..., StepResult]:
    """On every third batch or so there is memory for `size` samples only."""

    def trouble(model: Any, batches: list[Batch], take: Callable[[], StepResult]) -> StepResult:
        del model
        if max(map(len, batches)) > size and chosen(batches, 3):
            raise error
        return take()

    return trouble


@pytest.mark.parametrize("task", ["classify", "generate"])
def test_smaller_pieces_see_the_same_samples_and_lose_the_same(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    runs = {}
    for name, trouble in (("calm", without_trouble), ("short", memory_for(3, ERRORS[0]))):
        runs[name] = Injected(trouble)
        monkeypatch.setattr(loop, "train_step", runs[name])
        ctx = attempt(name, task, **CALM)
    assert sorted(runs["short"].seen) == sorted(runs["calm"].seen)
    # Tolerance: rounding alone differs; over 24 steps of AdamW it grows to less than 0.2 % of a loss.
    np.testing.assert_allclose(runs["short"].losses, runs["calm"].losses, rtol=2e-3)
    events = facts(ctx.out)["events"]
    assert [row["micro_batch"] for row in events] == [4, 2]
    assert all(row["kind"] == "out_of_memory" for row in events)
    warnings = ctx.emit.texts("warn")  # type: ignore[attr-defined]
    assert len(warnings) == 2
    assert "with 8 samples in it at once; from here on it is at most 4" in warnings[0]


def test_a_stop_and_a_kill_after_memory_ran_out_are_bit_equal(
    attempt: Attempt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "train_step", Injected(memory_for(3, ERRORS[1])))
    whole = attempt("whole", "classify")
    assert facts(whole.out)["events"]
    with pytest.raises(Interrupted):
        attempt("resumed", "classify", stop_after=13)
    assert content(attempt("resumed", "classify").out) == content(whole.out)
    killed_at(attempt, monkeypatch, "killed", 15)
    kept = json.loads(next((tmp_path / "killed" / "state").glob("step-*/progress.json")).read_text())
    assert (kept["step"], kept["events"]) == (0, facts(whole.out)["events"])
    assert content(attempt("killed", "classify").out) == content(whole.out)


def killed_at(attempt: Attempt, monkeypatch: pytest.MonkeyPatch, name: str, asked: int, **settings: Any) -> None:
    """Run until the loop has asked `asked` times whether to stop; the last checkpoint is that before the first step."""
    saves = TrainingState.save

    def save(self: TrainingState, model: Any, optimizer: Any, progress: Progress) -> None:
        if progress.step:
            raise KeyboardInterrupt
        saves(self, model, optimizer, progress)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingState, "save", save)
        patch.setattr(loop, "_secure", lambda _: None)
        with pytest.raises(KeyboardInterrupt):
            attempt(name, "classify", stop_after=asked, **settings)


def test_no_memory_for_one_sample_or_for_what_cannot_be_divided_is_told(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trouble(*_: Any) -> StepResult:
        raise MemoryError

    monkeypatch.setattr(loop, "train_step", Injected(trouble))
    with pytest.raises(UserError, match=r"not enough memory for a single sample.*model\.max_length"):
        attempt("one", "classify")
    make = stage.make_objective
    monkeypatch.setattr(stage, "make_objective", lambda *given: dataclasses.replace(make(*given), separable=False))
    with pytest.raises(UserError, match=r"batch of 8 samples.*train\.batch_size to 4"):
        attempt("whole", "classify")
    with pytest.raises(UserError, match=r"train\.micro_batch is given.*Leave it out"):
        attempt("micro", "classify", micro_batch=2)
    with pytest.raises(UserError, match=r"train\.batching\.grow is given.*Leave it out"):
        attempt("grown", "classify", batching={"grow": True})


def test_another_error_is_not_caught(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    def trouble(*_: Any) -> StepResult:
        raise RuntimeError("index out of range")

    monkeypatch.setattr(loop, "train_step", Injected(trouble))
    with pytest.raises(RuntimeError, match="index out of range"):
        attempt("run", "classify")


def poisoned(model: Any, batches: list[Batch], take: Callable[[], StepResult]) -> StepResult:
    """On some batches the weights are no numbers any more."""
    if chosen(batches, 11):
        with torch.no_grad():
            next(model.parameters()).fill_(float("nan"))
    return take()


def test_no_number_goes_back_and_leaves_the_batch_out(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(loop, "train_step", Injected(poisoned))
    settings = {"guard": {"max_skips": 8}}
    whole = attempt("whole", "classify", **settings)
    told = facts(whole.out)
    skipped = [row["batches"] for row in told["events"]]
    assert skipped
    assert all(row["kind"] == "skipped" and "not a number" in row["why"] for row in told["events"])
    assert told["samples"] == 192 - 8 * len(skipped)
    assert told["updates"] == 24 - len(skipped)
    assert steps_logged(whole.out) == sorted(steps_logged(whole.out))
    # It is the run that has never seen those batches.
    monkeypatch.setattr(loop, "train_step", PLAIN)
    out = {batch for row in skipped for batch in row}
    with monkeypatch.context() as patch:
        patch.setattr(guard, "left_out", lambda _: out)
        clean = attempt("clean", "classify", **settings)
    assert (clean.out / "model.safetensors").read_bytes() == (whole.out / "model.safetensors").read_bytes()
    # Stopped or killed while it goes over the same ground again, it ends the same.
    monkeypatch.setattr(loop, "train_step", Injected(poisoned))
    first = skipped[0][0]
    with pytest.raises(Interrupted):
        attempt("stopped", "classify", stop_after=first + 3, **settings)
    assert content(attempt("stopped", "classify", **settings).out) == content(whole.out)
    killed_at(attempt, monkeypatch, "killed", first + 4, **settings)
    assert content(attempt("killed", "classify", **settings).out) == content(whole.out)


def test_too_many_losses_that_are_no_numbers_end_the_run(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    def trouble(model: Any, batches: Any, take: Callable[[], StepResult]) -> StepResult:
        del model, batches
        return dataclasses.replace(take(), loss=float("nan"))

    monkeypatch.setattr(loop, "train_step", Injected(trouble))
    with pytest.raises(UserError, match=r"not a number at step 3 of 24.*after 2 times.*no model.*learning_rate"):
        attempt("run", "classify", guard={"max_skips": 2})


def test_a_run_that_gives_up_ends_with_its_best_model_and_says_so(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first epoch is whole; in the second no loss is a number."""
    updates: list[int] = []

    def trouble(model: Any, batches: Any, take: Callable[[], StepResult]) -> StepResult:
        del model, batches
        updates.append(len(updates))
        result = take()
        return result if len(updates) <= 14 else dataclasses.replace(result, loss=float("nan"))

    settings = {"guard": {"max_skips": 2}}
    monkeypatch.setattr(loop, "train_step", Injected(trouble))
    ctx = attempt("run", "classify", **settings)
    told = facts(ctx.out)
    kept = told["best"]["step"]
    assert told["gave_up"]["kept"] == kept
    assert kept in (6, 12)
    assert "not a number at step" in told["gave_up"]["why"]
    assert told["stopped_early"]
    (said,) = (text for text in ctx.emit.texts("warn") if "gave up" in text)  # type: ignore[attr-defined]
    assert f"of step {kept} " in said and "learning_rate" in said
    # It is the model that a run without trouble has after as many steps, and what lies in last is sound too.
    monkeypatch.setattr(loop, "train_step", PLAIN)
    validate = loop._validate

    def seen(run: Any) -> None:
        validate(run)
        if run.progress.step == kept:
            run.training.model.save_pretrained(ctx.state / "calm")

    monkeypatch.setattr(loop, "_validate", seen)
    attempt("calm", "classify", **settings)
    ours, calm = weights(ctx.out / "model.safetensors"), weights(ctx.state / "calm" / "model.safetensors")
    words = "bert.embeddings.word_embeddings.weight"  # in another order while training goes on
    assert ours.keys() == calm.keys()
    assert [name for name in ours if ours[name] != calm[name]] in ([], [words])
    assert weights(ctx.out / "last" / "model.safetensors") == weights(ctx.out / "model.safetensors")


def weights(path: Path) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in load_file(path).items()}


def test_patience_begins_once_a_score_has_beaten_the_first(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.3, 0.3, 0.3, 0.3, 0.3, 0.8, 0.7, 0.7, 0.9])

    def scored(*_: Any) -> Scored:
        return Scored(loss=1.0, score=next(scores))

    monkeypatch.setattr(loop, "score", scored)
    told = facts(attempt("run", "classify", epochs=9.0, validations_per_epoch=1, early_stopping=2).out)
    assert [row["validation_score"] for row in told["history"]] == [0.3] * 5 + [0.8, 0.7, 0.7]
    assert told["best"]["value"] == 0.8
    assert told["stopped_early"]


def test_a_spike_goes_back_before_the_update_that_led_to_it(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"epochs": 5.0, "early_stopping": 0}
    updates: list[list[Batch]] = []

    def trouble(model: Any, batches: list[Batch], take: Callable[[], StepResult]) -> StepResult:
        updates.append(batches)
        result = take()
        if len(updates) == 45:
            with torch.no_grad():
                model.classifier.weight.mul_(-200.0)
        return result

    monkeypatch.setattr(loop, "train_step", Injected(trouble))
    whole = attempt("whole", "classify", **settings)
    told = facts(whole.out)
    (event,) = told["events"]
    assert (event["step"], event["batches"]) == (47, [44, 45])
    assert "leapt" in event["why"]
    assert told["samples"] == 480 - 16
    monkeypatch.setattr(loop, "train_step", PLAIN)
    monkeypatch.setattr(guard, "left_out", lambda _: {44, 45})
    clean = attempt("clean", "classify", **settings)
    assert (clean.out / "model.safetensors").read_bytes() == (whole.out / "model.safetensors").read_bytes()


def progress_of(losses: list[float]) -> tuple[Progress, list[str | None]]:
    progress, said = Progress(), []
    settings = TrainConfig()
    for place, loss in enumerate(losses):
        result = StepResult(loss=loss, weight=1.0, norm=1.0, rate=0.1, samples=1, tokens=1)
        said.append(guard.watch(settings, progress, [place], result))
    return progress, said


def test_what_is_a_spike_and_what_is_none() -> None:
    draw = np.random.default_rng(0)
    falling = list(3.0 * np.exp(-np.arange(300) / 60) + 0.5 + draw.normal(0, 0.05, 300))
    calm, said = progress_of(falling)
    assert not any(said)
    assert guard.calm(TrainConfig(), calm)
    _, said = progress_of([*falling, 5.0, 0.5, 5.0, 5.0, 0.5])
    assert not any(said), "one or two hard batches are none"
    leapt, said = progress_of([*falling, 2.0, 2.1, 2.2])
    assert said[-1] is not None
    assert not any(said[:-1])
    assert not guard.calm(TrainConfig(), leapt)
    assert guard.culprits(leapt, [302], StepResult(loss=2.2, weight=1, norm=1, rate=1, samples=1, tokens=1)) == [
        299,
        300,
    ]
    learned = [*falling, *(0.01 + 0.001 * draw.random(200))]
    _, said = progress_of([*learned, 0.1, 0.1, 0.1])
    assert not any(said), "what gives back little of what was gained is none"
    _, said = progress_of([1.0, 2.0, 40.0, 40.0, 40.0])
    assert not any(said), "too few losses to tell"


def test_a_scaled_loss_resumes_with_its_scale(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    """float16 is for GPUs; here a scaler on the CPU stands for it, and doubles its scale after every fifth step."""

    def accelerator(_: str) -> Any:
        made = make_accelerator("float32")
        made.scaler = torch.amp.GradScaler("cpu", init_scale=1e38, growth_interval=5)
        return made

    monkeypatch.setattr(stage, "make_accelerator", accelerator)
    whole = attempt("whole", "generate")
    told = facts(whole.out)
    assert 1 <= told["overflows"] < 12
    assert told["updates"] + told["overflows"] == 24
    with pytest.raises(Interrupted):
        attempt("resumed", "generate", stop_after=9)
    assert content(attempt("resumed", "generate").out) == content(whole.out)


@pytest.mark.parametrize(
    ("task", "settings", "said"),
    [
        ("embed", {"micro_batch": 2}, "train.micro_batch is given, but this objective compares"),
        ("embed", {"batching": {"grow": True}}, "train.batching.grow is given"),
        ("classify", {"batching": {"packing": True}}, "train.batching.packing is true"),
        ("classify", {"method": {"kind": "lora"}}, "train.method.kind lora keeps most weights"),
    ],
)
def test_what_cannot_be_is_refused_before_time_is_spent_on_the_data(
    attempt: Attempt,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    settings: dict[str, Any],
    said: str,
) -> None:
    corpus = write_corpus(tmp_path / "pairs", "classify")
    for path in corpus.glob("*/*.parquet"):
        rows = parquet.read_table(path)
        parquet.write_table(rows.append_column("pair", rows["text"]), path)

    def measured(*_: Any) -> int:
        raise AssertionError("the texts were measured first")

    monkeypatch.setattr(stage, "_max_length", measured)
    with pytest.raises((UserError, ModelError), match=said):
        attempt("early", task, corpus=corpus, **settings)
