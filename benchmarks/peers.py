"""What benchmarks that run peers beside Danlu share: environments, turns, clocks and ratios.

It is imported in the peers' environments too, so it needs the standard library alone.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

MIB = 1 << 20


def cache_folder() -> Path:
    """Where peers are installed unless `--cache` says otherwise."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "danlu" / "benchmarks"


def environment(
    cache: Path, name: str, packages: Sequence[str], *, without: Sequence[str] = ()
) -> tuple[Path | None, str]:
    """`(its Python, versions)` of a peer's environment, made where it is not there; no Python where that fails.

    `without`: packages that come along and are taken out again.
    """
    folder = cache / name
    python = folder / "bin" / "python"
    done, wanted = folder / "installed.txt", "\n".join([*packages, *(f"- {package}" for package in without)])
    if not done.exists() or done.read_text(encoding="utf-8") != wanted:
        print(f"installing {' '.join(packages)} into {folder}", flush=True)
        steps = [
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [str(python), "-m", "pip", "install", *packages],
        ] + ([[str(python), "-m", "pip", "uninstall", "--yes", *without]] if without else [])
        for step in steps:
            made = subprocess.run(step, capture_output=True, text=True, check=False)
            if made.returncode:
                print(f"{name} cannot be installed and is left out:\n{made.stderr[-1000:]}", flush=True)
                return None, f"not installed: {made.stderr.strip().splitlines()[-1:]}"
        done.write_text(wanted, encoding="utf-8")
    return python, " ".join(packages)


def in_turns(names: Sequence[str], round_: int) -> Iterator[str]:
    """All names, beginning with another one in each round: what else the machine does hits all alike."""
    turn = round_ % len(names)
    yield from names[turn:]
    yield from names[:turn]


def thread_settings(threads: int) -> dict[str, str]:
    """Environment variables for so many threads.

    Threads that wait sleep instead of spinning, for all contenders: on a machine that others use too, spinning costs
    more than the work.
    """
    return {"OMP_WAIT_POLICY": "passive"} | {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}


class Timer:
    """Calls a function and adds up the seconds, and the CPU seconds over all threads, that its calls took."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.seconds = 0.0
        self.cpu_seconds = 0.0

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            return self._function(*arguments, **named)
        finally:
            self.seconds += time.perf_counter() - wall
            self.cpu_seconds += time.process_time() - cpu


def peak_bytes() -> int:
    """The most memory this process had resident since it started (what `getrusage` says begins with its parent's)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


def resident_bytes() -> int:
    """Memory that this process has resident now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def ratios_by_round(
    ours: Mapping[Any, Mapping[str, float]], theirs: Sequence[Mapping[str, Any]], what: str, *, round_: str = "seed"
) -> list[float]:
    """Ours over theirs in each round; `ours` are our runs by round."""
    return [ours[run[round_]][what] / run[what] for run in theirs]


def spread(values: Sequence[float]) -> str:
    """`median (least to greatest)` of some ratios."""
    return f"{statistics.median(values):.2f}x ({min(values):.2f} to {max(values):.2f})"


def met(reached: bool) -> str:
    """What a table says of a goal."""
    return "met" if reached else "missed"
