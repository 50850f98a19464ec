"""What the attempts at a stage took, kept beside its work: a killed attempt's time and energy are not forgotten."""

from __future__ import annotations

import json
import time
from pathlib import Path

from danlu.core.energy import Meter
from danlu.core.machine import this_machine
from danlu.core.store import write_json_atomically
from danlu.core.worker import Job

_HEARTBEAT_SECONDS = 5.0
_SECONDS_BETWEEN_READINGS = 1.0


def meter(pid: int, job: Job) -> Meter:
    """What measures the energy of the process `pid`, which runs `job`."""
    return Meter(pid, threads=job.threads, memory_bytes=this_machine().memory_bytes, watts_per_core=job.watts_per_core)


class Attempts:
    """Counts the attempts at a stage, their time and their energy, so that a killed attempt's are not forgotten.

    `meter` measures this attempt, once it has begun; `joules` is what it took so far.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = 0.0
        self._joules_before: float | None = 0.0
        self.count = 1
        self.meter: Meter | None = None
        self.joules: float | None = 0.0
        self.how = ""
        if path.exists():
            known = json.loads(path.read_text(encoding="utf-8"))
            self._before, self.count = float(known["seconds"]), int(known["attempts"]) + 1
            self._joules_before, self.how = known.get("joules"), known.get("how", "")
        self._start = self._last = self._read = time.monotonic()
        self.beat()

    def beat(self) -> tuple[float, float | None]:
        """Write down time and energy so far; returns both, in seconds and joules."""
        seconds = self._before + time.monotonic() - self._start
        if self.meter is not None:
            self.joules = self.meter.joules()
            # An attempt that was estimated makes the sum an estimate, whatever could be read later.
            self.how = self.how if "estimated" in self.how else self.meter.how
        whole = None if self.joules is None or self._joules_before is None else self._joules_before + self.joules
        kept = {"attempts": self.count, "seconds": seconds, "joules": whole, "how": self.how}
        write_json_atomically(self._path, kept)
        self._last = time.monotonic()
        return seconds, whole

    def beat_if_due(self) -> None:
        if time.monotonic() - self._last > _HEARTBEAT_SECONDS:
            self.beat()

    def over(self, joules: float) -> bool:
        """Whether this attempt took more; looked at once a second."""
        if self.meter is not None and time.monotonic() - self._read > _SECONDS_BETWEEN_READINGS:
            self._read = time.monotonic()
            self.joules = self.meter.joules()
        return self.joules is not None and self.joules > joules
