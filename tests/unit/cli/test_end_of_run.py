from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from danlu import api
from danlu.api import RunResult, write_report
from danlu.cli.main import cli, main
from danlu.cli.run import _as_json, _draw, _summary
from danlu.cli.serve import _config
from danlu.core.artifact import RECORD, Artifact, list_files, write_json
from danlu.core.errors import Refused, UserError
from danlu.core.runner import StageOutcome
from danlu.core.store import Workspace
from danlu.release.registry import Registry
from tests.unit.report.example import make_run


def ended(workspace: Path, **options: Any) -> RunResult:
    """What `api.run` returns for the run that `make_run` left."""
    run = make_run(workspace, **options)
    return RunResult(
        name=run["name"],
        verdict=run["verdict"],
        stages=[StageOutcome(**row | {"folder": workspace / row["folder"]}) for row in run["stages"]],
        version=run["version"],
        seconds=302.0,
        report=None,
    )


def drawn(result: RunResult, workspace: Path) -> str:
    file = io.StringIO()
    _draw(Console(file=file, width=300), result, _summary(result, workspace), workspace, Path("recipe.yaml"))
    return file.getvalue()


def test_ends_with_the_verdict_the_report_and_the_next_commands(tmp_path: Path) -> None:
    result = released(tmp_path)
    Registry(Workspace(tmp_path), result.name).promote()
    said = drawn(replace(result, report=write_report(result.name, workspace=tmp_path)), tmp_path)
    assert "SHIP   sentiment-en, version 1" in said
    assert str(tmp_path / "runs" / "sentiment-en" / "report.html") in said
    for command in ("danlu show sentiment-en --open", 'danlu predict sentiment-en "..."', "danlu serve sentiment-en"):
        assert f"  {command} --workspace {tmp_path}" in said


def test_a_refusal_names_the_gates_that_failed_and_offers_no_serving(tmp_path: Path) -> None:
    said = drawn(ended(tmp_path, refused=True), tmp_path)
    assert "REFUSED" in said
    assert "✗ macro_f1 >= 0.70: macro_f1 is 0.777" in said
    assert "✗ leaked_rows" not in said
    assert "danlu serve" not in said
    assert "Nothing was released; no version is live yet." in said
    assert said.count("danlu show") == 1
    assert f"danlu run recipe.yaml --workspace {tmp_path}" in said


def test_too_few_test_rows_are_a_verdict_of_their_own_and_release_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    result = replace(ended(tmp_path, refused=True), verdict="undecided")
    latest = tmp_path / "runs" / result.name / "latest.json"
    write_json(latest, json.loads(latest.read_text(encoding="utf-8")) | {"verdict": "undecided"})
    gate = {"expression": "macro_f1.low >= 0.77", "passed": False, "observed": 0.76, "reason": "r", "further": 4_200}
    folder = next(stage.folder for stage in result.stages if stage.stage == "release")
    write_json(folder / "release.json", {"verdict": "undecided", "gates": [gate]})
    monkeypatch.setattr(api, "run", lambda *_, **__: result)
    done = CliRunner().invoke(cli, ["run", "recipe.yaml", "--workspace", str(tmp_path)])
    assert done.exit_code == Refused.exit_code == 3
    said = " ".join(done.output.split())
    assert "NOT ENOUGH DATA" in said
    assert "about 4,200 more would show it" in said
    assert "Nothing was released; no version is live yet." in said
    assert "danlu serve" not in said


def test_a_run_until_a_stage_has_no_verdict(tmp_path: Path) -> None:
    said = drawn(ended(tmp_path, until="data"), tmp_path)
    assert "DONE" in said
    assert "STOPPED" not in said
    assert "Done up to the stage data, as asked. 38,158 rows were read, 1,781 of them dropped" in said
    assert f"danlu run recipe.yaml --workspace {tmp_path}" in said
    assert f"danlu data card sentiment-en --workspace {tmp_path}" in said


def test_a_run_that_failed_is_told_as_one(tmp_path: Path) -> None:
    result = ended(tmp_path, until="data")
    path = tmp_path / "runs" / result.name / "latest.json"
    run = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, run | {"error": {"text": "The disk is full."}})
    said = drawn(result, tmp_path)
    assert "STOPPED" in said
    assert "No verdict yet: the run ended after the stage data (The disk is full)." in said
    assert "danlu show sentiment-en --last" in said


def test_as_json(tmp_path: Path) -> None:
    result = ended(tmp_path, refused=True)
    value = _as_json(result, _summary(result, tmp_path))
    assert value["verdict"] == "refused"
    assert [gate["passed"] for gate in value["gates"]] == [False, True]
    assert value["stages"][1] == {
        "stage": "data",
        "fingerprint": result.stages[1].fingerprint,
        "folder": str(result.stages[1].folder),
        "reused": True,
        "seconds": 21.4,
    }


def released(workspace: Path, **options: Any) -> RunResult:
    """`ended`, with the release in the registry."""
    result = ended(workspace, **options)
    store = Workspace(workspace)
    release = store.find("release", result.stages[-1].fingerprint)
    assert release is not None
    (release.folder / "form").mkdir()
    write_json(release / "form/form.json", {"form": "torch"})
    record = release.record.model_copy(update={"files": list_files(release.folder)})
    (release / RECORD).write_text(record.model_dump_json(), encoding="utf-8")
    Registry(store, result.name).register(Artifact(release.folder, record))
    return result


