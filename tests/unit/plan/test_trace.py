"""A trace says what torch's allocator is asked for: tiny models are traced, and trained for real beside it."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from accelerate.state import AcceleratorState
from tokenizers import Tokenizer
from torch.profiler import ProfilerActivity, profile

from danlu.core.context import Origin
from danlu.examples import tiny_recipe
from danlu.learning import chunked
from danlu.learning.adapters.table import adapt
from danlu.learning.assembly import ready_to_train
from danlu.learning.batching import NO_TARGET, Batch, Examples
from danlu.learning.fast import fast_attention
from danlu.learning.models import like_base
from danlu.learning.objectives.base import Facts
from danlu.learning.objectives.config import aim_of
from danlu.learning.objectives.table import KINDS, make_objective
from danlu.learning.regularizers.weights import Regularizer
from danlu.learning.scratch import VOCABULARIES, train_tokenizer
from danlu.learning.step import make_accelerator, train_step
from danlu.plan import calibrate, traced
from danlu.plan.config import PlanStage, TrainConfig
from danlu.plan.shape import from_config
from danlu.plan.stage import run
from danlu.plan.trace import Request, Untraceable, trace
from danlu.plan.trace_worker import REQUEST, load_batch, save_batch
from danlu.plan.trained import Trained
from danlu.plan.work import Batches, training_memory
from danlu.recipe import Recipe
from tests.support import make_context

ROWS, LENGTH = 6, 40
RATES = calibrate.Rates(gemm=5e11, gemm32=1e11, stream=1e10, elementwise=8e7)


@pytest.fixture(autouse=True)
def _one_precision_at_a_time() -> Iterator[None]:
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def request_of(folder: Path, kind: str, precision: str = "float32", **train: Any) -> Request:
    """A question about a tiny BERT (classify) or a Llama whose logits are many (generate)."""
    if kind == "classify":
        config: Any = transformers.BertConfig(
            vocab_size=3000, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=256
        )
    else:
        config = transformers.LlamaConfig(
            vocab_size=20_000,
            hidden_size=64,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=160,
            tie_word_embeddings=True,
        )
    config.save_pretrained(folder)
    head = "classifier" if kind == "classify" else "causal"
    train_tokenizer(["a b c"] * 3, VOCABULARIES[head], 300).save(str(folder / "tokenizer.json"))
    numbers = np.random.default_rng(0).integers(5, 200, (2 * ROWS, LENGTH))
    labels = {"labels": np.zeros(2 * ROWS, dtype=np.int64)} if kind == "classify" else None
    examples = Examples.from_rows(numbers.tolist(), columns=labels)
    return Request(
        task=kind,
        train=TrainConfig.model_validate(train),
        base=folder,
        scratch=None,
        tokenizer=folder / "tokenizer.json",
        labels=["a", "b"] if kind == "classify" else [],
        targets=[],
        max_length=LENGTH,
        vocabulary=0,
        used=1500,
        precision=precision,
        pieces=[examples.batch(np.arange(ROWS), 0)] * (2 if train.get("micro_batch") else 1),
        validation=examples.batch(np.arange(2 * ROWS), 0),
        typical=[examples.batch(np.arange(ROWS), 0)],
    )


@pytest.fixture(autouse=True)
def _no_pages_beside_the_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes pages of its own is not seen by the profiler."""
    monkeypatch.setattr(chunked, "_OWN_PAGES", 1 << 60)


def allocated(request: Request) -> int:
    """The most bytes that the allocator had given out at once while two real steps were taken."""
    aim = aim_of(request.task, request.train.objective)  # type: ignore[arg-type]
    objective = make_objective(aim, Facts(tokenizer=Tokenizer.from_file(str(request.tokenizer)), labels=request.labels))
    train = request.train
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        assert request.base is not None
        model = like_base(request.base, KINDS[aim.kind].head, request.labels)
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
        with fast_attention(model):
            for _ in range(2):
                train_step(
                    accelerator,
                    ready,
                    optimizer,
                    objective,
                    request.pieces,
                    rate=1e-4,
                    clip=1.0,
                    regularizer=Regularizer.of(train.regularize),
                )
    events = [event for event in watched.profiler.kineto_results.events() if event.name() == "[memory]"]
    assert vocabulary.numbers is not None  # its owner holds the wide embedding
    held = np.cumsum([event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())])
    return int(held.max())


