"""What this machine is: the part of it that decides numbers, speed and memory."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

#: CPU flags that decide which kernels numeric libraries choose.
_RELEVANT_FLAGS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "bf16",
    "sve",
)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine as it bears on results. `memory_bytes` is what a process may use, cgroup limit included."""

    system: str
    architecture: str
    cpu: str
    cores: int
    memory_bytes: int
    instructions: tuple[str, ...]
    gpus: tuple[str, ...]

    @property
    def has_bf16(self) -> bool:
        """Whether matrix products in bfloat16 run in hardware on the CPU."""
        return "avx512_bf16" in self.instructions or "amx_bf16" in self.instructions or "bf16" in self.instructions

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"instructions": list(self.instructions), "gpus": list(self.gpus)}


@functools.cache
def this_machine() -> Machine:
    """Read this machine once: CPU, cores this process may use, memory, and NVIDIA GPUs."""
    cpu, flags = _cpu()
    return Machine(
        system=platform.system(),
        architecture=platform.machine(),
        cpu=cpu,
        cores=_cores(),
        memory_bytes=_memory(),
        instructions=tuple(flag for flag in _RELEVANT_FLAGS if flag in flags),
        gpus=_gpus(),
    )


def _cpu() -> tuple[str, set[str]]:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine(), set()
    name = ""
    flags: set[str] = set()
    for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name" and not name:
            name = value.strip()
        if key.strip() in {"flags", "Features"} and not flags:
            flags = set(value.split())
    return name or platform.machine(), flags


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> int:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(limit).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total


def _gpus() -> tuple[str, ...]:
    tool = shutil.which("nvidia-smi")
    if tool is None or os.environ.get("CUDA_VISIBLE_DEVICES") in {"", "-1"}:
        return ()
    try:
        answer = subprocess.run(
            [tool, "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, timeout=10, check=True
        )
    except (subprocess.SubprocessError, OSError):
        return ()
    return tuple(line.strip() for line in answer.stdout.splitlines() if line.strip())


def library_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Installed versions by distribution name; one that is missing says so."""
    versions = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def resident_bytes(pid: int | str = "self") -> int:
    """Resident memory of a process in bytes; 0 where it cannot be read."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_resident_bytes() -> int:
    """The most resident memory this process has had, in bytes."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


def cpu_seconds_of_all() -> float:
    """CPU time of this process and of those it started and that have ended, in seconds."""
    import resource

    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
