"""What the plan counts is what training does: the stage is run, its forward passes are watched, and both are compared.

The rows of a corpus are handed to the plan as a source and to training as a corpus; base and teacher are tiny models of
random weights. Steps, samples, tokens, validations, the resolved length and the tokens of all forward passes are equal.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
from accelerate.state import AcceleratorState

from danlu.core.tasks import TASKS
from danlu.data.config import CleanConfig
from danlu.learning import scratch
from danlu.learning.chat import TEMPLATE_FILE
from danlu.learning.objectives.config import aim_of
from danlu.learning.objectives.table import KINDS
from danlu.plan.config import PlanStage
from danlu.plan.corpus import Corpus
from danlu.plan.reading import look
from danlu.plan.shape import of_base
from danlu.plan.stage import _asked
from danlu.plan.tokens import count
from danlu.plan.training import Job, Training, plan_training
from danlu.plan.work import Work
from danlu.recipe import Recipe
from danlu.sources.targets import TARGETS, Reading, heads_in, reading_of
from danlu.train.config import TrainStage
from danlu.train.stage import run
from tests.support import as_artifact, make_context
from tests.unit.learning.chats import CHATML

#: Rows of the training part, which are those of the validation part too: then nothing is left to chance.
ROWS = 21
NAMES = ["bad", "good"]
WORDS = ["lamp", "pan", "chair", "杯子", "书", "desk", "茶", "bike", "good", "bad", "parcel", "monday"]


def words(number: int, count: int) -> str:
    return " ".join([*(WORDS[(number + place) % len(WORDS)] for place in range(count)), str(number)])


def records(task: str) -> list[dict[str, Any]]:
    """Rows as a source has them, of lengths from short to more than a model takes."""
    if task == "classify":
        return [{"text": words(row, 1 + row % 13), "label": NAMES[row % 2]} for row in range(ROWS)]
    if task == "tag":
        some = [[], NAMES[:1], NAMES, "good|bad|good", "good"]
        return [{"text": words(row, 1 + row % 13), "label": some[row % 5]} for row in range(ROWS)]
    if task == "regress":
        return [{"text": words(row, 1 + row % 13), "label": str(row % 5 - 1.5)} for row in range(ROWS)]
    if task == "targets":
        cells = [{"mood": NAMES[row % 2], "stars": "" if row % 3 else str(row % 5)} for row in range(ROWS)]
        return [{"text": words(row, 1 + row % 13)} | cells[row] for row in range(ROWS)]
    if task == "pairs":
        return [{"text": words(row, 1 + row % 13), "pair": words(row + 4, 1 + row % 7)} for row in range(ROWS)]
    made: list[dict[str, Any]] = []
    for row in range(ROWS):
        if row % 5 == 0 and task == "mixed":
            made.append({"text": words(row, 1 + 3 * (row % 7))})
            continue
        asked = [{"role": "user", "content": words(row, 1 + row % 9)}]
        asked += [{"role": "assistant", "content": "yes"}, {"role": "user", "content": "and then"}] * (row % 3)
        answer = [{"role": "assistant", "content": words(row + 3, 1 + row % 11)}]
        if task == "preference":
            made.append({"prompt": asked, "chosen": answer, "rejected": words(row + 5, 1 + row % 17)})
        else:
            made.append({"messages": [*asked, *answer]})
    return made


def as_corpus(record: dict[str, Any], task: str) -> dict[str, Any]:
    """A row as the data stage would write it."""
    if "text" in record:
        return {"label": None, "turns": None, "rejected": None} | answered(record, task)
    listed = record.get("messages") or [*record["prompt"], *record["chosen"]]
    turns = [{"role": turn["role"], "text": turn["content"], "learn": turn["role"] == "assistant"} for turn in listed]
    text = "\n".join(turn["text"] for turn in turns)
    return {"text": text, "label": None, "turns": turns, "rejected": record.get("rejected"), "pair": None}


def answered(record: dict[str, Any], task: str) -> dict[str, Any]:
    """A text with its answer in the column of its task, as the data stage would write it."""
    about, target = TASKS[task], TARGETS.get(task)
    if about.target is None or target is None:
        return record
    reading = Reading(separator="|", keep_unlabelled=True)
    cell: Any = record if about.several else record["label"]
    reading = reading_of(CleanConfig.model_validate(TARGETED)) if about.several else reading
    kept = target.kept(target.spellings(cell, reading), reading)
    return {"text": record["text"], about.target: target.values(kept)}


#: The data section of a recipe with two targets.
TARGETED: dict[str, Any] = {
    "sources": [{"path": "rows.jsonl"}],
    "targets": {"mood": {"task": "classify"}, "stars": {"task": "regress"}},
}


def as_pair(record: dict[str, Any]) -> dict[str, Any]:
    """A row as the data stage would write it for `embed`: of a conversation the first question and its answer."""
    if "pair" in record:
        return record
    asked, answered = record["messages"][:2]
    return {"text": asked["content"], "pair": answered["content"]}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    """A base and a teacher of each kind, of random weights and with one tokenizer."""
    root = tmp_path_factory.mktemp("models")
    sizes = {"base": (2, 32), "teacher": (3, 48)}
    return {
        head: {name: write_model(root / head / name, head, *size) for name, size in sizes.items()}
        for head in ("classifier", "tagger", "regressor", "heads", "causal", "encoder")
    }


def write_model(folder: Path, head: str, layers: int, width: int) -> Path:
    texts = [words(row, 20) for row in range(40)]
    tokenizer = scratch.train_tokenizer(texts, scratch.VOCABULARIES[head], 330)
    scratch.save_tokenizer(tokenizer, scratch.VOCABULARIES[head], folder, 256)
    torch.manual_seed(1)
    shape = scratch.Shape(layers=layers, width=width, heads=2, positions=256)
    scratch.MAKERS[head](shape, tokenizer, NAMES).save_pretrained(folder)
    (folder / TEMPLATE_FILE).write_text(CHATML.replace("<|im_end|>", "</s>"), encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def _one_precision_a_test() -> Iterator[None]:
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


Passes = Counter[int]


@pytest.fixture
def passes() -> Iterator[Passes]:
    """Tokens (with padding) times layers of all forward passes, by the model's width."""
    found: Passes = Counter()

    def note(module: torch.nn.Module, given: Any) -> None:
        if type(module).__name__ in {"LlamaMLP", "BertIntermediate"}:
            size, length, width = given[0].shape
            found[width] += size * length

    handle = torch.nn.modules.module.register_module_forward_pre_hook(note)
    yield found
    handle.remove()


