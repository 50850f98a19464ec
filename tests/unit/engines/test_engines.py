"""Every form's engine on tiny real models: the same tests for all, and what each form promises."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from danlu.core.errors import ModelError, UserError
from danlu.engines.base import Ending, Engine, read_form
from danlu.engines.sampling import softmax
from danlu.engines.table import load
from danlu.evaluate.rows import Part
from danlu.learning.batching import NO_TARGET
from danlu.learning.chat import Turn, plain_chat
from danlu.learning.models import load_checkpoint
from danlu.learning.objectives.base import Facts
from danlu.learning.objectives.config import DEFAULTS
from danlu.learning.objectives.table import make_objective
from danlu.learning.text import encode, load_tokenizer
from tests.unit.engines import tiny

FORMS = ["torch", "onnx", "onnx-int8"]
FLOAT32 = ["torch", "onnx"]


@pytest.fixture(scope="module", params=FORMS)
def classifier(request: pytest.FixtureRequest, classify_export: Path) -> Iterator[Engine]:
    engine = load(classify_export / "forms" / request.param, threads=1)
    yield engine
    engine.close()


@pytest.fixture(scope="module", params=FORMS)
def generator(request: pytest.FixtureRequest, generate_export: Path) -> Iterator[Engine]:
    engine = load(generate_export / "forms" / request.param, threads=1)
    yield engine
    engine.close()


def test_predict_yields_a_distribution_for_each_text_in_the_given_order(classifier: Engine) -> None:
    rows = tiny.texts(30)
    got = classifier.predict(rows)
    assert got.shape == (30, 3)
    assert got.dtype == np.float32
    assert np.allclose(got.sum(axis=1), 1, atol=1e-6)
    assert len(np.unique(got.round(4), axis=0)) > 20  # the model does tell texts apart
    alone = np.concatenate([classifier.predict([row]) for row in rows])
    assert np.abs(got - alone).max() < 1e-5


def test_the_answer_to_a_text_is_the_same_in_any_batch(classifier: Engine) -> None:
    """Also for int8, which is not batch invariant: the engine answers it one text at a time."""
    rows = tiny.texts(60)
    alone = np.concatenate([classifier.predict([row]) for row in rows])
    random = np.random.default_rng(4)
    for _ in range(8):
        chosen = random.integers(0, len(rows), size=random.integers(1, 40))
        got = classifier.predict([rows[index] for index in chosen])
        assert np.abs(got - alone[chosen]).max() < 1e-5


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("task", ["classify", "generate"])
def test_batch_invariance_is_declared_as_it_is(request: pytest.FixtureRequest, task: str, form: str) -> None:
    """Below the engine's care: the model itself, in random batches. If int8 held, it should say so."""
    engine = load(request.getfixturevalue(f"{task}_export") / "forms" / form, threads=1)
    rows = encode(engine._tokenizer, [text for text in tiny.texts(60) if text], 48)

    def probabilities(chosen: list[list[int]]) -> list[np.ndarray]:
        got = softmax(engine._forward(*engine._rectangle(chosen)))
        return [one[: len(row)] if task == "generate" else one for one, row in zip(got, chosen, strict=True)]

    alone = [probabilities([row])[0] for row in rows]
    random = np.random.default_rng(9)
    worst = 0.0
    for _ in range(8):
        chosen = random.permutation(len(rows))[: random.integers(2, 30)]
        got = probabilities([rows[index] for index in chosen])
        worst = max(worst, *(np.abs(one - alone[index]).max() for one, index in zip(got, chosen, strict=True)))
    assert (worst < 1e-5) == engine.form.batch_invariant, worst


def test_empty_texts_and_no_texts(classifier: Engine) -> None:
    assert classifier.predict([]).shape == (0, 3)
    got = classifier.predict(["", " ", "今天 good", "\x00", "\ud83d"])
    assert np.isfinite(got).all()


def test_a_text_is_cut_at_max_length(classifier: Engine) -> None:
    short = " ".join(["good"] * 46)  # 46 words, opening and closing token: 48
    assert np.array_equal(classifier.predict([short]), classifier.predict([short + " bad slow" * 50]))
    assert not np.array_equal(classifier.predict([short]), classifier.predict(["bad" + short[4:]]))


