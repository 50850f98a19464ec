"""What was written is what is read; nothing half is taken for whole; memory does not grow with the tokens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.core.errors import DataError
from danlu.learning import shards as module
from danlu.learning.packing import pack
from danlu.learning.shards import INDEX, Shards, write

ROWS = st.lists(st.lists(st.integers(0, 70_000), max_size=9), max_size=30)


def files_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@settings(max_examples=30, deadline=None)
@given(ROWS, st.integers(1, 20))
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[int]], shard_tokens: int
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    write(iter(rows), folder, vocabulary_size=70_001, shard_tokens=shard_tokens)
    shards = Shards(folder)
    assert len(shards) == len(rows)
    assert [row.tolist() for row in shards] == rows
    assert [shards[number].tolist() for number in reversed(range(len(rows)))] == rows[::-1]
    assert shards.lengths.tolist() == [len(row) for row in rows]
    assert shards.tokens == sum(map(len, rows))
    assert shards.longest == max(map(len, rows), default=0)
    sizes = [len(file) // 4 for name, file in sorted(files_of(folder).items()) if name.endswith(".bin")]
    assert sum(sizes) == shards.tokens
    assert all(0 < size <= max(shard_tokens, shards.longest) for size in sizes)


@pytest.mark.parametrize(("vocabulary_size", "kind"), [(65_536, "uint16"), (65_537, "uint32"), (1 << 32, "uint32")])
def test_the_kind_follows_the_vocabulary(tmp_path: Path, vocabulary_size: int, kind: str) -> None:
    shards = write([[0, vocabulary_size - 1]], tmp_path, vocabulary_size=vocabulary_size)
    assert shards.dtype.name == kind
    assert shards[0].tolist() == [0, vocabulary_size - 1]
    assert (tmp_path / "tokens-00000.bin").stat().st_size == 2 * shards.dtype.itemsize


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.uint64, np.int64])
def test_rows_of_any_whole_numbers_give_the_same_bytes(tmp_path: Path, kind: type[np.integer]) -> None:
    rows = [[1, 2, 3], [], [100]]
    write(rows, tmp_path / "lists", vocabulary_size=101)
    write((np.array(row, dtype=kind) for row in rows), tmp_path / "arrays", vocabulary_size=101)
    assert files_of(tmp_path / "lists") == files_of(tmp_path / "arrays")


def test_a_buffer_may_be_used_for_all_rows(tmp_path: Path) -> None:
    def rows() -> Iterator[np.ndarray]:
        buffer = np.zeros(3, dtype=np.int64)
        for number in range(5):
            buffer[:] = number
            yield buffer

    assert [row.tolist() for row in write(rows(), tmp_path, vocabulary_size=5)] == [[n] * 3 for n in range(5)]


def test_many_portions_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [list(range(number % 7)) for number in range(200)]
    write(rows, tmp_path / "once", vocabulary_size=10, shard_tokens=100)
    monkeypatch.setattr(module, "TOKENS_AT_ONCE", 5)
    monkeypatch.setattr(module, "MAPPED_BYTES", 1)
    portions = write(rows, tmp_path / "often", vocabulary_size=10, shard_tokens=100)
    assert files_of(tmp_path / "once") == files_of(tmp_path / "often")
    assert [row.tolist() for row in portions] == rows


def test_what_is_read_is_a_copy(tmp_path: Path) -> None:
    shards = write([[1, 2, 3]], tmp_path, vocabulary_size=5)
    shards[0][:] = 4
    assert shards[-1].tolist() == [1, 2, 3]


def test_the_tokens_of_a_bin(tmp_path: Path) -> None:
    rows = [[1, 1, 1], [2] * 12, [3] * 5, [], [4] * 7, [5, 5]]
    shards = write(rows, tmp_path, vocabulary_size=6, shard_tokens=8)
    for one in pack(shards.lengths, 10):
        tokens = shards.of_bin(one)
        pieces = [tokens[start:end] for start, end in zip(one.starts[:-1], one.starts[1:], strict=True)]
        assert [set(piece.tolist()) for piece in pieces] == [{rows[document][0]} for document in one.documents]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1], [2, 10]], r"Document 1 .* token number 10; a vocabulary of 10 has 0 to 9"),
        ([[1], [], [-1]], r"Document 2 .* token number -1"),
        ([[1], np.array([1 << 63], dtype=np.uint64)], "Document 1 .* token number -"),
        ([[1], [1.5]], r"Document 1 .* values of type float64; expected"),
        ([[[1, 2]]], r"Document 0 .* shape \(1, 2\)"),
        ([[True]], "values of type bool"),
        ([[1], ["a"]], "Document 1 .* expected one dimension of whole numbers"),
        ([[1], [[1], [1, 2]]], "Document 1 is not a row of token numbers"),
    ],
)
def test_rows_that_are_no_tokens(tmp_path: Path, rows: list[list[int]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        write(rows, tmp_path, vocabulary_size=10)
    with pytest.raises(DataError, match="no whole token shards"):
        Shards(tmp_path)


def test_an_error_of_the_rows_leaves_nothing_whole_and_can_be_tried_again(tmp_path: Path) -> None:
    def rows() -> Iterator[list[int]]:
        yield from ([number] for number in range(9))
        raise RuntimeError("the tokenizer fell over")

    with pytest.raises(RuntimeError, match="fell over"):
        write(rows(), tmp_path, vocabulary_size=10, shard_tokens=2)
    assert (tmp_path / "tokens-00000.bin").exists()
    with pytest.raises(DataError, match="shards.json is missing"):
        Shards(tmp_path)
    (tmp_path / "tokens-of-mine.bin").write_bytes(b"kept")
    assert [row.tolist() for row in write([[7]], tmp_path, vocabulary_size=10)] == [[7]]
    names = ["offsets.npy", "shards.json", "tokens-00000.bin", "tokens-of-mine.bin"]
    assert sorted(files_of(tmp_path)) == names


def test_a_whole_set_is_never_written_over(tmp_path: Path) -> None:
    write([[1]], tmp_path, vocabulary_size=10)
    before = files_of(tmp_path)
    with pytest.raises(DataError, match="already holds token shards"):
        write([[2]], tmp_path, vocabulary_size=10)
    assert files_of(tmp_path) == before


WRITER = """
    import os, signal, sys
    from pathlib import Path
    from danlu.learning.shards import write

    # Child k dies, as by kill -9, just before the k-th time that a file below its folder would be opened, renamed or
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
            if event in ("open", "os.rename", "os.remove") and str(folder) in str(arguments[0]):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
        write(([number] * 5 for number in range(20)), folder, vocabulary_size=20, shard_tokens=30)
        os._exit(0)
