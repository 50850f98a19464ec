"""What a run costs: energy, money and CO2 here, and the same training on rented GPUs that were not measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from danlu.core.energy import JOULES_PER_KWH, WATTS_PER_GB
from danlu.plan.catalogue import Gpu, Price
from danlu.plan.config import BudgetConfig
from danlu.plan.interval import Interval, add, largest
from danlu.plan.predict import MEMORY_SPREAD, StageCost
from danlu.plan.training import Job, Training
from danlu.plan.work import Work

#: CUDA context, kernels and the allocator's rounding on a GPU; an assumption.
CUDA_BYTES = 1.0e9

#: Share of a GPU's peak that training reaches, and of its bandwidth. Reported for large models: 0.21 to 0.46 of the
#: peak (Chowdhery et al. 2022, table 3). Not measured by this project.
GPU_EFFICIENCY = 0.35
GPU_BANDWIDTH_SHARE = 0.7
#: Starting the kernels of a layer, forward and backward, from Python: small models wait for this. An assumption.
GPU_SECONDS_PER_LAYER = 1.0e-3
#: Bytes moved per activation value by a training step on a GPU (16-bit, several passes). An assumption.
GPU_BYTES_PER_ELEMENT = 24.0

#: How far the stated power of a core and of the memory may be off, as factors.
POWER_SPREAD = (0.4, 1.8)

#: How far a prediction for a GPU may be off; wide, since none was checked on one.
ELSEWHERE_SPREAD = (0.4, 3.0)
#: A GPU's share of its power limit while training, low and high.
GPU_POWER_SPREAD = (0.4, 1.0)


@dataclass(frozen=True, kw_only=True)
class Total:
    """A whole run on one machine."""

    seconds: Interval
    memory: Interval
    kwh: Interval
    usd: Interval
    co2: Interval

    def as_json(self) -> dict[str, Any]:
        """The five numbers, each as value, low and high."""
        return {
            "seconds": self.seconds.as_json(),
            "memory_bytes": self.memory.as_json(),
            "kwh": self.kwh.as_json(),
            "usd": self.usd.as_json(),
            "kg_co2": self.co2.as_json(),
        }


def total_here(costs: dict[str, StageCost], *, threads: int, memory_bytes: int, budget: BudgetConfig) -> Total:
    """All stages one after the other on this machine; money is electricity alone."""
    seconds = add(cost.seconds for cost in costs.values())
    kwh = _energy(seconds, watts_here(threads, memory_bytes, budget.watts_per_core), POWER_SPREAD)
    return Total(
        seconds=seconds,
        memory=largest(cost.memory for cost in costs.values()),
        kwh=kwh,
        usd=kwh.times(budget.electricity_price),
        co2=kwh.times(budget.carbon_intensity),
    )


def watts_here(threads: int, memory_bytes: int, watts_per_core: float) -> float:
    """Power of the cores in use and of the memory of this machine."""
    return watts_per_core * threads + WATTS_PER_GB * memory_bytes / 1e9


def _energy(seconds: Interval, watts: float, spread: tuple[float, float]) -> Interval:
    """In kWh; `spread` is how far the power may be off, as factors."""
    low, high = spread
    stretched = Interval(value=seconds.value, low=low * seconds.low, high=high * seconds.high)
    return stretched.times(watts / JOULES_PER_KWH)


def elsewhere(
    job: Job, plan: Training, costs: dict[str, StageCost], gpu: Gpu, price: Price, *, watts: float
) -> dict[str, Any]:
    """The run on one rented GPU: training there, the other stages as long and at as many `watts` as here.

    Time, money, energy and CO2 are of all stages. Not measured. The GPU's power must be known.
    """
    assert gpu.watts is not None
    usd_per_hour = price.in_usd(job.config.plan.cny_per_usd)
    value = sum(seconds_on(gpu, work) for work in (plan.work, plan.before, plan.beside, plan.scoring))
    training = Interval.around(value, *ELSEWHERE_SPREAD)
    others = add(cost.seconds for stage, cost in costs.items() if stage != "train")
    seconds = add([training, others])
    memory = Interval.around(plan.memory.total - plan.memory.framework + CUDA_BYTES, *MEMORY_SPREAD)
    kwh = add([_energy(training, gpu.watts, GPU_POWER_SPREAD), _energy(others, watts, POWER_SPREAD)])
    return {
        "name": gpu.name,
        "memory_bytes": memory.as_json(),
        "capacity_bytes": gpu.memory,
        "fits": memory.high <= gpu.memory,
        "training_seconds": training.as_json(),
        "seconds": seconds.as_json(),
        "usd": seconds.times(usd_per_hour / 3600).as_json(),
        "kwh": kwh.as_json(),
        "kg_co2": kwh.times(job.config.budget.carbon_intensity).as_json(),
        "price_usd_per_hour": usd_per_hour,
        "seller": f"{price.provider} ({price.kind})",
        "source": price.source,
        "facts": gpu.facts,
        "date": price.date,
        "confidence": price.confidence,
        "measured": False,
        "note": f"not measured here: {GPU_EFFICIENCY:.0%} of the peak and {GPU_BANDWIDTH_SHARE:.0%} of the bandwidth "
        "are assumed",
    }


def seconds_on(gpu: Gpu, work: Work) -> float:
    """Seconds on a GPU: products and memory traffic, or the time it takes to start the kernels, if that is longer."""
    products = work.flops / (GPU_EFFICIENCY * gpu.peak)
    moved = work.optimizer_bytes + GPU_BYTES_PER_ELEMENT * work.elements + 16 * work.logits
    traffic = moved / (GPU_BANDWIDTH_SHARE * gpu.bandwidth)
    return max(products + traffic, GPU_SECONDS_PER_LAYER * work.layers)
