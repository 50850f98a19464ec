"""A stage as a row of a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel


@dataclass(frozen=True, kw_only=True)
class Example:
    """A tiny configuration and its inputs, on which the contract test runs a stage.

    `sections` are recipe sections as plain values, as a recipe would have them. `prepare(folder)` writes the
    files they name and returns the sections; the stages it reads are run from the same sections first.
    """

    prepare: Callable[[Path], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stop on the road.

    `config`: a Config class whose fields are named like the recipe's sections that the stage is given.
    `run`: "module:function", called as `run(ctx, config)` in a process of its own.
    `reads`: names of earlier stages; their artifacts come as `ctx.inputs[name]`.
    `may_read`: names of stages that not every recipe has; their artifacts come likewise where they are there.
    `writes`: what kind of artifact it leaves, for people.
    `version`: raise it when the stage's code yields something else for the same configuration.
    `numeric`: its result depends on library versions, threads and instruction set.
    `machine`: its result is about this very machine (a speed, a prediction), and is not reused on another.
    `resolves`: its artifact has `resolved.json`, values by dotted path that replace `auto` in the recipe.
    `libraries`: the distributions whose versions the fingerprint covers, since they decide what comes out.
    `libraries_with`: further ones that decide something only where the configuration has a value at this dotted path.
    `when`: the section of the recipe without which the stage is left out; None never leaves it out.
    `starts`: names of stages that it runs itself, on settings of its own (see `danlu.core.children`).
    `example`: "module:attribute" of an `Example`.
    """

    name: str
    config: type[BaseModel]
    run: str
    reads: tuple[str, ...]
    writes: str
    version: int
    example: str
    numeric: bool = False
    machine: bool = False
    resolves: bool = False
    libraries: tuple[str, ...] = ()
    libraries_with: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    when: str | None = None
    starts: tuple[str, ...] = ()
    may_read: tuple[str, ...] = ()

    @property
    def config_class(self) -> str:
        """ "module:class" of its configuration."""
        return f"{self.config.__module__}:{self.config.__qualname__}"


def in_order(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """`stages` such that each comes after all it reads; ties keep the table's order.

    Raises `ValueError` for a name read that no stage has, for a name twice, and for a circle.
    """
    by_name = {stage.name: stage for stage in stages}
    if len(by_name) != len(stages):
        raise ValueError("Two stages have the same name")
    for stage in stages:
        for name in stage.reads:
            if name not in by_name:
                raise ValueError(f"Stage {stage.name!r} reads {name!r}, which no stage has")
    ordered: list[Stage] = []
    done: set[str] = set()
    while len(ordered) < len(stages):
        ready = next(
            (s for s in stages if s.name not in done and {*s.reads, *by_name.keys() & set(s.may_read)} <= done), None
        )
        if ready is None:
            raise ValueError("The stages read each other in a circle")
        ordered.append(ready)
        done.add(ready.name)
    return tuple(ordered)


def libraries_of(stage: Stage, config: BaseModel) -> tuple[str, ...]:
    """The distributions that decide what the stage yields for this configuration.

    That of a stage which starts this one will do, where it has the same sections; a section that it has not is taken to
    ask for all of them.
    """
    asked = [libraries for path, libraries in stage.libraries_with.items() if _has(config, path)]
    return tuple(dict.fromkeys([*stage.libraries, *(name for libraries in asked for name in libraries)]))


def _has(config: BaseModel, path: str) -> bool:
    """Whether there is a value at `path`; None and False are none."""
    section, *names = path.split(".")
    if not hasattr(config, section):
        return True
    found: Any = getattr(config, section)
    for name in names:
        found = getattr(found, name, None)  # of several kinds of a section not each has the setting
    return found is not None and found is not False


def as_values(stage: Stage) -> dict[str, Any]:
    """A row as plain values, for a process that shall run it."""
    return {**dataclasses.asdict(stage), "config": stage.config_class}


def from_values(values: Mapping[str, Any], config: type[BaseModel]) -> Stage:
    """The reverse of `as_values`; `config` is the class that the row names."""
    lists = {name: tuple(values[name]) for name in ("reads", "libraries", "starts", "may_read")}
    with_ = {path: tuple(names) for path, names in values["libraries_with"].items()}
    return Stage(**{**values, **lists, "libraries_with": with_, "config": config})
