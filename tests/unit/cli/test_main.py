from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from danlu.cli import main as door
from danlu.cli.group import load_command
from danlu.cli.main import cli, main
from danlu.cli.table import COMMANDS
from danlu.core.errors import BudgetReached, DataError, Interrupted, StageCrashed

HEAVY = ("torch", "pydantic", "rich", "numpy", "ruamel", "fsspec", "matplotlib", "transformers", "jinja2", "daft")


def in_a_process(*arguments: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
    command = (
        [sys.executable, "-c", code] if code else [sys.executable, "-c", "from danlu.cli.main import main; main()"]
    )
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from danlu.cli.main import main; code = main(['--help']); "
        f"print('LOADED', sorted(set(sys.modules) & set({HEAVY!r})), code, "
        "sorted(name for name in sys.modules if name.startswith('danlu.cli.')))"
    )
    said = in_a_process(code=code)
    assert "LOADED [] 0 ['danlu.cli.group', 'danlu.cli.main', 'danlu.cli.table']" in said.stdout, said.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_has_the_tables_line_and_an_example_and_imports_nothing_heavy(name: str) -> None:
    said = CliRunner().invoke(cli, [name, "--help"])
    assert said.exit_code == 0
    assert COMMANDS[name].help in said.output
    assert COMMANDS[name].example in said.output


def test_commands_stay_light_until_they_run() -> None:
    code = (
        "import sys; from danlu.cli.group import load_command; from danlu.cli.table import COMMANDS; "
        f"[load_command(name) for name in COMMANDS]; print(sorted(set(sys.modules) & set({HEAVY!r})))"
    )
    assert in_a_process(code=code).stdout.strip() == "[]"


def test_help_lists_every_command_with_its_example() -> None:
    said = CliRunner().invoke(cli, ["--help"]).output
    for name, entry in COMMANDS.items():
        assert f"  {name}" in said
        assert entry.example in said


def test_loading_a_command_twice_says_its_help_once() -> None:
    load_command("doctor")
    assert (load_command("doctor").help or "").count(COMMANDS["doctor"].help) == 1


def test_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shwo"]) == 2
    assert "Did you mean 'danlu show'?" in capsys.readouterr().err


def test_unknown_command_like_none_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["xyzzyq"]) == 2
    assert "predict" in capsys.readouterr().err


def test_unknown_option_and_missing_argument_are_the_users_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--untill", "data"]) == 2
    assert "--until" in capsys.readouterr().err
    assert main(["run"]) == 2
    assert "RECIPE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("No column 'text'."), 2),
        (BudgetReached("The cap budget.hours was reached."), 4),
        (Interrupted("Stopped."), 130),
        (StageCrashed("train died."), 1),
        (OSError(28, "No space left on device"), 2),
        (PermissionError(13, "Permission denied"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_become_exit_codes_without_a_traceback(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def fails() -> None:
        raise error

    monkeypatch.setattr(door, "cli", fails)
    assert main([]) == code
    said = capfd.readouterr()
    assert "Traceback" not in said.err + said.out
    assert str(error).splitlines()[:1] == [] or isinstance(error, OSError) or str(error) in said.err


def test_a_bug_is_one_line_and_a_saved_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    @click.command()
    def breaks() -> None:
        raise ValueError("something\nunforeseen")

    monkeypatch.setattr(door, "cli", breaks)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main([]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    (saved,) = tmp_path.glob("danlu-bug-*.txt")
    assert str(saved) in said
    assert "Traceback" in saved.read_text(encoding="utf-8")
    assert saved.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("arguments", [["recipe", "schema"], ["--help"], ["--version"]])
def test_a_closed_pipe_is_quiet(arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        [sys.executable, "-c", "import sys; from danlu.cli.main import main; sys.exit(main())", *arguments],
        stdout=write,
        stderr=subprocess.PIPE,
        timeout=60,
    )
    os.close(write)
    assert ended.returncode == 141
    assert ended.stderr == b""


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_scripts_are_clicks(shell: str) -> None:
    said = CliRunner().invoke(cli, ["completion", shell])
    assert said.exit_code == 0
    assert "_DANLU_COMPLETE" in said.output


def test_completion_completes_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_DANLU_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "danlu pr")
    monkeypatch.setenv("COMP_CWORD", "1")
    said = in_a_process()
    assert set(said.stdout.split()) == {"plain,predict", "plain,promote"}
