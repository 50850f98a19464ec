from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from danlu.api import RunResult, write_report
from danlu.cli.run import _as_json, _draw, _summary
from danlu.cli.serve import _config
from danlu.core.runner import StageOutcome
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
    _draw(Console(file=file, width=300), result, _summary(result, workspace), workspace)
    return file.getvalue()


def test_ends_with_the_verdict_the_report_and_the_next_commands(tmp_path: Path) -> None:
    result = ended(tmp_path)
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


def test_a_run_until_a_stage_has_no_verdict(tmp_path: Path) -> None:
    said = drawn(ended(tmp_path, until="data"), tmp_path)
    assert "STOPPED" in said
    assert "after the stage data" in said


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


@pytest.mark.parametrize(("given", "port"), [({}, 8111), ({"port": 0}, 0)])
def test_serve_takes_the_recipes_settings_and_options_override_them(
    tmp_path: Path, given: dict[str, Any], port: int
) -> None:
    make_run(tmp_path, serve={"port": 8111, "keys": False})
    config = _config(tmp_path, "sentiment-en", given)
    assert (config.port, config.keys) == (port, False)
    assert _config(tmp_path, "another", {}).port == 8000