@pytest.mark.parametrize("form", FLOAT32)
def test_predict_is_what_transformers_computes(classify_export: Path, form: str) -> None:
    rows = tiny.texts(10)
    model = load_checkpoint(classify_export.parent / "checkpoint")
    tokenizer = load_tokenizer(classify_export.parent / "checkpoint")
    with torch.inference_mode():
        expected = [model(input_ids=torch.tensor([row])).logits.softmax(-1) for row in encode(tokenizer, rows, 48)]
    got = load(classify_export / "forms" / form).predict(rows)
    assert np.abs(got - torch.cat(expected).numpy()).max() < 1e-5


def test_a_call_for_the_other_task_is_refused(classifier: Engine, generator: Engine) -> None:
    for call in (
        lambda: classifier.score(["a"]),
        lambda: classifier.next_token(["a"]),
        lambda: classifier.generate("a"),
        lambda: generator.predict(["a"]),
    ):
        with pytest.raises(UserError, match="needs one for"):
            call()


@pytest.mark.parametrize("generator", FLOAT32, indirect=True)
def test_score_adds_up_the_log_probabilities_of_every_token_and_the_end(
    generator: Engine, generate_export: Path
) -> None:
    rows = [row for row in tiny.texts(20) if len(row) < 20]
    model = load_checkpoint(generate_export.parent / "checkpoint")
    tokenizer = load_tokenizer(generate_export.parent / "checkpoint")
    for row, got in zip(rows, generator.score(rows), strict=True):
        ids = torch.tensor([[*tokenizer.encode(row).ids, 2]])
        assert ids[0, 0] == 1
        assert got.end_counted
        with torch.inference_mode():
            logs = model(input_ids=ids).logits[0].log_softmax(-1)
        truth = ids[0, 1:]
        assert got.tokens == len(truth)
        assert got.characters == len(row)
        assert got.greedy == int((logs[:-1].argmax(-1) == truth).sum())
        assert got.log_likelihood == pytest.approx(float(logs[:-1].gather(1, truth[:, None]).sum()), abs=1e-3)


def test_score_counts_every_token_of_a_text_longer_than_the_context_once(generator: Engine) -> None:
    text = " ".join(tiny.texts(12))
    tokens = len(generator._tokenizer.encode(text).ids)  # less the opening token, and with the closing one
    assert tokens > 3 * generator.form.max_length
    (got,) = generator.score([text])
    assert got.tokens == tokens
    assert got.characters == len(text)
    assert got.log_likelihood < 0


def test_score_of_a_text_does_not_depend_on_the_batch(generator: Engine) -> None:
    rows = ["", *tiny.texts(25)]
    together = generator.score(rows)
    for row, got in zip(rows, together, strict=True):
        (alone,) = generator.score([row])
        assert got.log_likelihood == pytest.approx(alone.log_likelihood, abs=1e-4)
        assert got.tokens == alone.tokens
    assert together[0].tokens == 1  # nothing but its end
    assert generator.score([]) == []


@pytest.mark.parametrize("generator", FLOAT32, indirect=True)
def test_answers_alone_are_scored_as_they_were_learned(generator: Engine, generate_export: Path) -> None:
    """Conversations among plain texts: training's targets count, but for the token that closes an answer."""
    checkpoint = generate_export.parent / "checkpoint"
    tokenizer = load_tokenizer(checkpoint)
    chat = plain_chat(tokenizer)
    said = [row for row in tiny.texts(30) if len(row) < 30]
    turns = [
        [Turn(role="user", text=said[n]), Turn(role="assistant", text=said[n + 1], learn=True)] for n in range(0, 6, 2)
    ]
    rows: dict[str, list[object]] = {
        "text": [*(f"{one[0].text}\n{one[1].text}" for one in turns), said[7]],
        "turns": [*([vars(turn) for turn in one] for one in turns), None],
    }
    objective = make_objective(DEFAULTS["generate"], Facts(tokenizer=tokenizer, chat=chat))
    examples = objective.examples(rows, generator.form.max_length)
    assert len(examples) == 4
    part = Part(ids=["a"] * 4, texts=list(map(str, rows["text"])), labels=[], turns=list(rows["turns"])).written(chat)
    found = generator.score(part.texts, part.answers)
    model = load_checkpoint(checkpoint)
    closing = tokenizer.token_to_id("</s>")
    for place, one in enumerate(found):
        batch = examples.batch(np.array([place]), 0)
        with torch.inference_mode():
            logits = model(input_ids=torch.from_numpy(batch.ids)).logits[0].log_softmax(-1).numpy()
        wanted = (batch.targets[0] != NO_TARGET) & ((batch.targets[0] != closing) | (place == 3))
        assert one.tokens == wanted.sum()
        likelihood = logits[wanted, batch.targets[0][wanted]].sum()
        assert one.log_likelihood == pytest.approx(float(likelihood), rel=1e-4)
    assert [one.characters for one in found[:3]] == [len(one[1].text) for one in turns]
    assert [one.end_counted for one in found] == [False, False, False, True]


