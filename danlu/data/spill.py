"""Arrays that grow: in memory while they are small, in files where a budget would be exceeded, with equal results.

Files are written once, from front to back, and read in portions, or range by range where some values are wanted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]

#: Values that are read from a file at once.
VALUES_AT_ONCE = 1 << 18

LEAST_PORTION = 1 << 16

#: How the names of folders with spilled values begin.
SPILLED = "near-"


class Spill:
    """A memory budget in bytes (None: no limit), and the folder for what exceeds it.

    The folder is made below `scratch` (None: the system's folder for temporary files) when it is first needed, and
    removed at the end of the `with` block.
    """

    def __init__(self, budget_bytes: int | None = None, scratch: Path | None = None) -> None:
        if budget_bytes is not None and budget_bytes < 1:
            raise ValueError(f"The memory budget is {budget_bytes} bytes; it must be at least 1, or None for no limit.")
        self.budget_bytes = budget_bytes
        self._scratch = scratch
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files: list[BinaryIO] = []

    def __enter__(self) -> Spill:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files:
            file.close()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    @property
    def spilled(self) -> bool:
        """Whether anything went to disk."""
        return bool(self._files)

    def exceeded_by(self, size: int, share: float) -> bool:
        """Whether `size` bytes are more than this share of the budget."""
        return self.budget_bytes is not None and size > self.budget_bytes * share

    def portions(self, size: int, share: float) -> int:
        """Into how many portions `size` bytes must be divided for one to fit in this share of the budget.

        A portion is never much smaller than `LEAST_PORTION` bytes: each costs a pass over everything.
        """
        if self.budget_bytes is None:
            return 1
        return max(1, -(-size // max(LEAST_PORTION, int(self.budget_bytes * share))))

    def new_file(self) -> tuple[Path, BinaryIO]:
        """A new file, open for writing until the end of the `with` block."""
        if self._folder is None:
            if self._scratch is not None:
                self._scratch.mkdir(parents=True, exist_ok=True)
            self._folder = tempfile.TemporaryDirectory(prefix=SPILLED, dir=self._scratch)
        path = Path(self._folder.name) / f"{len(self._files):06d}.bin"
        self._files.append(path.open("wb"))
        return path, self._files[-1]


class Growing:
    """A one-dimensional array that grows at its end."""

    def __init__(self, kind: type[np.unsignedinteger[Any]], spill: Spill, share: float) -> None:
        """`share` of the budget may be held in memory."""
        self._kind: np.dtype[Any] = np.dtype(kind)
        self._spill = spill
        self._share = share
        # Grown in place: the allocator moves pages, not values, and nothing is there twice.
        self._recent: Values = np.empty(0, dtype=self._kind)
        self._recent_values = 0
        self._written = 0
        self._path: Path | None = None
        self._file: BinaryIO | None = None

    def __len__(self) -> int:
        return self._written + self._recent_values

    def append(self, values: Values) -> None:
        """Add values at the end."""
        stop = self._recent_values + len(values)
        if stop > len(self._recent):
            self._recent.resize(max(stop, len(self._recent) * 3 // 2), refcheck=False)
        self._recent[self._recent_values : stop] = values
        self._recent_values = stop
        if self._spill.exceeded_by(self._recent_values * self._kind.itemsize, self._share):
            self._write()

    def _write(self) -> None:
        if self._file is None:
            self._path, self._file = self._spill.new_file()
        self._file.write(self._recent[: self._recent_values].data)
        self._file.flush()
        self._written += self._recent_values
        self._recent, self._recent_values = np.empty(0, dtype=self._kind), 0

    def portions(self) -> Iterator[tuple[int, Values]]:
        """`(start, values)` from front to back. Do not add values meanwhile: these are views."""
        for start in range(0, self._written, VALUES_AT_ONCE):
            count = min(VALUES_AT_ONCE, self._written - start)
            offset = start * self._kind.itemsize
            yield start, np.fromfile(str(self._path), dtype=self._kind, count=count, offset=offset)
        for start in range(0, self._recent_values, VALUES_AT_ONCE):
            yield self._written + start, self._recent[start : min(start + VALUES_AT_ONCE, self._recent_values)]

    def whole(self) -> Values | Stored:
        """All values: as an array, or where any are in a file as that. Nothing can be added afterwards."""
        if self._file is None or self._path is None:
            self._recent.resize(self._recent_values, refcheck=False)
            return self._recent
        self._write()
        return Stored(self._path, self._kind)


class Stored:
    """Values in a file, read range by range: the pages of a mapped file would count as this process's memory."""

    def __init__(self, path: Path, kind: np.dtype[Any]) -> None:
        self._path = path
        self._kind = kind

    def ranges(self, starts: Values, sizes: Values) -> Values:
        """The values from `starts[n]` to `starts[n] + sizes[n]`, for one n after the other."""
        found = np.empty(int(sizes.sum()), dtype=self._kind)
        bytes_ = found.view(np.uint8)
        width, place = self._kind.itemsize, 0
        # Without a buffer: a range is read once, and most are smaller than one.
        with self._path.open("rb", buffering=0) as file:
            for start, size in zip((starts * width).tolist(), (sizes * width).tolist(), strict=True):
                file.seek(start)
                if size and file.readinto(bytes_[place : place + size].data) != size:
                    raise OSError(f"{self._path} ends before byte {start + size:,}: was it cut, or is the disk full?")
                place += size
        return found
