from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from danlu.core.artifact import RECORD, content_hash, list_files, write_json
from danlu.core.errors import StorageError, UserError
from danlu.core.resource import Digests, resolve, sha256_of
from danlu.core.store import Workspace, write_atomically
from tests.support import as_artifact


def finished(folder: Path) -> Path:
    out = folder / "out"
    write_json(out / "deep" / "value.json", {"b": 1, "a": "炉"})
    (out / "logs").mkdir()
    (out / "logs" / "time.txt").write_text("3 s", encoding="utf-8")
    return out


def test_a_published_artifact_is_found_whole(tmp_path: Path) -> None:
    space = Workspace(tmp_path / "space").open()
    out = finished(tmp_path)
    record = as_artifact(out, "toy").record
    artifact = space.publish(out, record)
    assert not out.exists()
    found = space.find("toy", record.fingerprint)
    assert found is not None
    assert found.json("deep/value.json") == {"a": "炉", "b": 1}
    assert found.bytes() == artifact.bytes() > 0
    assert [each.fingerprint for each in space.artifacts()] == [record.fingerprint]


def test_logs_do_not_count_as_content(tmp_path: Path) -> None:
    out = finished(tmp_path)
    before = content_hash(list_files(out))
    (out / "logs" / "time.txt").write_text("4 s", encoding="utf-8")
    assert content_hash(list_files(out)) == before
    (out / "deep" / "value.json").write_text("{}", encoding="utf-8")
    assert content_hash(list_files(out)) != before


@pytest.mark.parametrize("damage", ["no record", "half a record", "file missing", "file cut"])
def test_nothing_half_is_taken_for_whole(tmp_path: Path, damage: str) -> None:
    space = Workspace(tmp_path / "space").open()
    out = finished(tmp_path)
    record = as_artifact(out, "toy").record
    folder = space.publish(out, record).folder
    file = folder / "deep" / "value.json"
    does = {
        "no record": lambda: (folder / RECORD).unlink(),
        "half a record": lambda: (folder / RECORD).write_bytes((folder / RECORD).read_bytes()[:200]),
        "file missing": file.unlink,
        "file cut": lambda: file.write_bytes(file.read_bytes()[:-3]),
    }
    does[damage]()
    assert space.find("toy", record.fingerprint) is None
    assert space.artifacts() == []


def test_a_full_disk_is_said_and_leaves_the_old_file(tmp_path: Path) -> None:
    """A child whose files may not grow past 1 KiB meets the same error path as a full disk."""
    target = tmp_path / "pointer.json"
    write_atomically(target, "old")
    script = (
        "import errno, os, sys, pathlib\n"
        "from danlu.core.errors import from_os_error\n"
        "from danlu.core.store import write_atomically\n"
        "try:\n"
        f"    write_atomically(pathlib.Path({str(target)!r}), 'x' * 4096)\n"
        "except OSError as error:\n"
        "    error.errno = errno.ENOSPC if error.errno == errno.EFBIG else error.errno\n"
        "    print(type(from_os_error(error)).__name__, from_os_error(error))\n"
    )

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, preexec_fn=limit, check=True)
    assert done.stdout.startswith("StorageError The disk is full")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["pointer.json"]


def test_a_workspace_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match="--workspace"):
        Workspace(tmp_path / "file" / "space").open()


def test_digests_notice_a_change_and_survive_a_broken_cache(tmp_path: Path) -> None:
    cache, file = tmp_path / "cache.json", tmp_path / "data.bin"
    file.write_bytes(b"one")
    first = Digests(cache)
    assert first.of(file) == sha256_of(file)
    first.save()
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))
    assert Digests(cache).of(file) == sha256_of(file)
    cache.write_text("not json", encoding="utf-8")
    assert Digests(cache).of(file) == sha256_of(file)


def test_a_folder_s_digest_is_about_names_and_content(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text("same", encoding="utf-8")
    assert Digests().of(tmp_path / "a") == Digests().of(tmp_path / "b")
    (tmp_path / "b" / "x.txt").rename(tmp_path / "b" / "y.txt")
    assert Digests().of(tmp_path / "a") != Digests().of(tmp_path / "b")


def test_resources_by_package_and_their_mistakes(tmp_path: Path) -> None:
    assert resolve("package://danlu/py.typed", tmp_path).name == "py.typed"
    for wrong, message in {
        "package://danlu/nothing.csv": "has no 'nothing.csv'",
        "package://no-such-package/x": "pip install no-such-package",
        "gopher://somewhere/x": "expected a path, package://",
        "missing.csv": "relative to the recipe's folder",
        "package:///x": "names no package",
        "nul\0.csv": "cannot be a path",
        "x" * 300: "cannot be a path",
        "no_folder/missing.csv": "does not exist either",
    }.items():
        with pytest.raises(UserError, match=message):
            resolve(wrong, tmp_path)