"""


def in_a_process(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_write_killed_anywhere_is_not_taken_for_whole(tmp_path: Path) -> None:
    rows = [[number] * 5 for number in range(20)]
    write(rows, tmp_path / "whole", vocabulary_size=20, shard_tokens=30)
    whole = files_of(tmp_path / "whole")
    done = in_a_process(WRITER, tmp_path, 20)
    assert done.returncode == 0, done.stderr
    outcomes = [int(line) for line in done.stdout.split()]
    ended = outcomes.index(0)
    assert ended > 10
    assert outcomes == [-signal.SIGKILL] * ended + [0] * (20 - ended)
    for steps in range(20):
        folder = tmp_path / str(steps)
        if INDEX in files_of(folder):
            # Killed after the index, if at all: nothing is missing.
            assert steps > 10
            assert files_of(folder) == whole
            continue
        with pytest.raises(DataError, match="no whole token shards"):
            Shards(folder)
        write(rows, folder, vocabulary_size=20, shard_tokens=30)
        assert files_of(folder) == whole


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("tokens-00001.bin", lambda file: file.write_bytes(file.read_bytes()[:-1]), "has 7 bytes; expected 8 bytes"),
        ("tokens-00001.bin", lambda file: file.unlink(), "is missing; expected 8 bytes"),
        ("offsets.npy", lambda file: file.unlink(), "offsets.npy cannot be read"),
        ("offsets.npy", lambda file: file.write_bytes(b""), "offsets.npy cannot be read"),
        ("offsets.npy", lambda file: np.save(file, np.zeros(2, dtype=np.int64)), "does not fit shards.json"),
        ("offsets.npy", lambda file: np.save(file, np.zeros(4, dtype=np.int64)), "does not fit shards.json"),
        ("shards.json", lambda file: file.write_text("{"), "is not an index of token shards"),
        ("shards.json", lambda file: file.write_text("[]"), "is not an index of token shards"),
        ("shards.json", lambda file: file.write_text('{"format": 1}'), "is not an index of token shards"),
        ("shards.json", lambda file: changed(file, format=2), "has format 2 and 'uint16' numbers"),
        ("shards.json", lambda file: changed(file, dtype="float16"), "has format 1 and 'float16' numbers"),
        ("shards.json", lambda file: changed(file, tokens=9), "with the tokens of all shards as sum"),
    ],
)
def test_files_that_were_changed(tmp_path: Path, name: str, change: object, message: str) -> None:
    write([[1, 2, 3, 4], [5, 6], [7, 8]], tmp_path, vocabulary_size=10, shard_tokens=4)
    change(tmp_path / name)  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        Shards(tmp_path)


def changed(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shard_tokens is 0"):
        write([], tmp_path, vocabulary_size=10, shard_tokens=0)
    for size in (0, (1 << 32) + 1):
        with pytest.raises(ValueError, match=f"vocabulary_size is {size}"):
            write([], tmp_path, vocabulary_size=size)
    shards = write([[1, 2]], tmp_path, vocabulary_size=10)
    for number in (1, -2):
        with pytest.raises(IndexError, match="There is no document .*: there are 1"):
            shards[number]
    with pytest.raises(IndexError, match="no document -1: there are 1"):
        shards.piece(-1)
    with pytest.raises(IndexError, match="has 2 tokens; 1 to 3 are not among them"):
        shards.piece(0, 1, 3)


PEAK = """
    import sys
    from pathlib import Path
    import numpy as np
    from danlu.learning.shards import write

    folder, millions = Path(sys.argv[1]), int(sys.argv[2])
    row = np.arange(8000, dtype=np.uint16)
    shards = write((row for _ in range(millions * 125)), folder, vocabulary_size=8000, shard_tokens=10_000_000)
    total = sum(int(shards[int(n)][-1]) for n in np.random.default_rng(0).permutation(len(shards)))
    assert total == 7999 * len(shards)
    print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads peak memory from /proc")
def test_memory_does_not_grow_with_the_tokens(tmp_path: Path) -> None:
    """Writing, then reading everything in random order: 4 and 64 million tokens (8 and 128 MB) have the same peak."""
    peaks = []
    for millions in (4, 64):
        done = in_a_process(PEAK, tmp_path / str(millions), millions)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] - peaks[0] < 48, peaks