@pytest.mark.parametrize("generator", FLOAT32, indirect=True)
def test_perplexity_is_that_of_training_on_the_same_rows(generator: Engine, generate_export: Path) -> None:
    """One quantity under one name, on texts that fit into the context."""
    rows = [row for row in tiny.texts(40) if len(row) < 40]
    checkpoint = generate_export.parent / "checkpoint"
    objective = make_objective(DEFAULTS["generate"], Facts(tokenizer=load_tokenizer(checkpoint)))
    examples = objective.examples({"text": rows}, generator.form.max_length)
    assert len(examples) == len(rows) > 20
    with torch.inference_mode():
        outcome = objective.outcome(load_checkpoint(checkpoint), examples.batch(np.arange(len(rows)), 0))
    nothing = np.empty(0)
    trained = objective.score(outcome.loss.item(), nothing, nothing)
    found = generator.score(rows)
    assert sum(one.tokens for one in found) == outcome.weight
    ours = math.exp(-sum(one.log_likelihood for one in found) / outcome.weight)
    assert ours == pytest.approx(trained, rel=1e-4)


def test_a_tokenizer_without_an_end_token_foresees_none(generate_export: Path, tmp_path: Path) -> None:
    form = shutil.copytree(generate_export / "forms" / "torch", tmp_path / "form")
    path = form / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"</s>"', '"<stop>"'), encoding="utf-8")
    (got,) = load(form).score(["good screen"])
    assert not got.end_counted
    assert got.tokens == len(load_tokenizer(form).encode("good screen").ids) - 1


def test_next_token_is_the_first_that_generate_takes(generator: Engine) -> None:
    prompts = ["今天", "good", ""]
    probabilities = generator.next_token(prompts)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    for prompt, row in zip(prompts, probabilities, strict=True):
        assert next(generator._tokens(generator._open_rows([prompt])[0], 1, lambda logits: int(logits.argmax()))) == (
            row.argmax()
        )


@pytest.mark.parametrize("generator", FLOAT32, indirect=True)
def test_generate_with_a_cache_is_generate_without(generator: Engine) -> None:
    """Not so for int8: computed at once, a text's activations get other scales than token by token."""
    row = generator._open_rows(["炉火 纯青 fast"])[0]
    taken = list(generator._tokens(list(row), 20, lambda logits: int(logits.argmax())))
    again: list[int] = []
    for _ in taken:
        ids, mask = generator._rectangle([row + again])
        again.append(int(generator._forward(ids, mask)[0, -1].argmax()))
    assert taken == again
    assert len(set(taken)) > 3


def test_generate_streams_whole_characters_and_repeats_with_its_seed(generator: Engine) -> None:
    settings = {"max_new_tokens": 40, "temperature": 1.0, "top_p": 0.95}
    one = list(generator.generate("丹砂", seed=1, **settings))
    assert one == list(generator.generate("丹砂", seed=1, **settings))
    assert one != list(generator.generate("丹砂", seed=2, **settings))
    assert len(one) > 1
    assert not "".join(one).endswith("\N{REPLACEMENT CHARACTER}")


def test_generate_ends_before_a_stop_sequence(generator: Engine) -> None:
    whole = "".join(generator.generate("丹砂", max_new_tokens=30, temperature=0))
    stop = whole[2:4]
    assert (
        "".join(generator.generate("丹砂", max_new_tokens=30, temperature=0, stop=[stop]))
        == (whole[: whole.index(stop)])
    )