@pytest.mark.parametrize(
    ("kind", "precision", "train"),
    [
        ("classify", "float32", {}),
        ("classify", "bfloat16", {"micro_batch": 3}),
        ("classify", "float32", {"method": {"kind": "freeze", "layers": 2}, "optimizer": {"kind": "adafactor"}}),
        ("classify", "float32", {"regularize": {"adversarial": {"kind": "fgm"}}}),
        ("generate", "float32", {"checkpointing": True}),
        ("generate", "bfloat16", {}),
        ("generate", "bfloat16", {"method": {"kind": "lora"}, "checkpointing": True}),
    ],
)
def test_the_peak_is_that_of_the_allocator(tmp_path: Path, kind: str, precision: str, train: dict[str, Any]) -> None:
    request = request_of(tmp_path, kind, precision, **train)
    found = trace(request)
    AcceleratorState._reset_state(reset_partial_state=True)
    assert found.step.total == pytest.approx(allocated(request), rel=0.02)
    assert sum(found.step.parts.values()) == found.step.total


def test_parts_are_what_they_are_called(tmp_path: Path) -> None:
    request = request_of(tmp_path, "generate")
    found = trace(request)
    state = 2 * 4 * found.trainable
    assert found.trainable == found.parameters
    assert found.step.parts["weights"] == pytest.approx(4 * found.parameters, rel=0.01)
    assert found.step.parts["optimizer"] == pytest.approx(state, rel=0.01)
    assert found.validation is not None
    assert found.validation.parts["gradients"] == 0


def test_work_is_twice_as_much_backward_as_forward(tmp_path: Path) -> None:
    found = trace(request_of(tmp_path, "classify"))
    both, forward = (sum(one.tally.flops.values()) for one in (found.passes[0], found.scored[1]))
    assert both == pytest.approx(3 * forward, rel=0.05)


def test_a_large_table_has_a_second_gradient_with_pieces_alone(tmp_path: Path) -> None:
    """By formula as by trace, of a model whose output layer is its embedding."""
    request = request_of(tmp_path, "generate")
    numbers = np.random.default_rng(0).integers(5, 200, (100, LENGTH)).tolist()
    batch = Examples.from_rows(numbers).batch(np.arange(100), 0)
    shape = from_config(json.loads((tmp_path / "config.json").read_text(encoding="utf-8")))
    assert shape.tied
    real, formula = [], []
    for pieces in (1, 2):
        step = trace(dataclasses.replace(request, pieces=[batch] * pieces, validation=None, typical=[])).step
        AcceleratorState._reset_state(reset_partial_state=True)
        parameters = round(step.parts["weights"] / 4)
        real.append(step.total)
        memory = training_memory(
            shape,
            parameters,
            Batches.of([100], [LENGTH]),
            trained=Trained(trainable=parameters),
            generates=True,
            precision="float32",
            framework=0.0,
            optimizer=8.0 * parameters,
            summed=pieces > 1,
        )
        formula.append(memory.total)
    # The gradients of the first piece are there while the second one's is made; most of them are the table's.
    assert formula[1] - formula[0] == 4.0 * shape.vocabulary * shape.width
    assert real[1] - real[0] == pytest.approx(formula[1] - formula[0], rel=0.15)


def test_lora_holds_gradients_and_state_of_the_added_weights_alone(tmp_path: Path) -> None:
    whole = trace(request_of(tmp_path, "generate"))
    AcceleratorState._reset_state(reset_partial_state=True)
    added = trace(request_of(tmp_path, "generate", method={"kind": "lora"}))
    assert added.trainable < 0.1 * added.parameters
    assert added.step.parts["optimizer"] < 0.1 * whole.step.parts["optimizer"]


def test_what_cannot_be_traced_says_why(tmp_path: Path) -> None:
    request = request_of(tmp_path, "generate")
    asked = dataclasses.replace(request, train=TrainConfig.model_validate({"method": {"kind": "qlora"}}))
    with pytest.raises(Untraceable, match="qlora"):
        trace(asked)


def test_a_batch_is_read_as_it_was_written(tmp_path: Path) -> None:
    batch = request_of(tmp_path, "classify").pieces[0]
    save_batch(batch, tmp_path / "batch.npz")
    again = load_batch(tmp_path / "batch.npz")
    assert again.size == batch.size
    assert again.positions is None
    for name in ("ids", "mask", "targets"):
        np.testing.assert_array_equal(getattr(again, name), getattr(batch, name))
    np.testing.assert_array_equal(again.columns["labels"], batch.columns["labels"])


def planned(folder: Path, **plan: Any) -> tuple[dict[str, Any], list[str]]:
    """plan.json of a tiny recipe, planned in a workspace below `folder`, and what was warned of."""
    sections = tiny_recipe(folder, "classify") | {"plan": plan}
    recipe = Recipe.model_validate(sections)
    config = PlanStage.model_validate({name: getattr(recipe, name) for name in PlanStage.model_fields})
    context = make_context(folder / "run", stage="plan", resources={"data.sources[0].path": folder / "rows.jsonl"})
    context.origin = Origin(workspace=folder, base=folder, stages={})
    run(context, config)
    content = json.loads((context.out / "plan.json").read_text(encoding="utf-8"))
    return content, context.emit.texts("warn")  # type: ignore[attr-defined]


