"""The stage on small data: what it reads, what it resolves, what it writes, what it refuses."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from danlu.cli.plan_tables import draw_plan
from danlu.core.errors import DataError, ModelError
from danlu.data.config import DataConfig
from danlu.examples import tiny_recipe, tiny_rows
from danlu.learning.chat import plain_chat
from danlu.learning.objectives.turns import conversation
from danlu.learning.scratch import VOCABULARIES, train_tokenizer
from danlu.plan import calibrate, reading, tokens, work
from danlu.plan.catalogue import read_catalogue
from danlu.plan.config import PlanStage
from danlu.plan.reading import Look, look
from danlu.plan.stage import run
from danlu.plan.tokens import Tokens, scoring_batches
from danlu.recipe import Recipe
from tests.support import make_context
from tests.unit.learning.test_distill import write_teacher

RATES = calibrate.Rates(gemm=5e11, gemm32=1e11, stream=1e10, elementwise=8e7)
STAGES = {"clean", "duplicates", "data", "train", "compress", "evaluate", "speed", "release"}


def texts_of(seen: Look) -> list[str]:
    return [row.text for row in seen.sample]


def data_config(**settings: Any) -> DataConfig:
    return DataConfig.model_validate({"sources": [{"path": "x"}], **settings})


ROWS = [*tiny_rows(60), *tiny_rows(60)[:20]]
TEXTS = sorted({row["text"] for row in ROWS})


def as_csv(path: Path) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["label", "text"])
        writer.writeheader()
        writer.writerows(ROWS)
    return path


def as_tsv(path: Path) -> Path:
    path.write_text("text\tlabel\n" + "".join(f"{r['text']}\t{r['label']}\n" for r in ROWS), encoding="utf-16")
    return path


def as_jsonl(path: Path) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8-sig")
    return path


def as_json(path: Path) -> Path:
    path.write_text(json.dumps(ROWS, indent=1), encoding="utf-8")
    return path


def as_lines(path: Path) -> Path:
    path.write_text("\n\n".join(row["text"] for row in ROWS), encoding="utf-8")
    return path


def as_parquet(path: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path


def as_excel(path: Path) -> Path:
    book = openpyxl.Workbook()
    sheet = book.create_sheet("rows", 0)
    sheet.append(["text", "label"])
    for row in ROWS:
        sheet.append([row["text"], row["label"]])
    book.save(path)
    return path


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (as_csv, "a.csv"),
        (as_tsv, "a.tsv"),
        (as_jsonl, "a.jsonl"),
        (as_json, "a.json"),
        (as_lines, "a.txt"),
        (as_parquet, "a.parquet"),
        (as_excel, "a.xlsx"),
    ],
)
def test_every_format_gives_the_same_look(tmp_path: Path, write: Any, name: str) -> None:
    seen = look(data_config(), [write(tmp_path / name)])
    assert (seen.rows, seen.distinct, seen.whole) == (80, 60, True)
    assert sorted(texts_of(seen)) == TEXTS
    assert seen.characters == pytest.approx(sum(map(len, TEXTS)) / 60)


def test_gbk_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("text,label\n衣服很好看,好\n衣服不好看,差\n".encode("gb18030"))
    assert texts_of(look(data_config(), [tmp_path / "a.csv"])) == ["衣服很好看", "衣服不好看"]


def test_a_large_file_is_counted_by_proportion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = as_jsonl(tmp_path / "a.jsonl")
    monkeypatch.setattr(reading, "_MOST_BYTES", path.stat().st_size // 3)
    seen = look(data_config(), [path])
    assert not seen.whole
    assert seen.rows == pytest.approx(80, rel=0.1)


def test_length_limits_count(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no\ngood\nfar too long to keep\n", encoding="utf-8")
    seen = look(data_config(min_characters=3, max_characters=10), [tmp_path / "a.txt"])
    assert (seen.rows, texts_of(seen)) == (3, ["good"])


@pytest.mark.parametrize(
    ("name", "content", "settings", "words"),
    [
        ("a.csv", b"", {}, "empty"),
        ("a.csv", b"texts,label\na,b\n", {}, "no column 'text'.*'texts', 'label'"),
        ("a.jsonl", b'{"body": "a"}\n', {}, "no column 'text'.*'body'"),
        ("a.jsonl", b"{not json}\n" * 9, {}, "max_bad_rows"),
        ("a.jsonl", b"x" * 5_000_000, {}, "No row of a.jsonl"),
        ("a.txt", b"a b\n", {"sources": [{"path": "x", "encoding": "utf-9"}]}, "no encoding 'utf-9'"),
        (
            "a.txt",
            "这件衣服不好看".encode("gb18030") * 50,
            {"sources": [{"path": "x", "encoding": "utf-8"}]},
            "cannot be read as utf-8",
        ),
        ("a.parquet", b"PAR1 no", {}, "not a Parquet file"),
        ("a.xlsx", b"PK no", {}, "not an Excel file"),
    ],
)
def test_a_source_that_cannot_be_used_is_refused(
    tmp_path: Path, name: str, content: bytes, settings: dict[str, Any], words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        look(data_config(**settings), [tmp_path / name])
    assert len(str(caught.value)) < 500, "the message does not repeat the file"


def planned(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    task: str = "classify",
    rates: calibrate.Rates = RATES,
    **changes: dict[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the stage with rates given, since how fast this machine is at the moment is not what is tested."""
    sections = tiny_recipe(folder, task)
    for section, values in changes.items():
        sections[section] = sections.get(section, {}) | values
    recipe = Recipe.model_validate(sections)
    monkeypatch.setattr(calibrate, "measure", lambda **_: rates)
    config = PlanStage.model_validate({name: getattr(recipe, name) for name in PlanStage.model_fields})
    context = make_context(folder / "run", stage="plan", resources={"data.sources[0].path": folder / "rows.jsonl"})
    run(context, config)
    return (
        json.loads((context.out / "plan.json").read_text(encoding="utf-8")),
        json.loads((context.out / "resolved.json").read_text(encoding="utf-8")),
    )