def planned(sections: dict[str, Any], source: Path, folders: dict[str, Path]) -> tuple[Job, Training]:
    """The plan of a training on the first rows of the source, whose share is known here."""
    recipe = Recipe.model_validate(sections)
    config = PlanStage.model_validate({name: getattr(recipe, name) for name in PlanStage.model_fields})
    columns = KINDS[aim_of(config.task, config.train.objective).kind].columns
    seen = look(config.data, [source], columns=columns)
    labels = seen.labels
    used = np.full((1, max(1, len(labels))), ROWS / max(1, len(labels)))
    if labels:
        counts = Counter(row.label for row in seen.sample)
        used = np.array([[counts[label] for label in labels]], dtype=np.float64)
    corpus = Corpus(train=ROWS, validation=ROWS, test=ROWS, used=used, held_out=used, labels=labels)
    base, models = folders["base"], {name: path for name, path in folders.items() if name != "base"}
    tokens = count(config, seen, corpus, base=base, folders=models)
    shape, parameters = of_base(base, 0)
    job = Job(
        config=config,
        look=seen,
        corpus=corpus,
        tokens=tokens,
        shape=shape,
        parameters=parameters,
        labels=len(labels),
        models={name: _asked(path) for name, path in models.items()},
        precision="float32",
        threads=1,
    )
    return job, plan_training(job)


def passed(job: Job, works: list[Work], width: int) -> float:
    """Tokens times layers that these works are, of models of this width."""
    shape = next(shape for shape in (job.shape, *(m.shape for m in job.models.values())) if shape.width == width)
    return sum(work.elements for work in works) / (8 * shape.width + shape.matrices * shape.inner)


