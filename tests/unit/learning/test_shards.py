"""What was written is what is read; nothing half is taken for whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.core.errors import DataError
from danlu.learning import shards
from danlu.learning.batching import Examples, TokenRow
from danlu.learning.shards import INDEX, read, write

MARKED = st.tuples(st.lists(st.tuples(st.integers(0, 70_000), st.booleans()), min_size=1, max_size=9), st.booleans())


def files_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def rows_of(*rows: list[int]) -> list[TokenRow]:
    return [TokenRow(ids=ids, origin=origin) for origin, ids in enumerate(rows)]


def assert_same(found: Examples, expected: Examples) -> None:
    assert found.tokens[:].tolist() == expected.tokens[:].tolist()
    assert found.starts.tolist() == expected.starts.tolist()
    assert found.rows.tolist() == expected.rows.tolist()
    assert (found.learned is None) == (expected.learned is None)
    if found.learned is not None and expected.learned is not None:
        assert found.learned[:].tolist() == expected.learned[:].tolist()


@settings(max_examples=40, deadline=None)
@given(st.lists(MARKED, min_size=1, max_size=20))
def test_from_disk_come_the_batches_of_memory(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[list[tuple[int, bool]], bool]]
) -> None:
    rows = [
        TokenRow(ids=[t for t, _ in row], origin=n // 2, learned=[marks for _, marks in row] if marked else None)
        for n, (row, marked) in enumerate(drawn)
    ]
    folder = tmp_path_factory.mktemp("shard") / "tokens"
    in_memory, on_disk = Examples.gathered(rows), write(iter(rows), folder, largest=70_000)
    assert_same(on_disk, in_memory)
    reopened = read(folder)
    assert reopened is not None
    order = np.random.default_rng(len(rows)).permutation(len(rows))
    for one in (on_disk, reopened):
        for ours, theirs in (
            (one.batch(order, 7), in_memory.batch(order, 7)),
            (one.packed(order), in_memory.packed(order)),
        ):
            assert (ours.ids == theirs.ids).all()
            assert (ours.mask == theirs.mask).all()
            assert (ours.targets == theirs.targets).all()


@pytest.mark.parametrize(("largest", "size"), [(65_535, 2), (65_536, 4), ((1 << 32) - 1, 4)])
def test_the_kind_of_number_follows_the_vocabulary(tmp_path: Path, largest: int, size: int) -> None:
    found = write(rows_of([0, largest]), tmp_path / "tokens", largest=largest)
    assert found.tokens[:].tolist() == [0, largest]
    assert (tmp_path / "tokens" / "tokens.bin").stat().st_size == 2 * size


def test_a_token_outside_the_vocabulary_is_not_wrapped_around(tmp_path: Path) -> None:
    with pytest.raises(OverflowError):
        write(rows_of([1], [65_536]), tmp_path / "tokens", largest=300)
    assert read(tmp_path / "tokens") is None


def test_marks_that_come_late_leave_what_was_before_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_BUFFER_BYTES", 4)
    rows = [*rows_of([1, 2, 3], [4, 5, 6]), TokenRow(ids=[7, 8], origin=2, learned=[False, True])]
    found = write(rows, tmp_path / "tokens", largest=9)
    assert found.learned is not None
    assert found.learned[:].tolist() == [True] * 6 + [False, True]


def test_an_error_of_the_rows_leaves_nothing_whole_and_can_be_tried_again(tmp_path: Path) -> None:
    def rows() -> Iterator[TokenRow]:
        yield from rows_of([1], [2])
        raise RuntimeError("the tokenizer fell over")

    with pytest.raises(RuntimeError, match="fell over"):
        write(rows(), tmp_path / "tokens", largest=9)
    assert read(tmp_path / "tokens") is None
    assert write(rows_of([7]), tmp_path / "tokens", largest=9).tokens[:].tolist() == [7]


WRITER = """
    import os, signal, sys
    from pathlib import Path
    from danlu.learning.batching import TokenRow
    from danlu.learning.shards import write

    # Child k dies, as by kill -9, just before the k-th time that something below its folder would be opened, renamed or
    # removed; with too large a k it comes to the end.
    for steps in range(int(sys.argv[2])):
        folder = Path(sys.argv[1]) / str(steps)
        child = os.fork()
        if child:
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            continue
        left = steps
        def hook(event, arguments):
            global left
            if event in ("open", "os.rename", "os.remove", "os.mkdir") and str(folder) in str(arguments[0]):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
        write((TokenRow(ids=[n] * 5, origin=n, learned=[True] * 5) for n in range(20)), folder, largest=20)
        os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_write_killed_anywhere_is_not_taken_for_whole(tmp_path: Path) -> None:
    rows = [TokenRow(ids=[number] * 5, origin=number, learned=[True] * 5) for number in range(20)]
    write(rows, tmp_path / "whole", largest=20)
    whole = files_of(tmp_path / "whole")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path), "20"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    outcomes = [int(line) for line in done.stdout.split()]
    ended = outcomes.index(0)
    assert ended > 5
    assert outcomes == [-signal.SIGKILL] * ended + [0] * (20 - ended)
    for steps in range(20):
        folder = tmp_path / str(steps)
        if read(folder) is None:
            assert steps < ended
            write(rows, folder, largest=20)
        assert files_of(folder).items() >= whole.items()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("tokens.bin", lambda file: file.write_bytes(file.read_bytes()[:-1]), "has 15 bytes; expected 16"),
        ("starts.bin", lambda file: file.unlink(), "has 0 bytes; expected 32"),
        ("rows.bin", lambda file: file.write_bytes(b""), "has 0 bytes; expected 24"),
        (INDEX, lambda file: file.write_text("{"), "is not an index of tokens"),
        (INDEX, lambda file: file.write_text("[]"), "is not an index of tokens"),
        (INDEX, lambda file: changed(file, format=2), "has format 2; expected 1"),
    ],
)
def test_files_that_were_changed(tmp_path: Path, name: str, change: Callable[[Path], object], message: str) -> None:
    write(rows_of([1, 2, 3, 4], [5, 6], [7, 8]), tmp_path / "tokens", largest=9)
    change(tmp_path / "tokens" / name)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "tokens")


def changed(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_a_file_that_is_cut_off_under_way(tmp_path: Path) -> None:
    found = write(rows_of([1, 2, 3, 4]), tmp_path / "tokens", largest=9)
    os.truncate(tmp_path / "tokens" / "tokens.bin", 4)
    with pytest.raises(DataError, match=r"tokens\.bin ends too early"):
        found.tokens[0:4]
