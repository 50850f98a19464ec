"""Every objective, through the stage: 32 examples are learned by heart, and a resumed run ends bit-equal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from danlu.compress.forms import Source, write_form
from danlu.core.errors import Interrupted
from danlu.engines.common import LocalEngine
from danlu.engines.prompt import Prompts
from danlu.engines.table import load
from danlu.examples import tiny_rows
from danlu.learning.chat import Turn, read_chat
from danlu.learning.text import load_tokenizer
from tests.unit.train.conftest import Attempt
from tests.unit.train.test_resume import content

THINGS = ["lamp", "pan", "chair", "杯子", "书", "desk", "茶", "bike"]
QUESTIONS = ["how much is the {}", "where is my {}", "can I return the {}", "{}在哪里"]
ANSWERS = ["the {} costs {} euro", "your {} comes on day {}", "yes, the {} within {} days", "{}在{}号柜台"]


def turn(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "text": text, "learn": role == "assistant"}


def conversations(rows: int) -> list[dict[str, Any]]:
    """Questions of a shop's customers, each with one answer, and one that is liked less."""
    made = []
    for row in range(rows):
        thing, kind, number = THINGS[row % 8], row // 8 % 4, 3 + row // 32
        question, answer = QUESTIONS[kind].format(thing), ANSWERS[kind].format(thing, number)
        made.append(
            {
                "text": f"{question}\n{answer}",
                "turns": [turn("user", question), turn("assistant", answer)],
                # Each answer is the better one once and the worse one once, so the question decides.
                "rejected": ANSWERS[(kind + 1) % 4].format(thing, number),
            }
        )
    return made


def write(
    folder: Path, train: list[dict[str, Any]], validation: list[dict[str, Any]], labels: list[str] | None
) -> Path:
    """A Corpus folder."""
    for part, rows in (("train", train), ("validation", validation)):
        (folder / part).mkdir(parents=True)
        parquet.write_table(pa.Table.from_pylist(rows), folder / part / "part-0.parquet")
    (folder / "card.json").write_text(json.dumps({"labels": labels}))
    return folder


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    """32 conversations, which are also those of the validation."""
    return write(tmp_path / "talks", conversations(32), conversations(32), None)


MODEL = {"scratch": {"layers": 2, "width": 64, "heads": 2, "vocabulary": 600}, "max_length": 64}


def form_of(checkpoint: Path, folder: Path) -> Path:
    """The checkpoint as a form that an engine loads."""
    source = Source(folder=checkpoint, scratch=folder.with_suffix(".tmp"), task="generate", labels=None, max_length=64)
    write_form("torch", source, folder)
    return folder


def answer(form: Path, question: str) -> str:
    """What the form says to a question, most probable token by most probable token."""
    engine, prompts = load(form, threads=1), Prompts(form)
    prompt = prompts.of([{"role": "user", "content": question}])
    return "".join(engine.generate(prompt, temperature=0.0, max_new_tokens=30, written=prompts.written))


def history(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "training.json").read_text())["history"]
    return found


BY_HEART = {"epochs": 50.0, "batch_size": 4, "learning_rate": 0.005, "early_stopping": 0, "validations_per_epoch": 1}


def test_taught_questions_get_their_answers(attempt: Attempt, talks: Path, tmp_path: Path) -> None:
    out = attempt("run", "generate", corpus=talks, model=MODEL, **BY_HEART).out
    assert history(out)[-1]["train_loss"] < 0.2
    assert (out / "chat_template.jinja").exists()
    form = form_of(out, tmp_path / "form")
    tokenizer, chat = load_tokenizer(form), read_chat(form)
    assert chat is not None
    asked = [Turn(role="user", text="where is my pan")]
    engine = load(form, threads=1)
    assert isinstance(engine, LocalEngine)
    whole = chat.write(tokenizer, [*asked, Turn(role="assistant", text="at home", learn=True)])
    (row,) = engine._written_rows([Prompts(form).of([{"role": "user", "content": "where is my pan"}])])
    assert row == whole.ids[: whole.learned.index(True)]
    taught = {row["turns"][0]["text"]: row["turns"][1]["text"] for row in conversations(32)}
    assert sum(answer(form, question) == said for question, said in taught.items()) >= 20


