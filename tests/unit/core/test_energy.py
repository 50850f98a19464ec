"""Energy: what counters say, what is estimated where there are none, and the cap that ends a run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from danlu.core.energy import JOULES_PER_KWH, WATTS_PER_CORE, WATTS_PER_GB, Boards, Meter, Processor, Rapl, cpu_seconds
from danlu.core.errors import BudgetReached
from danlu.core.machine import this_machine
from danlu.core.runner import Caps, Runner
from danlu.core.store import Workspace
from danlu.plan.config import BudgetConfig
from tests import toy

BUSY = """
import subprocess, sys, time
def burn(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
burn(0.3)
subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.3: pass"], check=True)
child = subprocess.Popen([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.3: pass\\ntime.sleep(60)"])
print("ready", flush=True)
sys.stdin.read()
child.kill()
"""


def zone(folder: Path, name: str, label: str, microjoules: int, limit: int = 1_000_000_000) -> Path:
    """A counter as the kernel lays it out below /sys/class/powercap."""
    made = folder / name
    made.mkdir(parents=True, exist_ok=True)
    for file, value in (("name", label), ("energy_uj", microjoules), ("max_energy_range_uj", limit)):
        (made / file).write_text(f"{value}\n", encoding="ascii")
    return made


def test_packages_and_memory_are_added_up_and_parts_of_packages_are_not(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 1_000_000)
    memory = zone(tmp_path, "intel-rapl:0:1", "dram", 2_000_000)
    counted = Rapl.find(tmp_path)
    assert counted is not None and counted.joules() == 0.0
    (package / "energy_uj").write_text("9000000\n", encoding="ascii")
    (memory / "energy_uj").write_text("2500000\n", encoding="ascii")
    (tmp_path / "intel-rapl:0:0" / "energy_uj").write_text("4000000\n", encoding="ascii")
    assert counted.joules() == pytest.approx(4.5)


def test_a_counter_that_starts_anew_goes_on(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 900, limit=1_000)
    counted = Rapl.find(tmp_path)
    assert counted is not None
    for now, joules in ((950, 50e-6), (10, 110e-6), (400, 500e-6), (100, 1200e-6)):
        (package / "energy_uj").write_text(f"{now}\n", encoding="ascii")
        assert counted.joules() == pytest.approx(joules)


def test_without_counters_there_are_none(tmp_path: Path) -> None:
    assert Rapl.find(tmp_path / "none") is None
    zone(tmp_path, "intel-rapl:0", "package-0", 1)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    assert Rapl.find(tmp_path) is None
    zone(tmp_path, "intel-rapl:0", "package-0", 1)
    counted = Rapl.find(tmp_path)
    assert counted is not None
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    assert counted.joules() is None, "unknown is not zero"
    assert Boards.find("libno-such-library.so.1") is None


#: The four calls that are made, by their declarations in NVML's header; two boards, of which each second one counts on.
NVML = """
static int reads = 0;
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **board)
    { *board = (void *)(0x7f0000000000UL + index); return index < 2 ? 0 : 2; }
int nvmlDeviceGetTotalEnergyConsumption(void *board, unsigned long long *millijoules)
    { unsigned long index = (unsigned long)board - 0x7f0000000000UL;
      if (index > 1) return 3;
      *millijoules = 5000000000000ULL + 1500ULL * reads++ * (index + 1); return 0; }
"""


def test_boards_are_read_through_the_driver_s_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to build a stand-in for NVIDIA's library with")
    (tmp_path / "nvml.c").write_text(NVML, encoding="ascii")
    library = tmp_path / "nvml.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(tmp_path / "nvml.c")], check=True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    boards = Boards.find(str(library))
    assert boards is not None
    assert boards.joules() == pytest.approx(3.0), "read in millijoules, beyond 32 bits, of the visible board alone"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert Boards.find(str(library)) is None


def test_cpu_time_of_a_process_is_that_of_all_it_started() -> None:
    process = subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    time.sleep(1.0)
    until = time.monotonic() + 30
    while (cpu_seconds(process.pid) or 0.0) < 0.85 and time.monotonic() < until:
        time.sleep(0.05)
    seen = cpu_seconds(process.pid)
    process.communicate()
    assert seen is not None and 0.85 <= seen < 3.0
    assert cpu_seconds(process.pid) is None


def test_an_estimate_is_cores_and_memory_at_their_stated_powers() -> None:
    began = time.monotonic()
    estimate = Processor(10**7, threads=1, memory_bytes=4 * 10**9, watts_per_core=20.0)
    estimate.ended(3.0)
    joules = estimate.joules()
    assert 60.0 <= joules <= 60.0 + 4 * WATTS_PER_GB * (time.monotonic() - began)
    time.sleep(0.05)
    assert estimate.joules() == joules, "what has ended takes no more"


def watts_of_memory() -> float:
    return WATTS_PER_GB * this_machine().memory_bytes / 1e9


def runner(folder: Path, **caps: float) -> Runner:
    return Runner(stages=toy.STAGES, workspace=Workspace(folder / "space").open(), base=folder, caps=Caps(**caps))


def recipe(folder: Path, **slow: float) -> toy.ToyRecipe:
    (folder / "words.txt").write_text("one two Two three", encoding="utf-8")
    return toy.ToyRecipe(count=toy.CountConfig(file="words.txt"), slow=toy.SlowConfig(**slow))


def test_a_record_says_how_much_energy_and_how_it_is_known(tmp_path: Path) -> None:
    walked = runner(tmp_path)
    walked.walk(recipe(tmp_path, steps=3, seconds=0.2))
    record = walked.artifacts["slow"].record
    assert record.kwh is not None and record.kwh_by is not None
    if record.kwh_by == "estimated":
        joules = record.kwh * JOULES_PER_KWH
        # Starting Python takes some CPU time; memory is counted for as long as it took.
        assert 0.6 * watts_of_memory() < joules < record.seconds * (watts_of_memory() + WATTS_PER_CORE * 4)
    assert Meter(1, threads=1, memory_bytes=1).how == record.kwh_by


def test_a_cap_on_energy_saves_and_the_next_run_continues(tmp_path: Path) -> None:
    slow = recipe(tmp_path, steps=25, seconds=0.2)
    first = runner(tmp_path)
    first.walk(slow, until="count")
    cap = (1.5 * watts_of_memory() + 2 * WATTS_PER_CORE) / JOULES_PER_KWH
    with pytest.raises(BudgetReached, match=r"The cap budget\.kwh was reached during slow"):
        runner(tmp_path, kwh=cap).walk(slow)
    done = list((tmp_path / "space" / "work").glob("slow-*/state/step-*"))
    assert len(done) < 25
    again = runner(tmp_path)
    again.walk(slow)
    record = again.artifacts["slow"].record
    assert record.attempts == 2
    assert record.kwh is not None and record.kwh > cap, "the energy of both attempts"


def test_a_cap_that_is_spent_starts_no_further_stage(tmp_path: Path) -> None:
    with pytest.raises(BudgetReached, match=r"budget\.kwh was reached (before|during|while) ?slow"):
        runner(tmp_path, kwh=1e-12).walk(recipe(tmp_path, steps=1))


def test_the_lower_one_of_energy_and_money_holds() -> None:
    assert BudgetConfig().energy_cap() == (None, "budget.kwh")
    assert BudgetConfig(kwh=2.0).energy_cap() == (2.0, "budget.kwh")
    assert BudgetConfig(kwh=2.0, usd=0.15).energy_cap() == (1.0, "budget.usd")
    assert BudgetConfig(kwh=0.5, usd=0.15).energy_cap() == (0.5, "budget.kwh")
    with pytest.raises(ValidationError, match="electricity_price is 0"):
        BudgetConfig(usd=1.0, electricity_price=0.0)
