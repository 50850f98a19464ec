"""The whole road as a user walks it: run, reuse, show, predict, serve, promote, roll back."""

from __future__ import annotations

import json
import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pyarrow.parquet as parquet

from danlu.api import latest_run
from tests.e2e.conftest import Walked, danlu, serving


def show(walked: Walked) -> dict:  # type: ignore[type-arg]
    done = walked.run("show", walked.name, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def stages(walked: Walked) -> dict[str, bool]:
    run = latest_run(walked.name, workspace=walked.folder / ".danlu")
    return {stage["stage"]: stage["reused"] for stage in run["stages"]}


def test_a_run_ends_with_verdict_report_and_next_steps(classify: Walked) -> None:
    assert classify.output.returncode == 0, classify.output.stderr + classify.output.stdout
    text = classify.output.stdout
    assert "report.html" in text
    for command in ("danlu show", "danlu predict", "danlu serve"):
        assert f"{command} {classify.name}" in text
    report = (classify.folder / ".danlu" / "runs" / classify.name / "report.html").read_text(encoding="utf-8")
    assert "<svg" in report
    assert "http://" not in report.replace("http://www.w3.org", "")


def test_show_json_has_every_number_of_the_report(classify: Walked) -> None:
    found = show(classify)
    assert found["verdict"] == "ship"
    assert {gate["expression"] for gate in found["gates"]} >= {"accuracy >= 0.9"}
    assert found["data"]["funnel"]
    assert set(found["data"]["splits"]) == {"train", "validation", "test"}
    accuracy = found["evidence"]["scores"]["accuracy"]
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert found["baseline"]["comparison"]
    assert found["plan"]["predicted"]
    assert found["plan"]["actual"]
    names = [artifact["stage"] for artifact in found["artifacts"]]
    assert names == ["plan", "clean", "duplicates", "data", "train", "compress", "evaluate", "speed", "release"]
    for artifact in found["artifacts"]:
        assert (classify.folder / ".danlu" / artifact["folder"] / "record.json").exists()


def test_a_second_run_reuses_everything_within_three_seconds(classify: Walked) -> None:
    started = time.monotonic()
    done = classify.run("run", "recipe.yaml")
    seconds = time.monotonic() - started
    assert done.returncode == 0
    assert set(stages(classify).values()) == {True}
    assert seconds < 3, f"{seconds:.1f} s"


def test_changing_only_a_gate_re_runs_only_release_and_can_refuse(classify: Walked, tmp_path: Path) -> None:
    copy = Walked(tmp_path / "copy", classify.name, classify.output)
    shutil.copytree(classify.folder, copy.folder)
    sections = copy.sections()
    sections["release"]["gates"] += ["rows >= 100000"]
    copy.write_recipe(sections)
    refused = copy.run("run", "recipe.yaml")
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert "rows >= 100000" in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stderr
    assert [name for name, reused in stages(copy).items() if not reused] == ["release"]
    assert show(copy)["verdict"] == "refused"
    served = copy.run("predict", copy.name, "the lamp is great", "--json")
    assert served.returncode == 0, "the champion of before still answers"


def test_a_later_partial_run_does_not_hide_the_verdict(classify: Walked, tmp_path: Path) -> None:
    copy = Walked(tmp_path / "copy", classify.name, classify.output)
    shutil.copytree(classify.folder, copy.folder)
    runs = copy.folder / ".danlu" / "runs" / copy.name
    before = (runs / "report.html").read_bytes()
    sections = copy.sections()
    sections["data"]["seed"] = 7
    copy.write_recipe(sections)
    partial = copy.run("run", "recipe.yaml", "--until", "data")
    assert partial.returncode == 0, partial.stderr
    assert "danlu run recipe.yaml" in partial.stdout
    found = show(copy)
    assert (found["verdict"], found["later"]["stages"]) == ("ship", ["plan", "clean", "duplicates", "data"])
    assert json.loads(copy.run("show", copy.name, "--last", "--json").stdout)["verdict"] == "stopped"
    assert (runs / "report.html").read_bytes() == before
    assert (runs / "report.stopped.html").exists()


def test_the_served_answers_are_the_evaluated_ones_whatever_else_is_in_the_batch(classify: Walked) -> None:
    """Every test text is asked alone, in random batches and under concurrency, from a real server process."""
    folders = {artifact["stage"]: artifact["folder"] for artifact in show(classify)["artifacts"]}
    space = classify.folder / ".danlu"
    evaluated = parquet.read_table(space / folders["evaluate"] / "predictions.parquet").to_pylist()
    texts = {row["id"]: row["text"] for row in parquet.read_table(space / folders["data"] / "test").to_pylist()}
    labels = show(classify)["data"]["labels"]
    expected = {texts[row["id"]]: dict(zip(labels, row["probabilities"], strict=True)) for row in evaluated}
    assert len(expected) >= 20
    draw = random.Random(7)
    with serving(classify) as client:

        def ask(batch: list[str]) -> list[tuple[str, dict[str, float]]]:
            answer = client.post("/v1/predict", json={"texts": batch})
            assert answer.status_code == 200, answer.text
            return [(t, each["probabilities"]) for t, each in zip(batch, answer.json()["predictions"], strict=True)]

        batches = [[text] for text in expected]
        batches += [draw.choices(list(expected), k=draw.randint(1, 16)) for _ in range(40)]
        draw.shuffle(batches)
        with ThreadPoolExecutor(8) as pool:
            answers = [pair for pairs in pool.map(ask, batches) for pair in pairs]
    for text, probabilities in answers:
        for label, value in expected[text].items():
            assert abs(probabilities[label] - value) <= 1e-5


def test_predict_and_list_and_rollback(classify: Walked) -> None:
    good = classify.run("predict", classify.name, "the lamp is great and arrived in time no 5", "--json")
    bad = classify.run("predict", classify.name, "the lamp is broken and arrived in time no 5", "--json")
    assert json.loads(good.stdout)[0]["label"] == "good", good.stdout
    assert json.loads(bad.stdout)[0]["label"] == "bad"
    piped = classify.run("predict", classify.name, "--json", input="a superb cup, bought twice no 9\n")
    assert json.loads(piped.stdout)[0]["label"] == "good"
    listed = classify.run("list", "--json")
    assert listed.returncode == 0
    assert classify.name in listed.stdout
    nothing_before = classify.run("rollback", classify.name)
    assert nothing_before.returncode == 2, nothing_before.stdout
    assert "Traceback" not in nothing_before.stderr


def test_generate_walks_the_same_road(generate: Walked) -> None:
    assert generate.output.returncode == 0, generate.output.stderr + generate.output.stdout
    found = show(generate)
    assert found["verdict"] == "ship"
    assert found["evidence"]["scores"]["perplexity"]["value"] > 1
    assert found["baseline"]["name"]
    with serving(generate) as client:
        request = {"model": generate.name, "prompt": "the lamp is", "max_tokens": 12, "temperature": 0}
        whole = client.post("/v1/completions", json=request).json()["choices"][0]["text"]
        assert whole
        pieces = []
        with client.stream("POST", "/v1/completions", json={**request, "stream": True}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = [line for line in answer.iter_lines() if line]
        assert lines[-1] == "data: [DONE]"
        pieces = [json.loads(line.removeprefix("data: "))["choices"][0]["text"] for line in lines[:-1]]
        assert "".join(pieces) == whole
        assert len(pieces) > 2
        chat = {"model": generate.name, "messages": [{"role": "user", "content": "the lamp"}], "max_tokens": 5}
        assert client.post("/v1/chat/completions", json=chat).json()["choices"][0]["message"]["role"] == "assistant"


def test_promote_while_serving_loses_no_request(classify: Walked, tmp_path: Path) -> None:
    """A second version is trained and promoted under load; every request is answered, by one of the two."""
    copy = Walked(tmp_path / "copy", classify.name, classify.output)
    shutil.copytree(classify.folder, copy.folder)
    sections = copy.sections()
    sections["train"]["seed"] = 2
    sections["release"]["promote"] = "never"
    copy.write_recipe(sections)
    second = copy.run("run", "recipe.yaml")
    assert second.returncode == 0, second.stdout + second.stderr
    assert "danlu promote" in second.stdout
    assert "Version 2 is the candidate; version 1 stays the champion" in second.stdout
    seen: list[tuple[int, int]] = []  # (status, version), in the order in which the answers came

    with serving(copy) as client, ThreadPoolExecutor(4) as pool:
        going = Event()
        going.set()

        def hammer() -> None:
            while going.is_set():
                answer = client.post("/v1/predict", json={"texts": ["the lamp is great no 3", "the cup is dull no 4"]})
                seen.append((answer.status_code, answer.json().get("version", 0)))

        def answers_with(version: int) -> bool:
            """Whether `version` answers 20 times from now on within 20 s."""
            until = time.monotonic() + 20
            start = len(seen)
            while time.monotonic() < until:
                if sum(number == version for _, number in seen[start:]) >= 20:
                    return True
                time.sleep(0.05)
            return False

        clients = [pool.submit(hammer) for _ in range(4)]
        try:
            assert answers_with(1)
            assert copy.run("promote", copy.name, "2").returncode == 0
            assert answers_with(2)
            assert copy.run("rollback", copy.name).returncode == 0
            assert answers_with(1)
        finally:
            going.clear()
        for hammering in clients:
            hammering.result(timeout=60)
    assert {status for status, _ in seen} == {200}
    assert {version for _, version in seen} == {1, 2}
    assert seen[-1][1] == 1


def test_init_writes_a_recipe_that_runs(tmp_path: Path) -> None:
    from danlu.examples import tiny_rows

    lines = "".join(f'"{row["text"]}",{row["label"]}\n' for row in tiny_rows(300))
    (tmp_path / "reviews.csv").write_text("评论,情感\n" + lines, encoding="gb18030")
    written = danlu("init", "reviews.csv", cwd=tmp_path)
    assert written.returncode == 0, written.stderr
    recipe = (tmp_path / "recipe.yaml").read_text(encoding="utf-8")
    assert len(recipe.splitlines()) < 30
    assert "评论" in recipe
    assert "情感" in recipe
    checked = danlu("recipe", "check", "recipe.yaml", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    planned = danlu("plan", "recipe.yaml", "--json", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["steps"] > 0
    ran = danlu("run", "recipe.yaml", "--until", "data", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
