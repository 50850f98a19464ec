"""What watches a run: memory that runs out, losses that are no numbers or leap up, and how large a batch pays.

Nothing here trains. What was decided is a row in `Progress.events`, which every checkpoint carries: a run is a pure
function of its recipe and of those rows, so a resumed one decides nothing anew. Kinds of rows:

    out_of_memory   step, micro_batch   from this step on so many samples at most are in memory at once
    skipped         step, batches, why  at this step the run went back, to leave these batches of the order out
    gave_up         step, why, kept     at this step the run ended with the weights of the step `kept`, its best ones
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import median
from typing import Any

from danlu.core.errors import UserError
from danlu.learning.objectives.base import Objective
from danlu.learning.step import Piece, StepResult
from danlu.train.config import TrainConfig
from danlu.train.state import Progress

#: Losses that the rule for spikes looks at; and how few losses, or steps with a measured noise, decide nothing.
_WINDOW, _FEWEST = 128, 32
#: So many losses in a row make a spike: one alone is a hard batch, and clipping bounds what it can do.
_IN_A_ROW = 3
#: Median absolute deviation to standard deviation of a normal distribution: 1 / (quantile of 3/4).
_NORMAL = 1.4826
#: A leap that gives back less than this share of what training has gained mends itself.
_GIVEN_BACK = 0.25
#: Share of the running means of the noise scale that a step keeps, once there were so many: some 50 steps count.
_KEPT = 0.98


def check(settings: TrainConfig, objective: Objective) -> None:
    """Raise `UserError` for settings that the objective does not allow."""
    asked = {"train.micro_batch": settings.micro_batch is not None, "train.batching.grow": settings.batching.grow}
    for name, given in asked.items():
        if given and not objective.separable:
            raise UserError(
                f"{name} is given, but this objective compares each sample with the others of its batch, which "
                "therefore cannot be taken in pieces. Leave it out, and set train.batch_size to what memory allows."
            )


def micro_batch(settings: TrainConfig, events: Iterable[dict[str, Any]], step: int) -> int | None:
    """Samples that are in memory at once at `step`; None is the whole batch."""
    sizes = [row["micro_batch"] for row in events if row["kind"] == "out_of_memory" and row["step"] <= step]
    return min([*sizes, *([] if settings.micro_batch is None else [settings.micro_batch])], default=None)


def left_out(events: Iterable[dict[str, Any]]) -> set[int]:
    """The batches of the order that are not trained on."""
    return {batch for row in events if row["kind"] == "skipped" for batch in row["batches"]}


def halved(size: int, objective: Objective, step: int) -> dict[str, Any]:
    """The row for memory that ran out with `size` samples in it at once. Raises `UserError` where less cannot be."""
    if not objective.separable:
        raise UserError(
            f"There is not enough memory for a batch of {size} samples, and this objective compares each sample with "
            f"the others of its batch, so it cannot be taken in pieces. Set train.batch_size to {max(1, size // 2)} or "
            "less, or lower model.max_length."
        )
    if size == 1:
        raise UserError(
            "There is not enough memory for a single sample. Lower model.max_length, take a smaller model, or end "
            "what else uses the memory."
        )
    return {"kind": "out_of_memory", "step": step, "micro_batch": math.ceil(size / 2)}


def watch(settings: TrainConfig, progress: Progress, batches: list[int], result: StepResult) -> str | None:
    """Note what the step on `batches` of the order brought; what is wrong with it, or None.

    A spike is three losses in a row, each above median + `guard.spike` standard deviations of the last 128, where
    median and 1.4826 times the median absolute deviation stand for mean and deviation, which a spike would move
    (Hampel 1974, JASA 69:346; seven deviations are what OLMo 2 counts as a spike, arXiv:2501.00656, section 4), and
    each giving back at least a quarter of what the median has gained since the start.
    """
    if not result.finite:
        return "The loss or its gradient is not a number"
    if not result.weight:  # no target, so no loss that the others could be compared with
        return None
    progress.recent = [*progress.recent, [batches[0], batches[-1] + 1, result.loss]][-_WINDOW - _IN_A_ROW :]
    if len(progress.recent) == _FEWEST and progress.started is None:
        progress.started = median(row[2] for row in progress.recent)
    high = _high(settings, progress)
    if len(high) == _IN_A_ROW and all(high):
        return f"The loss has leapt to {result.loss:.4g}"
    return None


def calm(settings: TrainConfig, progress: Progress) -> bool:
    """Whether the last loss is none that a spike may begin with: only then a checkpoint is worth going back to."""
    return not any(_high(settings, progress)[-1:])


def _high(settings: TrainConfig, progress: Progress) -> list[bool]:
    """For each of the last losses whether it is above the limit that those before them set."""
    if settings.guard.spike == 0.0 or progress.started is None or len(progress.recent) < _FEWEST + _IN_A_ROW:
        return []
    losses = [row[2] for row in progress.recent]
    before, last = losses[:-_IN_A_ROW], losses[-_IN_A_ROW:]
    middle = median(before)
    deviation = _NORMAL * median(abs(loss - middle) for loss in before)
    limit = middle + max(settings.guard.spike * deviation, _GIVEN_BACK * (progress.started - middle))
    return [loss > limit for loss in last]


def culprits(progress: Progress, batches: list[int], result: StepResult) -> list[int]:
    """The batches to leave out: that without a number; or that of a spike's first loss and the one before."""
    if not result.finite:
        return batches
    rows = progress.recent[-_IN_A_ROW - 1 : -_IN_A_ROW + 1]
    return [batch for begin, end, _ in rows for batch in range(begin, end)]