def test_a_release_that_is_not_live_says_so_and_how_to_change_it(tmp_path: Path) -> None:
    result = released(tmp_path)
    said = drawn(result, tmp_path)
    assert "Version 1 is the candidate; no version is live yet." in said
    assert f'danlu predict sentiment-en "..." --version 1 --workspace {tmp_path}' in said
    assert f"danlu promote sentiment-en 1 --workspace {tmp_path}" in said
    assert "danlu serve" not in said
    Registry(Workspace(tmp_path), result.name).promote(1)
    assert "candidate" not in drawn(result, tmp_path)
    assert "danlu serve sentiment-en" in drawn(result, tmp_path)
    said = drawn(replace(result, version=2), tmp_path)
    assert "Version 2 is the candidate; version 1 stays the champion, which is live." in said
    assert "danlu promote sentiment-en 2" in said


def listed(workspace: Path, *options: str) -> str:
    said = CliRunner().invoke(cli, ["list", "--workspace", str(workspace), *options])
    assert said.exit_code == 0, said.output
    return said.stdout


def test_list_says_what_is_the_candidate_and_what_is_live(tmp_path: Path) -> None:
    result = released(tmp_path)
    assert "candidate" in listed(tmp_path)
    Registry(Workspace(tmp_path), result.name).promote()
    said = listed(tmp_path)
    assert "champion" in said
    assert "candidate" not in said
    (version,) = json.loads(listed(tmp_path, "--json"))["releases"]
    assert (version["champion"], version["candidate"]) == (True, True)


def test_list_has_the_doubt_of_the_report(tmp_path: Path) -> None:
    result = released(tmp_path)
    assert "SHIP?" not in listed(tmp_path)
    path = next((tmp_path / "artifacts" / "evaluate").glob("*/evidence.json"))
    evidence = json.loads(path.read_text(encoding="utf-8"))
    evidence["baseline"]["comparison"]["significant"] = False
    write_json(path, evidence)
    assert "SHIP?" in drawn(result, tmp_path)
    assert "SHIP?" in listed(tmp_path)
    (run,) = json.loads(listed(tmp_path, "--json"))["runs"]
    assert (run["verdict"], run["standing"]) == ("ship", "doubted")


def test_promote_and_the_registry_name_the_same_choices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = released(tmp_path).name
    for version in ("abc", "9"):
        assert main(["promote", name, version, "--workspace", str(tmp_path)]) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert f"has no version '{version}'; write champion, candidate or a number. Versions: 1." in said
    assert main(["promote", name, "candidate", "--workspace", str(tmp_path)]) == 0


@pytest.mark.parametrize(("given", "port"), [({}, 8111), ({"port": 0}, 0)])
def test_serve_takes_the_recipes_settings_and_options_override_them(
    tmp_path: Path, given: dict[str, Any], port: int
) -> None:
    released(tmp_path, serve={"port": 8111, "keys": False})
    store = Workspace(tmp_path)
    config = _config(store, "sentiment-en", "1", given)
    assert (config.port, config.keys) == (port, False)
    with pytest.raises(UserError, match="'another' has no champion"):
        _config(store, "another", "champion", {})


def test_the_settings_are_those_of_the_run_that_made_the_version(tmp_path: Path) -> None:
    result = released(tmp_path, serve={"port": 8111})
    store = Workspace(tmp_path)
    runs = tmp_path / "runs" / result.name
    made = json.loads((runs / "latest.json").read_text(encoding="utf-8"))
    write_json(runs / "20261123T120000.json", made)
    others = [stage for stage in made["stages"] if stage["stage"] != "release"]
    late = {"started": "2026-11-24T12:00:00.000+00:00", "recipe": {"serve": {"port": 9999, "keys": False}}}
    write_json(runs / "latest.json", made | late | {"verdict": "stopped", "stages": others})
    refused = [*others, made["stages"][-1] | {"fingerprint": "0" * 64}]
    write_json(runs / "20261125T120000.json", made | late | {"verdict": "refused", "stages": refused})
    (runs / "20261126T120000.json").write_text("{", encoding="utf-8")
    assert _config(store, result.name, "1", {}).port == 8111
    # The same release again, with other settings: they are no part of the release.
    write_json(runs / "20261127T120000.json", made | late | {"recipe": {"serve": {"port": 8222}}})
    assert _config(store, result.name, "1", {}).port == 8222
    for path in runs.glob("*.json"):
        path.unlink()
    assert _config(store, result.name, "1", {}).port == 8000


@pytest.mark.parametrize(
    ("serve", "said"),
    [({"prot": 1}, r"serve\.prot: .*Mend the `serve` section"), ({"max_texts": 9, "max_waiting": 3}, "max_texts is 9")],
)
def test_settings_that_do_not_fit_are_the_users_mistake(tmp_path: Path, serve: dict[str, Any], said: str) -> None:
    released(tmp_path, serve=serve)
    with pytest.raises(UserError, match=said):
        _config(Workspace(tmp_path), "sentiment-en", "1", {})