def test_gradients_that_are_added_up_take_memory_where_the_loss_is_in_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "worth", lambda *_: True)

    def activations(name: str, **train: Any) -> float:
        plan, _ = planned(tmp_path / name, monkeypatch, "generate", train={"batch_size": 4} | train)
        return float(plan["training_memory_bytes"]["activations"])

    whole = activations("whole")
    table = activations("compiled", compile=True) - whole  # the tiny model's embedding is its output layer
    assert table > 0
    disturbed = activations("adversary", regularize={"adversarial": {"kind": "fgm"}})
    assert disturbed > whole + table
    pieces = activations("pieces", batch_size=8, micro_batch=4)
    assert pieces == pytest.approx(whole + table, rel=0.02)


def test_a_search_costs_as_many_trainings_and_leaves_none_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = {"learning_rate": {"low": 1e-4, "high": 1e-2}}
    alone, _ = planned(tmp_path / "a", monkeypatch)
    one = alone["stages"]["train"]["seconds"]
    for more, train in (({"prune": False}, 0.0), ({"prune": False, "workers": 2}, one["value"])):
        plan, _ = planned(tmp_path / str(train), monkeypatch, tune={"space": space, "trials": 7} | more)
        assert set(plan["stages"]) == STAGES | {"tune"}
        assert plan["stages"]["tune"]["seconds"]["value"] == pytest.approx(7 * one["value"], rel=1e-4)
        assert plan["stages"]["train"]["seconds"]["value"] == pytest.approx(train, rel=1e-4)
    pruned, _ = planned(tmp_path / "p", monkeypatch, tune={"space": space, "trials": 7, "hours": 1e-3})
    found = pruned["stages"]["tune"]["seconds"]
    assert found["low"] <= found["value"] <= 3.6 + 1e-6
    assert found["high"] <= 3.6 + one["high"] + 1e-3


def test_folds_cost_a_training_an_export_and_its_evidence_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, _ = planned(tmp_path / "a", monkeypatch)
    one = sum(alone["stages"][stage]["seconds"]["value"] for stage in ("train", "compress", "evaluate"))
    for folds, runs in (({}, 4), ({"runs": 3}, 3)):
        plan, _ = planned(tmp_path / str(runs), monkeypatch, data={"split": {"folds": 4}}, folds=folds)
        assert set(plan["stages"]) == STAGES | {"folds"}
        assert plan["stages"]["folds"]["seconds"]["value"] == pytest.approx(runs * one, rel=1e-4)
        assert plan["total"]["seconds"]["value"] > alone["total"]["seconds"]["value"] + (runs - 0.5) * one


def test_energy_goes_by_the_stated_power_of_a_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = [planned(tmp_path / str(watts), monkeypatch, budget={"watts_per_core": watts})[0] for watts in (12.0, 36.0)]
    low, high = (plan["total"]["kwh"]["value"] for plan in plans)
    seconds, threads = plans[0]["total"]["seconds"]["value"], plans[0]["machine"]["threads"]
    assert high - low == pytest.approx(24.0 * threads * seconds / 3.6e6, rel=1e-3)


