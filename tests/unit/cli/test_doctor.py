from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from danlu.cli import doctor as room
from danlu.cli.doctor import EXTRAS
from danlu.cli.main import cli


def checks(workspace: Path) -> dict[str, dict[str, str]]:
    said = CliRunner().invoke(cli, ["doctor", "--json", "--workspace", str(workspace)])
    return {check["name"]: check for check in json.loads(said.output)["checks"]}


def test_looks_at_everything(tmp_path: Path) -> None:
    found = checks(tmp_path)
    wanted = {
        "python",
        "processor",
        "memory",
        "instructions",
        "bfloat16",
        "gpu",
        "disk",
        "workspace",
        "hugging face hub",
    }
    assert wanted | {f"extra {extra}" for extra in EXTRAS} <= set(found)
    assert "torch" in found["extra train"]["found"]
    assert all(check["advice"] for check in found.values() if check["state"] == "problem")


def test_a_workspace_that_cannot_be_written_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write anywhere, so the place is one where no file can be made."""
    monkeypatch.chdir("/proc")
    said = CliRunner().invoke(cli, ["doctor", "--workspace", "/proc/danlu"])
    assert said.exit_code == 2
    assert "choose another with --workspace" in " ".join(said.output.split())


def test_a_missing_extra_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(room.EXTRAS, "serve", ("serve over HTTP", ("no-such-library",)))
    said = CliRunner().invoke(cli, ["doctor", "--json", "--workspace", str(tmp_path)])
    assert said.exit_code == 2
    found = {check["name"]: check for check in json.loads(said.output)["checks"]}
    assert found["extra serve"]["state"] == "problem"
    assert "pip install 'danlu[serve]'" in found["extra serve"]["advice"]


def test_offline_hub_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    found = checks(tmp_path)["hugging face hub"]
    assert "https://mirror.example" in found["found"]
    assert "offline" in found["found"]


def test_draws_marks_and_ends_with_what_to_do(tmp_path: Path) -> None:
    said = CliRunner().invoke(cli, ["doctor", "--workspace", str(tmp_path)])
    assert "python" in said.output
    assert "danlu init FILE" in said.output or "to mend first" in said.output
