"""Real commands in real processes, on one small walk of the road that the tests share."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from accelerate.state import AcceleratorState
from click.testing import CliRunner

from danlu import api
from danlu.cli.main import cli
from danlu.core.runner import Runner
from danlu.examples import tiny_recipe

Danlu = Callable[..., subprocess.CompletedProcess[str]]


def danlu(*arguments: str, cwd: Path, timeout: float = 300, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does; nothing is raised for its exit code."""
    return subprocess.run(
        [sys.executable, "-m", "danlu", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        **options,
    )


@dataclass(frozen=True)
class Walked:
    """A folder in which a recipe was run, and what the run printed."""

    folder: Path
    name: str
    output: subprocess.CompletedProcess[str]

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return danlu(*arguments, cwd=self.folder, **options)

    def write_recipe(self, sections: dict[str, Any]) -> None:
        (self.folder / "recipe.yaml").write_text(json.dumps(sections, ensure_ascii=False), encoding="utf-8")

    def sections(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "recipe.yaml").read_text(encoding="utf-8"))
        return found


def walk(folder: Path, sections: dict[str, Any]) -> Walked:
    (folder / "recipe.yaml").write_text(json.dumps(sections, ensure_ascii=False), encoding="utf-8")
    output = danlu("run", "recipe.yaml", cwd=folder)
    return Walked(folder, sections["name"], output)


def walk_here(folder: Path, sections: dict[str, Any]) -> Walked:
    """As `walk`, all in this process: where stages' own processes are not what is tested, they are most of the time."""
    (folder / "recipe.yaml").write_text(json.dumps(sections, ensure_ascii=False), encoding="utf-8")
    command = ["run", "recipe.yaml"]
    AcceleratorState._reset_state(reset_partial_state=True)  # an earlier test may have trained in another precision
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setattr(api, "Runner", functools.partial(Runner, in_process=True))
        done = CliRunner().invoke(cli, command)
    AcceleratorState._reset_state(reset_partial_state=True)
    return Walked(
        folder, sections["name"], subprocess.CompletedProcess(command, done.exit_code, done.stdout, done.stderr)
    )


@pytest.fixture(scope="session")
def classify(tmp_path_factory: pytest.TempPathFactory) -> Walked:
    """The tiny classify recipe with every form that is exported, the batch-dependent int8 form served."""
    folder = tmp_path_factory.mktemp("classify")
    sections = tiny_recipe(folder, rows=400)
    sections["compress"] |= {"forms": ["torch", "onnx", "onnx-int8"], "ship": "onnx-int8"}
    sections["release"] = {"gates": ["accuracy >= 0.9", "leaked_rows == 0", "parity <= 0.05", "p95_ms <= 1000"]}
    return walk(folder, sections)


@pytest.fixture(scope="session")
def generate(tmp_path_factory: pytest.TempPathFactory) -> Walked:
    folder = tmp_path_factory.mktemp("generate")
    sections = tiny_recipe(folder, task="generate", rows=400)
    sections["release"] = {"gates": ["perplexity <= 300", "leaked_rows == 0"]}
    return walk(folder, sections)


@contextmanager
def serving(walked: Walked, *options: str) -> Iterator[httpx.Client]:
    """`danlu serve` in a process of its own, on a free port; yields a client that has the key."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "danlu", "serve", walked.name, "--port", "0", *options],
        cwd=walked.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    seen: list[str] = []
    address = key = None
    assert process.stdout is not None
    try:
        for line in process.stdout:
            seen.append(line)
            found = re.search(r"\bdanlu[-_][A-Za-z0-9_-]{20,}", line)
            key = found.group() if found else key
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            if found:
                address = found.group()
                break
        assert address, "the server did not say where it listens:\n" + "".join(seen)
        remembered = walked.folder / "key.txt"
        if key:
            remembered.write_text(key, encoding="utf-8")
        headers = {"Authorization": f"Bearer {remembered.read_text(encoding='utf-8')}"}
        transport = httpx.HTTPTransport(retries=5)
        with httpx.Client(base_url=address, headers=headers, timeout=30, transport=transport) as client:
            assert client.get("/readyz").status_code == 200
            yield client
    finally:
        process.terminate()
        process.wait(timeout=30)