def test_a_long_prompt_loses_its_beginning_and_the_context_bounds_the_answer(generator: Engine) -> None:
    long = " ".join(tiny.texts(30))
    kept = generator._open_rows([long])[0][-(64 - 10) :]
    expected = list(generator._tokens(kept, 10, lambda logits: int(logits.argmax())))
    assert len(kept) + len(expected) <= generator.form.max_length
    whole = generator._tokenizer.decode(expected).replace("\N{REPLACEMENT CHARACTER}", "")
    assert "".join(generator.generate(long, max_new_tokens=10, temperature=0)) == whole
    assert "".join(generator.generate(long, max_new_tokens=10_000, temperature=0))


def test_generate_tells_how_it_ended(generator: Engine) -> None:
    def ending(**settings) -> Ending:
        answer = generator.generate("丹砂", temperature=0, **settings)
        while True:
            try:
                next(answer)
            except StopIteration as end:
                return end.value

    assert ending(max_new_tokens=7) == Ending(reason="length", tokens=7)
    whole = "".join(generator.generate("丹砂", max_new_tokens=30, temperature=0))
    stopped = ending(max_new_tokens=30, stop=[whole[:2]])
    assert stopped.reason == "stop"
    assert stopped.tokens < 30


@pytest.mark.parametrize("wrong", [{"max_new_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"stop": [""]}])
def test_meaningless_settings_are_refused_before_the_first_piece(generator: Engine, wrong: dict) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        generator.generate("a", **wrong)


def test_generate_ends_at_an_end_token(generate_export: Path, tmp_path: Path) -> None:
    """Make the first greedy token an end token: nothing may come."""
    form = shutil.copytree(generate_export / "forms" / "onnx", tmp_path / "form")
    engine = load(form)
    first = int(engine.next_token(["丹砂"])[0].argmax())
    assert engine.form.end_ids == (2,)
    values = json.loads((form / "form.json").read_text(encoding="utf-8"))
    (form / "form.json").write_text(json.dumps(values | {"end_ids": [first]}), encoding="utf-8")
    assert list(load(form).generate("丹砂", temperature=0)) == []


def test_onnx_loads_fast_and_without_torch(classify_export: Path) -> None:
    script = """if True:
        import sys, time
        from pathlib import Path
        begin = time.perf_counter()
        from danlu.engines.table import load
        engine = load(Path(sys.argv[1]), 1)
        seconds = time.perf_counter() - begin
        engine.predict(["good"])
        heavy = {"torch", "transformers", "onnx", "sklearn", "pandas", "pydantic"} & set(sys.modules)
        assert not heavy, heavy
        print(seconds)
    """
    seconds = []
    for _ in range(3):  # the best of three, since other tests share the cores
        command = [sys.executable, "-c", script, str(classify_export / "forms" / "onnx")]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
        seconds.append(float(answer.stdout))
        if seconds[-1] < 1:
            break
    assert min(seconds) < 1


def test_threads_are_set(classify_export: Path) -> None:
    before = torch.get_num_threads()
    try:
        load(classify_export / "forms" / "torch", threads=1)
        assert torch.get_num_threads() == 1
        load(classify_export / "forms" / "torch", threads=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    engine = load(classify_export / "forms" / "onnx", threads=1)
    assert engine._session.get_session_options().intra_op_num_threads == 1


def test_a_broken_form_is_explained(classify_export: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"form\.json"):
        load(tmp_path)
    form = shutil.copytree(classify_export / "forms" / "onnx", tmp_path / "form")
    (form / "model.onnx").write_bytes((form / "model.onnx").read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot load"):
        load(form)
    values = json.loads((form / "form.json").read_text(encoding="utf-8"))
    for change, message in (
        ({"engine": "abacus"}, "abacus"),
        ({"task": "divine"}, "divine"),
        ({"labels": None}, "no labels"),
        ({"max_length": "long"}, "cannot be read"),
    ):
        (form / "form.json").write_text(json.dumps(values | change), encoding="utf-8")
        with pytest.raises(ModelError, match=message):
            load(form)
    (form / "form.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="cannot be read"):
        read_form(form)


@pytest.mark.slow
def test_a_long_text_does_not_slow_down_the_short_ones(classify_export: Path) -> None:
    """Batches hold texts of like length: 200 short ones beside a long one are not padded to its length."""
    engine = load(classify_export / "forms" / "onnx", threads=1)
    rows = ["good"] * 400
    seconds = []
    for extra in ([], ["fine " * 46]):
        begin = time.perf_counter()
        for _ in range(5):
            engine.predict(rows + extra)
        seconds.append(time.perf_counter() - begin)
    assert seconds[1] < 2 * seconds[0]
