"""`danlu init`: the guesses are right, and the recipe it writes can be read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import openpyxl
import pytest

from danlu.core.errors import DataError
from danlu.data.inspect import inspect
from danlu.data.proposal import languages_told, recipe_text
from danlu.recipe import parse_recipe

REVIEWS = ["这家店的服务很好，下次还来", "东西坏了，客服不理人", "一般般吧，没有想象中好", "物流很快，包装也不错"]


def excel(folder: Path) -> Path:
    book = openpyxl.Workbook()
    book.active.append(("编号", "日期", "评论内容", "星级", "情感标签"))
    for number in range(60):
        review = f"{REVIEWS[number % 4]}{number // 2}"
        book.active.append((number, f"2024-01-{number % 28 + 1:02d}", review, number % 5, "坏" if number % 4 else "好"))
    book.save(folder / "客户反馈.xlsx")
    return folder / "客户反馈.xlsx"


def test_an_excel_file_of_chinese_reviews(tmp_path: Path) -> None:
    path = excel(tmp_path)
    found = inspect(path)
    assert (found.format, found.rows, found.whole) == ("excel", 60, True)
    assert (found.text, found.label, found.language) == ("评论内容", "情感标签", "zh")
    assert found.labels == {"坏": 45, "好": 15}
    assert found.imbalance == 3.0
    assert found.lengths["max"] == 15
    recipe = parse_recipe(recipe_text(found, path))
    assert recipe.task == "classify"
    assert recipe.data.sources[0].path == str(path)
    assert (recipe.data.text, recipe.data.label) == ("评论内容", "情感标签")


def test_a_gbk_csv_with_repeats_and_two_spellings(tmp_path: Path) -> None:
    path = tmp_path / "1e5.csv"
    rows = [f"{REVIEWS[n % 4]},{('Good', 'bad', 'good ', 'bad')[n % 4]},{n / 7:.3f}" for n in range(40)]
    path.write_bytes("\n".join(["content,label,score", *rows, "broken"]).encode("gbk"))
    found = inspect(path)
    assert (found.encoding, found.text, found.label) == ("gb18030", "content", "label")
    assert (found.duplicates, found.bad_rows, found.rows) == (36, 1, 41)
    assert any("several spellings" in warning for warning in found.warnings)
    text = recipe_text(found, path)
    assert parse_recipe(text).name == "1e5"
    assert len(text.splitlines()) < 30


def test_texts_without_labels_become_a_language_model(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text("".join(json.dumps({"body": f"note {n} says a lot"}) + "\n" for n in range(30)), encoding="utf-8")
    found = inspect(path)
    assert (found.text, found.label, found.language) == ("body", None, "en")
    recipe = parse_recipe(recipe_text(found, "notes.jsonl"))
    assert (recipe.task, recipe.data.text) == ("generate", "body")
    assert recipe.data.label is None


@pytest.mark.parametrize("column", ["a: b", "yes", "null", "#1", "it's", 'say "x"', "标签", "1.5", "- x"])
def test_odd_column_names_survive_yaml(column: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    rows = [{"text": f"some words {n}", column: "ab"[n % 2]} for n in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert parse_recipe(recipe_text(inspect(path), path)).data.label == column


def test_files_without_text_or_rows_are_refused(tmp_path: Path) -> None:
    (tmp_path / "numbers.csv").write_text("x,y\n1.5,2.5\n3.5,4.5\n", encoding="utf-8")
    with pytest.raises(DataError, match="has no column with text. Its columns: 'x', 'y'"):
        inspect(tmp_path / "numbers.csv")
    (tmp_path / "head.csv").write_text("text,label\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"head.csv, read as csv in utf-8, has no rows of data .* \(only a header"):
        inspect(tmp_path / "head.csv")
    (tmp_path / "list.json").write_text("[1, [2], 3]", encoding="utf-8")
    with pytest.raises(DataError, match=r"3 broken; the first, list\.json:1: a JSON number, not an object"):
        inspect(tmp_path / "list.json")


def test_of_a_folder_the_bad_file_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    write_table(folder / "a.csv", "text,label", ["fine,good"])
    (folder / "b.json").write_text('{"a":', encoding="utf-8")
    with pytest.raises(DataError, match="Of the 2 data files in 'data', one cannot be read. b.json is not the JSON"):
        inspect(folder)


def test_the_first_bad_row_is_told(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.csv", "text,label", [*(f"re {n},{'ab'[n % 2]}" for n in range(30)), "bad"])
    expected = "1 row cannot be read; it will be rejected with a reason, as a.csv:32: 1 field where the header has 2."
    assert expected in inspect(path).warnings


def test_a_label_column_of_one_value_is_said(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.csv", "text,label", (f"第{n}条评论,好" for n in range(40)))
    found = inspect(path)
    assert found.label is None
    (told,) = found.warnings
    assert told.startswith("The column 'label' has one value alone, '好': there are no classes to tell apart")
    path = write_table(tmp_path / "b.csv", "text,who", (f"第{n}条评论,好" for n in range(40)))
    assert inspect(path).warnings == ("No column looks like a label, so the recipe trains a language model.",)


def test_repeats_are_no_steps(tmp_path: Path) -> None:
    rows = [f"第{n}条评论说东西很好,{'是否'[n % 2]}" for n in range(300)]
    once, thrice = (write_table(tmp_path / f"{n}.csv", "text,label", rows * n) for n in (1, 3))
    proposed = [parse_recipe(recipe_text(inspect(path), path)).train for path in (once, thrice)]
    assert proposed[0] == proposed[1]


def write_table(path: Path, head: str, rows: Iterable[str]) -> Path:
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("rows", [60, 600, 1_000, 1_999, 2_000, 4_999, 20_000])
def test_a_model_from_nothing_gets_enough_steps_whatever_the_number_of_rows(rows: int, tmp_path: Path) -> None:
    path = write_table(
        tmp_path / "a.csv", "text,label", (f"第{n}条评论说东西很好,{'是否'[n % 2]}" for n in range(rows))
    )
    train = parse_recipe(recipe_text(inspect(path), path)).train
    steps = train.epochs * 0.8 * rows / train.batch_size
    assert 600 <= steps <= 2_500
    looks = train.epochs * train.validations_per_epoch
    # Patience of at least two hundred steps where steps are few: a model from nothing stands still at first.
    assert train.early_stopping * steps / looks >= 200
    # The first look is always the best so far: patience that lasts to the end would end nothing.
    assert train.early_stopping + 1 < looks or "early_stopping" not in train.model_fields_set


@pytest.mark.parametrize("shape", ["alpaca", "messages"])
def test_few_records_of_instruction_data_get_enough_steps_too(shape: str, tmp_path: Path) -> None:
    records = {
        "alpaca": lambda n: {"instruction": f"问题{n}", "output": f"答案{n}"},
        "messages": lambda n: {
            "messages": [{"role": "user", "content": f"问{n}"}, {"role": "assistant", "content": "答"}]
        },
    }
    path = tmp_path / "chat.jsonl"
    path.write_text("".join(json.dumps(records[shape](n)) + "\n" for n in range(160)), encoding="utf-8")
    found = inspect(path)
    train = parse_recipe(recipe_text(found, path)).train
    assert found.shape == shape
    assert train.epochs * 0.8 * 160 / train.batch_size >= 600


@pytest.mark.parametrize("there", [True, False])
def test_english_texts_take_the_pretrained_encoder_where_it_is_installed(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: object() if there else None)
    lines = [f"the lamp number {n} is fine,{'good' if n % 2 else 'bad'}" for n in range(60)]
    path = write_table(tmp_path / "a.csv", "text,label", lines)
    recipe = parse_recipe(recipe_text(inspect(path), path))
    assert (recipe.model.base is not None) is there
    assert (recipe.model.scratch is None) is there
    assert recipe.train.learning_rate == (1e-4 if there else 1e-3)
    assert recipe.train.epochs * 0.8 * 60 / recipe.train.batch_size >= 150


def test_several_files_a_folder_and_a_pattern_are_one_table(tmp_path: Path) -> None:
    for name in ("one", "two"):
        lines = [f"{name} lamp number {n} is fine,{'good' if n % 2 else 'bad'}" for n in range(30)]
        write_table(tmp_path / f"{name}.csv", "text,label", lines)
    both = (tmp_path / "one.csv", tmp_path / "two.csv")
    for paths in (both, (tmp_path,), (tmp_path / "*.csv",)):
        found = inspect(*paths)
        assert (found.rows, found.files, found.duplicates) == (60, 2, 0)
        assert found.labels == {"bad": 30, "good": 30}
        recipe = parse_recipe(recipe_text(found, *paths))
        assert [source.path for source in recipe.data.sources] == [str(path) for path in paths]


def test_the_folder_one_is_in_has_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop").mkdir()
    write_table(
        tmp_path / "shop" / "a.csv", "text,label", (f"第{n}条评论说东西很好,{'是否'[n % 2]}" for n in range(40))
    )
    monkeypatch.chdir(tmp_path / "shop")
    found = inspect(Path())
    assert found.name == "shop"
    assert parse_recipe(recipe_text(found, ".")).name == "shop"


def test_text_files_of_a_class_each_are_hinted_at(tmp_path: Path) -> None:
    for name in ("pos", "neg"):
        (tmp_path / f"{name}.txt").write_text("".join(f"{name} 第{n}条\n" for n in range(30)), encoding="utf-8")
    paths = (tmp_path / "pos.txt", tmp_path / "neg.txt")
    text = recipe_text(inspect(*paths), *paths)
    live = (
        text.replace("# label: ", "label: ").replace("  label: null", "  #").replace("task: generate", "task: classify")
    )
    assert [source.label for source in parse_recipe(live).data.sources] == ["pos", "neg"]


def test_labels_in_two_languages_are_hinted_at(tmp_path: Path) -> None:
    names = ("正面", "positive", "负面", "Negative")
    path = write_table(tmp_path / "a.csv", "text,label", (f"第{n}条评论,{names[n % 4]}" for n in range(80)))
    found = inspect(path)
    assert found.alike == {"positive": ["正面"], "Negative": ["负面"]}
    assert any("'positive' and '正面' look like one class; data.labels.merge" in told for told in found.warnings)
    text = recipe_text(found, path)
    line = next(line for line in text.splitlines() if "labels:" in line and "merge" in line)
    assert line.lstrip().startswith("#")
    live = text.replace(line, line.replace("# ", "", 1))
    assert parse_recipe(live).data.labels.merge == found.alike


@pytest.mark.parametrize("who", ["客户", "customer_id", "user_id", "用户编号"])
@pytest.mark.parametrize("when", ["日期", "date", "created_at", "下单时间"])
def test_columns_that_say_who_and_when_are_proposed(who: str, when: str, tmp_path: Path) -> None:
    rows = (f"第{n}条评论说东西很好,{'是否'[n % 2]},C{n // 3},2024-{n % 12 + 1:02d}-01" for n in range(60))
    path = write_table(tmp_path / "a.csv", f"text,label,{who},{when}", rows)
    found = inspect(path)
    assert (found.subject, found.time) == (who, when)
    text = recipe_text(found, path)
    assert parse_recipe(text).data.subject is None
    live = parse_recipe(text.replace("# subject:", "subject:").replace("# time:", "time:"))
    assert (live.data.subject, live.data.time) == (who, when)


def test_a_column_so_named_that_holds_no_dates_is_not_proposed(tmp_path: Path) -> None:
    rows = (f"第{n}条评论说东西很好,{'是否'[n % 2]},morning {n}" for n in range(60))
    assert inspect(write_table(tmp_path / "a.csv", "text,label,time", rows)).time is None


def test_half_english_is_said(tmp_path: Path) -> None:
    said = ("这家店的服务很好，下次还来", "the lamp is fine and came soon")
    path = write_table(tmp_path / "a.csv", "text,label", (f"{said[n % 2]} {n},{'ab'[n // 2 % 2]}" for n in range(80)))
    found = inspect(path)
    assert found.languages == {"zh": 0.5, "en": 0.5}
    assert "(50%) and " in languages_told(found)


def test_labels_that_contradict_each_other_are_said(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.csv", "text,label", (f"review {n // 2},{'ab'[n % 2]}" for n in range(80)))
    found = inspect(path)
    assert found.usable == 0
    assert any("Every text occurs with different labels" in told for told in found.warnings)
    assert any("Only 0 usable texts" in told for told in found.warnings)


def test_two_rows_cannot_run(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.csv", "text,label", ["this is good,a", "this is bad,b"])
    found = inspect(path)
    assert found.usable == 2
    assert any("Only 2 rows: a run needs at least 20." in told for told in found.warnings)
    path = write_table(tmp_path / "b.csv", "text,label", ["this is good,a"])
    assert any("Only 1 row: a run needs at least 20." in told for told in inspect(path).warnings)


def test_an_encoding_that_is_a_guess_is_said(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(
        b"text,label\n" + "".join(f"le café {n} est bon,{'ab'[n % 2]}\n" for n in range(60)).encode("latin-1")
    )
    told = [warning for warning in inspect(path).warnings if "Latin-1" in warning]
    assert told == [
        "rows.csv is neither UTF-8 nor GBK and was read as Latin-1: look whether its accents are right. If it is in "
        "another encoding, name that in the source's encoding."
    ]