@pytest.mark.parametrize("task", ["classify", "generate"])
def test_a_plan_is_complete_and_the_same_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str) -> None:
    plan, resolved = planned(tmp_path / "a", monkeypatch, task)
    assert (plan, resolved) == planned(tmp_path / "b", monkeypatch, task)
    assert set(plan["stages"]) == STAGES
    values = [plan["total"][name] for name in ("seconds", "memory_bytes", "kwh", "usd", "kg_co2")]
    values += [stage[name] for stage in plan["stages"].values() for name in ("seconds", "memory_bytes")]
    values += [gpu[name] for gpu in plan["elsewhere"] for name in ("seconds", "memory_bytes", "kwh", "usd", "kg_co2")]
    assert all(0 < value["low"] <= value["value"] <= value["high"] for value in values)
    assert plan["rows"] == 240
    assert plan["train_rows"] == 192
    assert all(gpu["fits"] and "not measured here" in gpu["note"] for gpu in plan["elsewhere"])
    others = plan["total"]["kwh"]["value"] * (
        1 - plan["stages"]["train"]["seconds"]["value"] / plan["total"]["seconds"]["value"]
    )
    known = {gpu.name: gpu for gpu in read_catalogue()}
    assert {gpu["name"] for gpu in plan["elsewhere"]} >= {"NVIDIA A10", "NVIDIA H200"}
    for gpu in plan["elsewhere"]:
        watts = known[gpu["name"]].watts
        assert watts is not None
        training = gpu["training_seconds"]["value"] * watts / 3.6e6
        assert gpu["kwh"]["value"] == pytest.approx(training + others, rel=1e-3), "energy is of all stages"
    assert sum(stage["seconds"]["value"] for stage in plan["stages"].values()) == pytest.approx(
        plan["total"]["seconds"]["value"], rel=1e-4
    )


def test_steps_and_samples_are_those_of_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, _ = planned(tmp_path / "a", monkeypatch, train={"epochs": 2.0, "batch_size": 16})
    assert (plan["samples"], plan["steps"]) == (2 * 192, 2 * 12)
    plan, _ = planned(tmp_path / "b", monkeypatch, train={"epochs": 2.0, "batch_size": 16, "max_samples": 100})
    assert (plan["samples"], plan["steps"]) == (100, 7)


def test_auto_becomes_a_value_and_a_value_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, resolved = planned(tmp_path / "a", monkeypatch, model={"max_length": "auto"}, train={"precision": "auto"})
    assert resolved["model.max_length"] % 8 == 0
    assert 8 <= resolved["model.max_length"] <= 64
    assert resolved["train.precision"] in {"float32", "bfloat16"}
    assert resolved["budget.threads"] == 1
    _, resolved = planned(tmp_path / "b", monkeypatch, model={"max_length": 31}, train={"precision": "bfloat16"})
    assert resolved == {
        "model.max_length": 31,
        "train.precision": "bfloat16",
        "train.batching.packing": False,
        "budget.threads": 1,
    }


def test_a_larger_batch_needs_more_memory_and_more_samples_more_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, _ = planned(tmp_path / "a", monkeypatch)
    large, _ = planned(tmp_path / "b", monkeypatch, train={"batch_size": 64})
    long, _ = planned(tmp_path / "c", monkeypatch, train={"epochs": 20.0})
    assert large["training_memory_bytes"]["activations"] > small["training_memory_bytes"]["activations"]
    assert long["stages"]["train"]["seconds"]["value"] > small["stages"]["train"]["seconds"]["value"]


def test_a_busy_machine_stretches_the_upper_bounds_and_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free, _ = planned(tmp_path / "a", monkeypatch)
    busy, _ = planned(tmp_path / "b", monkeypatch, rates=dataclasses.replace(RATES, share=0.25))
    before, after = free["total"]["seconds"], busy["total"]["seconds"]
    assert (after["value"], after["low"]) == (before["value"], before["low"])
    assert after["high"] == pytest.approx(4 * before["high"], rel=1e-4)
    assert [note for note in busy["notes"] if "busy" in note]
    assert not [note for note in free["notes"] if "busy" in note]


def test_a_model_that_cannot_be_used_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    sections = tiny_recipe(tmp_path)
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    recipe = Recipe.model_validate(sections | {"model": {"base": "base"}})
    config = PlanStage.model_validate({name: getattr(recipe, name) for name in PlanStage.model_fields})
    paths = {"data.sources[0].path": tmp_path / "rows.jsonl", "model.base": tmp_path / "base"}
    with pytest.raises(ModelError, match="safetensors"):
        run(make_context(tmp_path / "run", stage="plan", resources=paths), config)