def skips(events: Iterable[dict[str, Any]]) -> int:
    """How often the run went back."""
    return sum(row["kind"] == "skipped" for row in events)


def gave_up(events: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """The row that says why the run ended before its time, with its best weights; None where it did not."""
    return next((row for row in events if row["kind"] == "gave_up"), None)


def note_noise(progress: Progress, piece: Piece, samples: int, squared: float) -> None:
    """Add a step to the running means of the squared gradient and of its noise.

    McCandlish et al. 2018 (arXiv:1812.06162), appendix A.1: two batches of b and B samples with gradients g and G
    give |gradient|^2 = (B |G|^2 - b |g|^2) / (B - b) and noise = (|g|^2 - |G|^2) / (1/b - 1/B), without bias each, and
    smoothed apart since their quotient has one. Here b is the first piece of the step's B.
    """
    small, large = piece.samples, samples
    if small >= large or not math.isfinite(piece.squared + squared):
        return
    signal = (large * squared - small * piece.squared) / (large - small)
    noise = (piece.squared - squared) / (1.0 / small - 1.0 / large)
    steps, *before = progress.noise or [0.0, 0.0, 0.0]
    kept = min(_KEPT, steps / (steps + 1.0))
    means = (kept * old + (1.0 - kept) * new for old, new in zip(before, (signal, noise), strict=True))
    progress.noise = [steps + 1.0, *means]


def noise_scale(progress: Progress) -> float | None:
    """The batch, in samples, at which noise and gradient weigh the same; None while it is not known."""
    if progress.noise is None or min(progress.noise) <= 0.0:
        return None
    _, signal, noise = progress.noise
    return noise / signal


def grow(progress: Progress, samples: float) -> int | None:
    """Double the batch where the noise scale is at least that; `samples`: of one batch of the order. Its new size in
    batches of the order, or None where it stays.
    """
    scale, factor = noise_scale(progress), batch_factor(progress)
    if scale is None or progress.noise is None or progress.noise[0] < _FEWEST or scale < 2.0 * factor * samples:
        return None
    progress.growth = [*progress.growth, {"step": progress.step, "batches": 2 * factor}]
    return 2 * factor


def batch_factor(progress: Progress) -> int:
    """How many batches of the order make one step now."""
    return progress.growth[-1]["batches"] if progress.growth else 1


def facts(progress: Progress) -> dict[str, Any]:
    """What `training.json` tells of the run's course; the same however often it was stopped and resumed."""
    return {
        "updates": progress.updates,
        "events": progress.events,
        "gave_up": gave_up(progress.events),
        "growth": progress.growth,
        "noise_scale": noise_scale(progress),
        "rate_factor": progress.rate_factor,
        "overflows": progress.overflows,
    }
