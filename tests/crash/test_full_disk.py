"""A disk that is really full: a clear message, its exit code, nothing half-made taken for whole, and going on."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from danlu.core.artifact import Artifact
from danlu.core.resource import sha256_of
from danlu.core.store import Workspace
from danlu.examples import tiny_recipe
from tests.e2e.conftest import danlu

_SIZE = "8m"
_KIB = 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB in memory, mounted for the test."""
    where = tmp_path / "disk"
    where.mkdir()
    if sys.platform != "linux":
        pytest.skip("a small disk is mounted as tmpfs, which Linux has")
    command = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(where)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield where
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The same recipe where there is room."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_recipe(folder)
    done = danlu("run", "recipe.yaml", "--until", "train", "--workspace", "space", cwd=folder)
    assert done.returncode == 0, done.stderr
    return Workspace(folder / "space")


def write_recipe(folder: Path) -> None:
    (folder / "recipe.yaml").write_text(json.dumps(tiny_recipe(folder)), encoding="utf-8")


def fill(disk: Path, but: int) -> Path:
    """Write a file that leaves `but` bytes of the disk free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            while True:
                file.write(b"\0" * 4096)
        os.ftruncate(file.fileno(), file.tell() - but)
    return filler


def is_whole(artifact: Artifact) -> bool:
    """Every file that the record names is there with the bytes that it had."""
    return all(sha256_of(artifact / entry.path) == entry.sha256 for entry in artifact.record.files)


@pytest.mark.parametrize(("before", "stage", "free"), [("plan", "clean", 24 * _KIB), ("data", "train", 300 * _KIB)])
def test_a_full_disk_is_said_and_the_same_command_goes_on_when_there_is_room(
    tmp_path: Path, small_disk: Path, undisturbed: Workspace, before: str, stage: str, free: int
) -> None:
    write_recipe(tmp_path)
    space = small_disk / "space"

    def run(until: str) -> subprocess.CompletedProcess[str]:
        return danlu("run", "recipe.yaml", "--until", until, "--workspace", str(space), cwd=tmp_path)

    assert run(before).returncode == 0
    filler = fill(small_disk, but=free)

    full = run(stage)
    assert full.returncode == 2, full.stdout + full.stderr
    assert "The disk is full" in full.stderr
    assert "run the same command again: it continues" in full.stderr
    assert "Traceback" not in full.stdout + full.stderr
    assert f"{stage}: stopped" in full.stdout
    found = Workspace(space).artifacts()
    assert stage not in {artifact.record.stage for artifact in found}
    assert found
    assert all(is_whole(artifact) for artifact in found)

    filler.unlink()
    again = run(stage)
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"{before}: reused" in again.stdout
    (made,) = Workspace(space).artifacts(stage)
    (wanted,) = undisturbed.artifacts(stage)
    assert is_whole(made)
    assert made.content == wanted.content, "as if there had been room all along"
    assert list((space / "work").iterdir()) == []
