"""How much energy a stage took: read from counters where the machine has them, else estimated and said to be so.

- CPU: RAPL through Linux's powercap (https://www.kernel.org/doc/html/latest/power/powercap/powercap.html), the packages
  and their memory. Since 2020 kernels let root alone read it (CVE-2020-8694); in containers and virtual machines it is
  mostly absent. The counters are of the whole machine: what other programs do counts too.
- GPU: NVML's counter of each board (nvmlDeviceGetTotalEnergyConsumption, Volta and later), from the library that comes
  with the driver.
- Else: the CPU time of the stage's processes times a stated power of a core, and the machine's memory times the time it
  took; the same figures as the plan's, so that the two can be compared.

codecarbon does this too, and was looked at (3.3.2): it brings 38 distributions with 263 MB, samples in a thread of the
process that it measures and follows that process alone, whereas a stage's energy has to be read by who watches it, over
all its processes, and added up over attempts that were killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

#: Power of one busy core and of a GB of memory (Lannelongue et al. 2021, doi:10.1002/advs.202100707: 12 W where the
#: CPU is not known, 0.3725 W/GB), without what cooling takes.
WATTS_PER_CORE = 12.0
WATTS_PER_GB = 0.3725

JOULES_PER_KWH = 3.6e6

_POWERCAP = Path("/sys/class/powercap")
_PROCESSES = Path("/proc")
_NVML = "libnvidia-ml.so.1"


class Source(Protocol):
    """Energy since it was made. `name` says how it is known."""

    name: str

    def joules(self) -> float | None:
        """In joules; None where it can no longer be read."""
        ...


class Meter:
    """Energy since it was made, of one process and all that it starts, or of the machine where it has counters.

    `threads`: what the process may use, for systems that do not tell CPU time. `memory_bytes`: of the machine.
    """

    def __init__(self, pid: int, *, threads: int, memory_bytes: int, watts_per_core: float = WATTS_PER_CORE) -> None:
        self._processor = Processor(pid, threads=threads, memory_bytes=memory_bytes, watts_per_core=watts_per_core)
        counted = Rapl.find()
        self._sources: list[Source] = [counted or self._processor]
        boards = Boards.find()
        if boards is not None:
            self._sources.append(boards)

    def joules(self) -> float | None:
        """In joules; None when a counter that was there at the start is gone."""
        read = [source.joules() for source in self._sources]
        known = [joules for joules in read if joules is not None]
        return sum(known) if len(known) == len(read) else None

    def ended(self, cpu_seconds: float) -> None:
        """The process is over, and took so much CPU time in all, with all it started."""
        self._processor.ended(cpu_seconds)

    @property
    def how(self) -> str:
        """`rapl`, `rapl+nvml`, `estimated` or `estimated+nvml`."""
        return "+".join(source.name for source in self._sources)


class Rapl:
    """Counters of the CPU packages, and of their memory where they have one."""

    name = "rapl"

    def __init__(self, zones: list[Path]) -> None:
        self._zones = [_Zone(zone) for zone in zones]

    @classmethod
    def find(cls, folder: Path = _POWERCAP) -> Rapl | None:
        """None where there are no counters, or this user may not read them."""
        packages = [zone for zone in sorted(folder.glob("intel-rapl:*")) if zone.name.count(":") == 1]
        memory = [zone for zone in sorted(folder.glob("intel-rapl:*:*")) if _name_of(zone) == "dram"]
        try:
            return cls([*packages, *memory]) if packages else None
        except (OSError, ValueError):
            return None

    def joules(self) -> float | None:
        try:
            return sum(zone.joules() for zone in self._zones)
        except (OSError, ValueError):
            return None


class _Zone:
    """One counter; it starts anew at `max_energy_range_uj`, within minutes on a busy server."""

    def __init__(self, folder: Path) -> None:
        self._counter = folder / "energy_uj"
        self._range = int((folder / "max_energy_range_uj").read_text(encoding="ascii"))
        self._last = self._read()
        self._total = 0

    def joules(self) -> float:
        now = self._read()
        self._total += now - self._last if now >= self._last else now - self._last + self._range
        self._last = now
        return self._total / 1e6

    def _read(self) -> int:
        return int(self._counter.read_text(encoding="ascii"))


def _name_of(zone: Path) -> str:
    with contextlib.suppress(OSError):
        return (zone / "name").read_text(encoding="ascii").strip()
    return ""


class Boards:
    """The energy counters of NVIDIA GPUs, all of the machine or those that CUDA_VISIBLE_DEVICES numbers."""

    name = "nvml"

    def __init__(self, library: Any, boards: list[ctypes.c_void_p]) -> None:
        self._library = library
        self._boards = boards
        self._first = self._read()

    @classmethod
    def find(cls, library: str = _NVML) -> Boards | None:
        """None where there is no driver, no board, or none with a counter."""
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if visible in {"", "-1"}:
            return None
        try:
            loaded = ctypes.CDLL(library)
            number = ctypes.c_uint()
            _call(loaded.nvmlInit_v2)
            _call(loaded.nvmlDeviceGetCount_v2, ctypes.byref(number))
            boards = []
            for index in _numbered(visible, number.value):
                board = ctypes.c_void_p()
                _call(loaded.nvmlDeviceGetHandleByIndex_v2, ctypes.c_uint(index), ctypes.byref(board))
                boards.append(board)
            return cls(loaded, boards) if boards else None
        except (OSError, AttributeError):
            return None

    def joules(self) -> float | None:
        try:
            return self._read() - self._first
        except OSError:
            return None

    def _read(self) -> float:
        total = 0
        for board in self._boards:
            millijoules = ctypes.c_ulonglong()
            _call(self._library.nvmlDeviceGetTotalEnergyConsumption, board, ctypes.byref(millijoules))
            total += millijoules.value
        return total / 1e3


def _numbered(visible: str | None, count: int) -> list[int]:
    """The boards that CUDA_VISIBLE_DEVICES lets a process see; all where it names none by number."""
    numbers = [int(part) for part in (visible or "").split(",") if part.strip().isdigit()]
    return [number for number in numbers if number < count] or list(range(count))


def _call(function: Any, *arguments: Any) -> None:
    """Call NVML; raises `OSError` for any answer but NVML_SUCCESS."""
    code = function(*arguments)
    if code != 0:
        raise OSError(f"{function.__name__} answered {code}")


class Processor:
    """CPU time and memory times stated powers."""

    name = "estimated"

    def __init__(self, pid: int, *, threads: int, memory_bytes: int, watts_per_core: float) -> None:
        self._pid = pid
        self._threads = threads
        self._memory_watts = WATTS_PER_GB * memory_bytes / 1e9
        self._watts_per_core = watts_per_core
        self._began = time.monotonic()
        self._before = cpu_seconds(pid) or 0.0
        self._seconds = 0.0
        self._over: float | None = None

    def joules(self) -> float:
        wall = (self._over or time.monotonic()) - self._began
        if self._over is None:
            now = cpu_seconds(self._pid)
            # A process that has just ended is no longer told of: what was seen last holds.
            seen = wall * self._threads if now is None and not _PROCESSES.is_dir() else (now or 0.0) - self._before
            self._seconds = max(self._seconds, seen)
        return self._watts_per_core * self._seconds + self._memory_watts * wall

    def ended(self, seconds: float) -> None:
        self._over = time.monotonic()
        self._seconds = max(self._seconds, seconds)


def cpu_seconds(pid: int) -> float | None:
    """CPU time of a process, of those it started, and of those that have ended; None where it is not told."""
    times = {}
    for each in _with_children(pid):
        try:
            fields = (_PROCESSES / str(each) / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        # man 5 proc: utime, stime, and of waited-for children cutime, cstime are fields 14 to 17; the name, which may
        # hold spaces, is field 2 and ends with the last ")".
        times[each] = sum(int(field) for field in fields.rpartition(")")[2].split()[11:15])
    return sum(times.values()) / os.sysconf("SC_CLK_TCK") if pid in times else None


def _with_children(pid: int) -> Iterator[int]:
    yield pid
    for listed in (_PROCESSES / str(pid) / "task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in listed.read_text(encoding="ascii").split():
                yield from _with_children(int(child))