Stopped = Callable[[str, str, Path, dict[str, Any]], None]


@pytest.fixture
def resumed_is_bit_equal(attempt: Attempt) -> Stopped:
    """Stop at the start, in the first epoch and in the second; what comes out is what a run in one go makes."""

    def check(name: str, task: str, corpus: Path, settings: dict[str, Any]) -> None:
        model = settings.pop("model", MODEL)
        whole = attempt(f"{name}-whole", task, corpus=corpus, model=model, **settings)
        for stop_after in (0, 3, 3):
            with pytest.raises(Interrupted):
                attempt(name, task, corpus=corpus, model=model, stop_after=stop_after, **settings)
        resumed = attempt(name, task, corpus=corpus, model=model, **settings)
        assert content(resumed.out) == content(whole.out)
        assert len(history(whole.out)) >= 2

    return check


@pytest.mark.parametrize("learn", ["answers", "all"])
def test_conversations_resume_bit_equal(resumed_is_bit_equal: Stopped, talks: Path, learn: str) -> None:
    resumed_is_bit_equal("run", "generate", talks, {"objective": {"kind": "causal", "learn": learn}, "micro_batch": 4})


PREFERENCE = {"kind": "preference", "beta": 0.5}


def test_pairs_are_learned_by_heart(attempt: Attempt, talks: Path) -> None:
    settings = BY_HEART | {"epochs": 30.0, "learning_rate": 0.003}
    out = attempt("run", "generate", corpus=talks, model=MODEL, objective=PREFERENCE, **settings).out
    first, last = history(out)[0], history(out)[-1]
    assert first["train_loss"] > 0.5
    assert last["train_loss"] < 0.05
    assert last["validation_score"] == last["validation_loss"] < 0.05


def test_preferences_resume_bit_equal_with_the_first_opinion(
    resumed_is_bit_equal: Stopped, talks: Path, tmp_path: Path
) -> None:
    settings = {"objective": PREFERENCE, "micro_batch": 4, "early_stopping": 0}
    resumed_is_bit_equal("run", "generate", talks, settings)
    kept = [(tmp_path / name / "state" / "prepared-train.safetensors").read_bytes() for name in ("run", "run-whole")]
    assert kept[0] == kept[1]


@pytest.fixture
def moods(tmp_path: Path) -> Path:
    """32 texts with a label each."""
    rows = tiny_rows(32)
    return write(tmp_path / "moods", rows, rows, ["bad", "good"])


SMALL = {"scratch": {"layers": 1, "width": 32, "heads": 2, "vocabulary": 400}, "max_length": 48}
LARGER = {"scratch": {"layers": 1, "width": 48, "heads": 2, "vocabulary": 420}, "max_length": 48}
DISTILLED = [("classify", "distill_classes", "moods"), ("generate", "distill_causal", "talks")]


@pytest.mark.parametrize(("task", "kind", "corpus"), DISTILLED)
def test_a_student_learns_from_a_trained_teacher(
    attempt: Attempt,
    resumed_is_bit_equal: Stopped,
    request: pytest.FixtureRequest,
    task: str,
    kind: str,
    corpus: str,
) -> None:
    folder = request.getfixturevalue(corpus)
    teacher = attempt("teacher", task, corpus=folder, model=LARGER, **BY_HEART | {"epochs": 12.0}).out
    settings: dict[str, Any] = {
        "model": SMALL,
        "objective": {"kind": kind, "teacher": "teacher", "teacher_weight": 0.9},
        "resources": {"train.objective.teacher": teacher},
    }
    resumed_is_bit_equal("run", task, folder, {**settings, "early_stopping": 0})
    out = attempt("student", task, corpus=folder, **settings, **BY_HEART | {"epochs": 20.0}).out
    first, last = history(out)[0], history(out)[-1]
    assert last["train_loss"] < 0.35 * first["train_loss"]
    assert last["validation_score"] == 1.0 if task == "classify" else last["validation_score"] < 8.0
    # A language model from nothing speaks the teacher's tokens, since they are compared one by one.
    same = (out / "tokenizer.json").read_bytes() == (teacher / "tokenizer.json").read_bytes()
    assert same == (task == "generate")