def test_a_draw_of_rows_holds_fewer_different_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(2)
    rows = [f"text number {number}" for number in range(1_000) for _ in range(1 + 7 * (number % 2))]
    draw.shuffle(rows)
    (tmp_path / "a.txt").write_text("\n".join(rows), encoding="utf-8")
    seen = look(data_config(), [tmp_path / "a.txt"])
    assert dict(seen.copies) == {1: 500, 8: 500}
    real = [len(set(draw.sample(rows, 1_000))) for _ in range(20)]
    assert seen.distinct_among(1_000) == pytest.approx(sum(real) / len(real), rel=0.02)
    assert seen.distinct_among(1_000) < 600
    assert seen.distinct_among(10_000) == 1_000
    plan, _ = planned(tmp_path / "plan", monkeypatch, data={"max_rows": 100})
    assert plan["train_rows"] == 80


def test_a_pass_over_many_rows_is_scaled_up(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = np.arange(5, 60)
    sample = Tokens(
        lengths=lengths,
        sizes=lengths,
        weights=np.ones(len(lengths)),
        held_out=np.full(len(lengths), 1 / len(lengths)),
        max_length=64,
        vocabulary=100,
        share_cut=0.0,
    )
    whole = scoring_batches(sample, 50_000, 32)
    monkeypatch.setattr(tokens, "_MOST_DRAWN", 10_000)
    part = scoring_batches(sample, 50_000, 32)
    assert part.tokens == pytest.approx(whole.tokens, rel=0.01)
    assert part.pairs == pytest.approx(whole.pairs, rel=0.02)
    assert part.count == pytest.approx(whole.count, rel=0.01)


def talks(folder: Path) -> Path:
    """Short conversations, which the template makes half as long again."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "prompt": f"where is my {row['text'].split()[1]} number {place}",
            "chosen": "it comes on monday",
            "rejected": "wait",
        }
        for place, row in enumerate(tiny_rows(60))
    ]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def talks_planned(
    folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    sections = tiny_recipe(folder, "generate")
    talks(folder)
    sections["model"] |= {"max_length": "auto"}
    for section, values in changes.items():
        sections[section] |= values
    recipe = Recipe.model_validate(sections)
    monkeypatch.setattr(calibrate, "measure", lambda **_: RATES)
    config = PlanStage.model_validate({name: getattr(recipe, name) for name in PlanStage.model_fields})
    context = make_context(folder / "run", stage="plan", resources={"data.sources[0].path": folder / "rows.jsonl"})
    run(context, config)
    plan, resolved = (json.loads((context.out / f"{name}.json").read_text("utf-8")) for name in ("plan", "resolved"))
    return plan, resolved


def test_the_length_of_conversations_has_what_the_template_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, resolved = talks_planned(tmp_path / "a", monkeypatch)
    path = tmp_path / "a" / "rows.jsonl"
    config = data_config(sources=[{"path": str(path)}])
    sample = look(config, [path], columns=("text", "turns")).sample
    tokenizer = train_tokenizer([row.text for row in sample], VOCABULARIES["causal"], 400)
    written = [plain_chat(tokenizer).count(tokenizer, conversation(row.turns or [])) for row in sample]
    assert resolved["model.max_length"] >= np.percentile(written, 95)
    assert resolved["model.max_length"] > max(len(tokenizer.encode(row.text).ids) for row in sample)
    assert not [note for note in plan["notes"] if "lost" in note], "nothing is cut"
    cut, _ = talks_planned(tmp_path / "b", monkeypatch, model={"max_length": 16})
    assert [note for note in cut["notes"] if note.startswith("In the sample of 60 rows: of the conversations longer")]


def test_a_preference_costs_two_rows_and_a_first_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, _ = talks_planned(tmp_path / "a", monkeypatch)
    pairs, resolved = talks_planned(tmp_path / "b", monkeypatch, train={"objective": {"kind": "preference"}})
    assert (pairs["samples"], pairs["steps"]) == (alone["samples"], alone["steps"])
    assert pairs["tokens"] > 1.6 * alone["tokens"]
    assert pairs["training_memory_bytes"]["activations"] > 1.6 * alone["training_memory_bytes"]["activations"]
    assert pairs["stages"]["train"]["seconds"]["value"] > alone["stages"]["train"]["seconds"]["value"]
    assert [note for note in pairs["notes"] if "starting weights read every sample once" in note]
    assert resolved["train.batching.packing"] is False


def test_pieces_an_adversary_and_an_optimizer_change_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = planned(tmp_path / "a", monkeypatch)
    small, _ = planned(tmp_path / "b", monkeypatch, train={"micro_batch": 2, "optimizer": {"kind": "adafactor"}})
    assert (small["steps"], small["samples"]) == (whole["steps"], whole["samples"])
    before, after = whole["training_memory_bytes"], small["training_memory_bytes"]
    assert after["activations"] < before["activations"]
    assert after["optimizer"] < 0.1 * before["optimizer"]
    hard, _ = planned(tmp_path / "c", monkeypatch, train={"regularize": {"adversarial": {"kind": "fgm"}}})
    assert hard["stages"]["train"]["seconds"]["value"] > whole["stages"]["train"]["seconds"]["value"]
    assert [note for note in hard["notes"] if "2 forward and backward passes" in note]


@pytest.mark.parametrize(("epochs", "said"), [(5.0, False), (6.0, True)])
def test_early_stopping_is_told_where_it_can_end_the_training_sooner(
    epochs: float, said: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = {"epochs": epochs, "early_stopping": 3, "validations_per_epoch": 1, "max_samples": None}
    plan, _ = planned(tmp_path, monkeypatch, train=train)
    assert plan["validations"] == epochs
    assert any("Early stopping may end" in note for note in plan["notes"]) is said


def test_rows_that_a_teacher_will_answer_count_and_its_cost_is_said_to_be_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_labels, _ = planned(tmp_path / "a", monkeypatch)
    teacher = {"endpoint": {"base_url": "http://localhost:1/v1", "model": "big"}, "labels": ["good", "bad"]}
    without, _ = planned(tmp_path / "b", monkeypatch, data={"teacher": teacher, "label": None})
    assert without["rows"] == with_labels["rows"]
    assert any("nothing caps it: give data.teacher.price and max_usd" in note for note in without["notes"])


def test_an_encoder_by_hidden_words_is_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, _ = planned(tmp_path, monkeypatch, task="fill")
    assert plan["stages"]["train"]["seconds"]["value"] > 0
    assert plan["stages"]["train"]["memory_bytes"]["value"] > 0


def test_texts_that_are_too_long_are_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for task, what in (("classify", "their ends are cut off"), ("generate", "they go on in a further example")):
        plan, _ = planned(tmp_path / task, monkeypatch, task=task, model={"max_length": 8})
        assert any(note.endswith(f"longer than 8 tokens; {what}.") for note in plan["notes"])


def test_what_does_not_fit_is_said_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small, _ = planned(tmp_path / "a", monkeypatch)
    assert small["beyond"] == []
    scratch = {"layers": 96, "width": 8_192, "heads": 64, "vocabulary": 400}
    by_formula = {"trace": "never"}  # a trace of 96 layers takes a minute
    huge, _ = planned(tmp_path / "b", monkeypatch, model={"scratch": scratch}, train={"epochs": 500.0}, plan=by_formula)
    assert ["does not fit" in huge["beyond"][0], "days here" in huge["beyond"][1]] == [True, True]
    screen = Console(width=100, file=io.StringIO())
    draw_plan(screen, huge, ["a cap"])
    shown = screen.file.getvalue()  # type: ignore[attr-defined]
    assert shown.startswith("✗ This run does not fit into this machine")
    assert shown.index("would take") < shown.index("training samples in")


def test_a_length_that_the_base_cannot_take_is_refused(tmp_path: Path) -> None:
    folder = write_teacher(tmp_path / "base", "classifier", ["bad", "good"])
    sections = tiny_recipe(tmp_path) | {"model": {"base": "base", "max_length": 9_000}}
    recipe = Recipe.model_validate(sections)
    config = PlanStage.model_validate({name: getattr(recipe, name) for name in PlanStage.model_fields})
    paths = {"data.sources[0].path": tmp_path / "rows.jsonl", "model.base": folder}
    with pytest.raises(ModelError, match="takes at most 64 tokens"):
        run(make_context(tmp_path / "run", stage="plan", resources=paths), config)


def test_where_no_row_can_be_read_the_first_says_why(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("[1]\n[2]\n", encoding="utf-8")
    config = DataConfig.model_validate({"sources": [{"path": str(path)}]})
    with pytest.raises(DataError, match=r"could be read \(the first, a.jsonl:1: a JSON list, not an object\)"):
        look(config, [path])