#: Tasks by the kind of records; all others are for models that generate or, as pairs, for those that embed.
TASK_OF = {"classify": "classify", "tag": "tag", "regress": "regress", "targets": "multitask", "pairs": "embed"}
HEADS = {
    "classify": "classifier",
    "tag": "tagger",
    "regress": "regressor",
    "multitask": "heads",
    "generate": "causal",
    "embed": "encoder",
}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "classes": ("classify", {}),
    "classes, a part": ("classify", {"max_samples": 30}),
    "classes, by tokens": ("classify", {"batching": {"tokens": 64}}),
    "classes, in pieces": ("classify", {"micro_batch": 3}),
    "classes, fgm": ("classify", {"regularize": {"adversarial": {"kind": "fgm"}}}),
    "classes, pgd": ("classify", {"regularize": {"adversarial": {"kind": "pgd", "steps": 3}}, "micro_batch": 4}),
    "classes, recomputed": ("classify", {"checkpointing": True}),
    "classes, grow": ("classify", {"batching": {"grow": True}}),
    "classes, a teacher": ("classify", {"objective": {"kind": "distill_classes", "teacher": "teacher"}}),
    "several labels": ("tag", {}),
    "several labels, in pieces": (
        "tag",
        {"objective": {"kind": "labels", "positive_weights": "balanced"}, "micro_batch": 3},
    ),
    "numbers": ("regress", {}),
    "numbers, by tokens": ("regress", {"objective": {"kind": "value", "loss": "huber"}, "batching": {"tokens": 64}}),
    "targets": ("targets", {}),
    "targets, in pieces": ("targets", {"micro_batch": 3}),
    "texts and talks": ("mixed", {}),
    "talks": ("talks", {"objective": {"kind": "causal", "learn": "all"}, "micro_batch": 2}),
    "packed": ("mixed", {"batching": {"packing": True}}),
    "packed by tokens": ("mixed", {"batching": {"packing": True, "tokens": 200}}),
    "preference": ("preference", {"objective": {"kind": "preference"}}),
    "preference by tokens": (
        "preference",
        {"objective": {"kind": "preference"}, "batching": {"tokens": 300}, "epochs": 1.0},
    ),
    "preference, fgm": (
        "preference",
        {"objective": {"kind": "preference"}, "regularize": {"adversarial": {"kind": "fgm"}}, "micro_batch": 2},
    ),
    "pairs": ("pairs", {}),
    "pairs, by tokens": ("pairs", {"batching": {"tokens": 128}}),
    "pairs of talks": ("talks", {"objective": {"kind": "contrastive"}}),
    "talks, a teacher": ("talks", {"objective": {"kind": "distill_causal", "teacher": "teacher"}}),
}


#: Cases with a length that cuts some rows; the others take what `auto` makes of them.
CUT = {"classes": 24, "several labels": 24, "numbers": 24, "texts and talks": 64, "preference": 64}


@pytest.mark.parametrize(("name", "max_length"), [*((name, "auto") for name in CASES), *CUT.items()])
def test_the_plan_is_what_training_does(
    name: str, max_length: str | int, tmp_path: Path, passes: Passes, models: dict[str, dict[str, Path]]
) -> None:
    kind, changes = CASES[name]
    task = TASK_OF.get(kind) or ("embed" if "pairs" in name else "generate")
    rows = records(kind)
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for part in ("train", "validation"):
        (tmp_path / "corpus" / part).mkdir(parents=True)
        table = pa.Table.from_pylist([as_pair(row) if task == "embed" else as_corpus(row, task) for row in rows])
        parquet.write_table(table, tmp_path / "corpus" / part / "part-0.parquet")
    card: dict[str, Any] = {"labels": NAMES if TASKS[task].named else None}
    if TASKS[task].several:
        heads = heads_in([as_corpus(row, task)["targets"] for row in rows])
        card |= {"labels": [name for head in heads if head.labels for name in head.outputs]}
        card |= {"heads": [head.as_json() for head in heads]}
    (tmp_path / "corpus" / "card.json").write_text(json.dumps(card))
    head = HEADS[task]
    asked = {"base", "teacher"} if "teacher" in str(changes.get("objective")) else {"base"}
    folders = {name: path for name, path in models[head].items() if name in asked}
    train = {"epochs": 2.0, "batch_size": 4, "precision": "float32", "early_stopping": 0} | changes
    model = {"base": "base", "max_length": max_length}
    data = {"sources": [{"path": "rows.jsonl"}], "min_characters": 1}
    data |= {
        "label": None if TASKS[task].target is None else "label",
        "unlabelled": "keep" if task == "tag" else "drop",
    }
    if TASKS[task].several:
        data = TARGETED | {"min_characters": 1}
    job, plan = planned({"name": "a", "task": task, "data": data, "model": model, "train": train}, source, folders)

    resources = {("model.base" if name == "base" else f"train.objective.{name}"): at for name, at in folders.items()}
    inputs = {"data": as_artifact(tmp_path / "corpus", "data")}
    context = make_context(tmp_path / "run", stage="train", inputs=inputs, resources=resources)
    run(context, TrainStage.model_validate({"task": task, "model": model, "train": train}))

    told = json.loads((context.out / "danlu.json").read_text())
    facts = json.loads((context.out / "training.json").read_text())
    assert job.tokens.max_length == told["max_length"]
    assert plan.steps == facts["planned_steps"] == facts["steps"]
    assert plan.samples == facts["samples"]
    assert plan.validations == len(facts["history"])
    # A part of a pass is drawn at random, in training as in the plan; whole passes are the same ones.
    near = 1e-9 if plan.samples % job.tokens.examples == 0 else 0.1
    assert plan.tokens == pytest.approx(facts["tokens"], rel=near)
    own = [plan.work, plan.scoring, *([] if job.models else [plan.before])]
    assert passed(job, own, 32) == pytest.approx(passes[32], rel=near)
    if job.models:
        assert passed(job, [plan.beside, plan.before], 48) == pytest.approx(passes[48], rel=near)
