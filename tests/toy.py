"""Small real stages for the tests of the runner; they run in processes of their own."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import time
import warnings

from pydantic import Field

from danlu.core.artifact import write_json
from danlu.core.config import Config, Resource
from danlu.core.context import Context, Limits
from danlu.core.errors import DataError
from danlu.core.stage import Stage, in_order


class CountConfig(Config):
    """Counts the words of a file."""

    file: Resource = Field(description="The file to read.")
    lower: bool = Field(False, description="Count words in small letters.")


class CountStage(Config):
    """Sections of `count`."""

    count: CountConfig = Field(description="The count section.")


class SlowConfig(Config):
    """Works in steps, and keeps its place."""

    steps: int = Field(3, description="Steps to do.")
    seconds: float = Field(0.0, description="Seconds a step takes.")
    fault: str = Field("", description="What goes wrong at the second step.")


class SlowStage(Config):
    """Sections of `slow`."""

    slow: SlowConfig = Field(description="The slow section.")


class ToyRecipe(Config):
    """The sections of the toy road."""

    count: CountConfig = Field(description="The count section.")
    slow: SlowConfig = Field(SlowConfig(), description="The slow section.")


def count(ctx: Context, config: CountStage) -> None:
    """Write how often each word occurs."""
    words = ctx.resources["count.file"].read_text(encoding="utf-8").split()
    if not words:
        raise DataError("The file is empty; give one with words.")
    words = [word.lower() for word in words] if config.count.lower else words
    write_json(ctx.out / "counts.json", {word: words.count(word) for word in sorted(set(words))})


def fault_dies(ctx: Context) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fault_raises(ctx: Context) -> None:
    print("a library's chatter")
    warnings.warn("a library's warning", stacklevel=1)
    raise ZeroDivisionError("planted")


def fault_memory(ctx: Context) -> None:
    block = bytearray(300 * 1024 * 1024)
    block[::4096] = b"x" * len(block[::4096])
    time.sleep(0.5)
    ctx.check()


def fault_leaves(ctx: Context) -> None:
    sys.stdout.flush()
    os._exit(7)


class FullBottle(DataError):
    """A mistake that core does not know by name, as a third party's stage may have one."""


def fault_own_error(ctx: Context) -> None:
    raise FullBottle("the bottle is full; empty it")


def fault_spike(ctx: Context) -> None:
    """Go over the memory cap for a moment, and be back before anyone asks."""
    fault_memory(dataclasses.replace(ctx, limits=Limits()))
    time.sleep(0.5)
    del ctx


def fault_rust(ctx: Context) -> None:
    raise RuntimeError("I/O error: No space left on device (os error 28)")


def fault_deaf(ctx: Context) -> None:
    ctx.say("from now on I hear nothing")
    time.sleep(600)


FAULTS = {
    "dies": fault_dies,
    "raises": fault_raises,
    "memory": fault_memory,
    "leaves": fault_leaves,
    "deaf": fault_deaf,
    "own error": fault_own_error,
    "spike": fault_spike,
    "rust": fault_rust,
}


def slow(ctx: Context, config: SlowStage) -> None:
    """Count to `steps`, one file a step in `state`, so that a killed attempt is not lost."""
    total = sum(ctx.inputs["count"].json("counts.json").values())
    with ctx.progress("counting", config.slow.steps, "steps") as bar:
        bar.checked = False
        for step in range(config.slow.steps):
            done = ctx.state / f"step-{step}"
            if not done.exists():
                time.sleep(config.slow.seconds)
                if step == 1 and config.slow.fault and not (ctx.state / "faulted").exists():
                    (ctx.state / "faulted").touch()
                    FAULTS[config.slow.fault](ctx)
                done.touch()
            bar.advance(1)
            reason = ctx.stop_reason()
            if reason is not None:
                ctx.stop(reason)
    ctx.warn("a warning worth keeping")
    write_json(ctx.out / "total.json", {"total": total, "steps": config.slow.steps})


STAGES = in_order(
    (
        Stage(
            name="slow",
            config=SlowStage,
            run="tests.toy:slow",
            reads=("count",),
            writes="Total",
            version=1,
            numeric=True,
            libraries=("pydantic",),
            example="tests.toy:none",
        ),
        Stage(
            name="count",
            config=CountStage,
            run="tests.toy:count",
            reads=(),
            writes="Counts",
            version=1,
            example="tests.toy:none",
        ),
    )
)