def test_a_plan_is_traced_when_it_is_asked_to_and_the_answer_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "measure", lambda **_: RATES)
    formula, _ = planned(tmp_path, trace="never")
    content, warned = planned(tmp_path, trace="always")
    assert not warned
    assert [plan["trace"]["method"] for plan in (formula, content)] == ["formula", "traced"]
    parts = content["training_memory_bytes"]
    assert parts["weights"] == pytest.approx(formula["training_memory_bytes"]["weights"], rel=0.1)
    assert parts["temporary"] > 0
    assert content["trace"]["operations"] == pytest.approx(1.0, abs=0.1)
    assert "trace of the real step" in content["method"]
    assert "8 bytes a parameter" not in content["method"]
    assert "8 bytes a parameter" in formula["method"]
    assert any("was not traced" in note for note in formula["notes"])
    assert any("from a trace" in note for note in content["notes"])
    assert len(list((tmp_path / "cache" / "traces").iterdir())) == 1
    monkeypatch.setattr(traced, "_run", lambda *_: pytest.fail("traced a second time"))
    again, _ = planned(tmp_path, trace="always")
    assert again["training_memory_bytes"] == parts


def test_a_trace_that_takes_too_long_gives_way_to_the_formula(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "measure", lambda **_: RATES)
    content, warned = planned(tmp_path, trace="always", trace_seconds=0.01)
    assert content["trace"]["method"] == "formula"
    assert "longer than" in warned[0]
    with monkeypatch.context() as patched:
        patched.setattr(traced, "_run", lambda *_: pytest.fail("waited a second time"))
        _, warned = planned(tmp_path, trace="always", trace_seconds=0.01)
    assert "a higher limit tries again" in warned[0]
    limits: list[float] = []
    monkeypatch.setattr(traced, "_run", lambda _, limit, __: limits.append(limit) or {"untraceable": "it was asked"})
    _, warned = planned(tmp_path, trace="always", trace_seconds=30.0)
    assert limits == [30.0]
    assert "it was asked" in warned[0]
    assert list((tmp_path / "run" / "state").iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends a child with its parent on Linux alone")
def test_a_trace_ends_with_the_plan_that_asked_for_it(tmp_path: Path) -> None:
    """The plan is killed while the trace has not begun; else the trace would wait for a request that never comes."""
    os.mkfifo(tmp_path / REQUEST)
    command = [*traced._COMMAND, str(tmp_path)]
    asks = f"import os, subprocess; subprocess.Popen({command!r} + [str(os.getpid())]).wait()"
    plan = subprocess.Popen([sys.executable, "-c", asks])
    until, children = time.monotonic() + 60, ""
    while not children:
        assert time.monotonic() < until
        children = Path(f"/proc/{plan.pid}/task/{plan.pid}/children").read_text()
        time.sleep(0.02)
    plan.kill()
    plan.wait()
    worker, until = int(children), time.monotonic() + 30
    try:
        while _runs(worker):
            assert time.monotonic() < until, "the trace runs on without a plan"
            time.sleep(0.05)
    finally:
        if _runs(worker):
            os.kill(worker, signal.SIGKILL)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] not in {"Z", "X"}
    except FileNotFoundError:
        return False


def test_a_small_run_is_planned_by_the_formula(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "measure", lambda **_: RATES)
    monkeypatch.setattr(traced, "ask", lambda *_, **__: pytest.fail("traced a tiny run"))
    assert planned(tmp_path)[0]["trace"]["method"] == "formula"


def test_output_values_that_are_not_made_are_not_counted(tmp_path: Path) -> None:
    """A batch of which one token in eight is a target, in chunks: most of the output layer's work falls away."""
    request = request_of(tmp_path, "generate")
    whole = sum(trace(request).passes[0].tally.flops.values())
    AcceleratorState._reset_state(reset_partial_state=True)
    [batch] = request.typical
    # Enough places that training makes the loss in chunks.
    wide = {name: np.repeat(getattr(batch, name), 5, axis=0) for name in ("ids", "mask", "targets")}
    wide["targets"][:, : 7 * LENGTH // 8] = NO_TARGET
    some = Batch(**wide, size=5 * len(batch))
    counted = sum(trace(dataclasses.replace(request, typical=[some])).passes[0].tally.flops.values())
    assert counted < 0.5 * 5 * whole
