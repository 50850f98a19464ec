"""What befalls one process of a gang befalls all: lack of memory, a kill, Ctrl-C; and the next run goes on from there.

The processes are started for real. `attempt` runs the train stage in this one, which is the first of them.
"""

from __future__ import annotations

import errno
import itertools
import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import distributed

import danlu.learning.step as step
import danlu.train.loop as loop
import danlu.train.stage as stage
from danlu.core.context import Context
from danlu.core.errors import DanluError, Interrupted, StageCrashed, UserError
from danlu.train.config import TrainStage
from tests.unit.train.conftest import Attempt, attempt, corpora
from tests.unit.train.test_gang import CALM, facts
from tests.unit.train.test_resume import content

__all__ = ["attempt", "corpora"]


def lacking(ctx: Context, config: TrainStage) -> None:
    """A worker that has no memory for more than two samples: the first process at the first step, the other later."""
    plain, steps = step._learn, itertools.count()

    def learn(accelerator: Any, model: Any, objective: Any, batches: Any, *rest: Any) -> Any:
        if next(steps) >= 5 * ctx.rank.number and max(map(len, batches), default=0) > 4 - 2 * ctx.rank.number:
            raise MemoryError
        return plain(accelerator, model, objective, batches, *rest)

    step._learn = learn
    try:
        stage.work(ctx, config)
    finally:
        step._learn = plain


def launching(monkeypatch: pytest.MonkeyPatch, worker: Callable[..., None]) -> None:
    """Let the gang of the train stage run `worker` in place of its own."""
    plain = Context.launch

    def launch(ctx: Context, _worker: str, *arguments: Any, **named: Any) -> None:
        plain(ctx, f"{__name__}:{worker.__name__}", *arguments, **named)

    monkeypatch.setattr(Context, "launch", launch)


def test_memory_that_one_process_lacks_makes_all_take_smaller_pieces(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = CALM | {"batch_size": 12, "epochs": 2.0}
    one = attempt("one", "generate", **settings)
    launching(monkeypatch, lacking)
    two = attempt("two", "generate", **settings, processes=2)
    events = facts(two.out)["events"]
    assert [(row["kind"], row["step"], row["micro_batch"]) for row in events] == [
        ("out_of_memory", 0, 3),
        ("out_of_memory", 4, 2),
    ]
    for name in ("steps", "samples", "tokens", "rows"):
        assert facts(two.out)[name] == facts(one.out)[name], name
    losses = [[row["validation_loss"] for row in facts(ctx.out)["history"]] for ctx in (one, two)]
    np.testing.assert_allclose(*losses, rtol=1e-3)


def dying(ctx: Context, config: TrainStage) -> None:
    """A worker whose second process is killed at its seventh step."""
    plain, steps = loop._step, itertools.count(1)

    def take(*arguments: Any) -> Any:
        if next(steps) == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(*arguments)

    if not ctx.rank.first:
        loop._step = take
    stage.work(ctx, config)


def pressed(ctx: Context, config: TrainStage) -> None:
    """A worker of whose first process the user asks to stop, after nine steps."""
    plain, asked = ctx.stop_reason, itertools.count()

    def stop_reason() -> Any:
        ctx.limits.asked = "interrupted" if next(asked) >= 9 else None
        return plain()

    if ctx.rank.first:
        ctx.stop_reason = stop_reason  # type: ignore[method-assign]
    stage.work(ctx, config)


def test_a_killed_process_ends_all_and_the_next_run_is_bit_equal(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed, then stopped by Ctrl-C, then run to the end. With dropout, which each process draws by itself."""
    settings: dict[str, Any] = {"processes": 2, "checkpoint_minutes": 1e-9}
    whole = attempt("whole", "classify", **settings)
    with monkeypatch.context() as patch:
        launching(patch, dying)
        with pytest.raises(DanluError, match="Process 2 of 2 of train was ended by signal SIGKILL"):
            attempt("resumed", "classify", **settings)
    assert not distributed.is_initialized()
    with monkeypatch.context() as patch:
        launching(patch, pressed)
        with pytest.raises(Interrupted):
            attempt("resumed", "classify", **settings)
    resumed = attempt("resumed", "classify", **settings)
    assert resumed.emit.texts("say")[0].startswith("Training")  # type: ignore[attr-defined]
    assert "Going on from step 15" in resumed.emit.texts("say")[1]  # type: ignore[attr-defined]
    assert content(resumed.out) == content(whole.out)


def failing(ctx: Context, config: TrainStage) -> None:
    """A worker whose second process finds a mistake of the user, or with a seed of 2 one of ours."""

    def fail(*_: Any) -> None:
        raise UserError("No such column.") if config.train.seed == 1 else KeyError("no such name")

    if not ctx.rank.first:
        stage._work = fail
    stage.work(ctx, config)


def test_an_error_of_another_process_is_told_as_it_is(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    launching(monkeypatch, failing)
    with pytest.raises(UserError, match="No such column"):
        attempt("user", "classify", processes=2)
    with pytest.raises(StageCrashed, match="Process 2 of 2 of train failed: KeyError: 'no such name'"):
        attempt("ours", "classify", processes=2, seed=2)


def failing_first(ctx: Context, config: TrainStage) -> None:
    """A worker whose first process fails after a few steps, so that the second one loses it in the midst of a step."""
    plain, steps = loop._step, itertools.count(1)

    def take(*arguments: Any) -> Any:
        if next(steps) == 3:
            raise (
                OSError(errno.ENOSPC, "No space left on device") if config.train.seed == 1 else KeyError("our mistake")
            )
        return plain(*arguments)

    if not ctx.rank.first:
        stage.work(ctx, config)
        return
    loop._step = take
    try:
        stage.work(ctx, config)
    finally:
        loop._step = plain


def test_an_error_of_the_first_process_is_not_put_on_another(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    launching(monkeypatch, failing_first)
    with pytest.raises(OSError, match="No space left on device"):
        attempt("full", "classify", processes=2)
    with pytest.raises(KeyError, match="our mistake"):
        attempt("ours", "classify", processes=2, seed=2)
