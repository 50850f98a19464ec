"""The small rooms of core: errors, lazy imports, the order of stages, the machine."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from danlu.core import errors, lazy
from danlu.core.config import Config, view
from danlu.core.context import Limits
from danlu.core.errors import BudgetReached, DanluError, Interrupted, MissingDependency
from danlu.core.machine import library_versions, peak_resident_bytes, resident_bytes, this_machine
from danlu.core.stage import Stage, in_order
from tests import toy
from tests.support import make_context


def test_the_tree_of_errors_is_drawn_in_the_docstring_as_it_is() -> None:
    drawn = {line.split()[0]: line.split()[1] for line in str(errors.__doc__).splitlines() if "   " in line[8:]}
    for name, kind in errors.BY_NAME.items():
        if name != "DanluError":
            assert drawn[name] == str(kind.exit_code), name
        assert issubclass(kind, DanluError)


def test_a_missing_library_is_explained_with_its_extra() -> None:
    assert "pip install 'danlu[serve]'" in str(lazy.missing("uvicorn.config"))
    with pytest.raises(MissingDependency, match="pip install no_such_library"):
        lazy.need("no_such_library")
    assert lazy.need("json").dumps([1]) == "[1]"


def toy_stage(name: str, *reads: str) -> Stage:
    return dataclasses.replace(toy.STAGES[0], name=name, reads=reads)


def test_stages_come_in_the_order_of_what_they_read() -> None:
    ordered = in_order((toy_stage("c", "a", "b"), toy_stage("b", "a"), toy_stage("a")))
    assert [stage.name for stage in ordered] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ((toy_stage("a", "b"),), "reads 'b', which no stage has"),
        ((toy_stage("a", "b"), toy_stage("b", "a")), "circle"),
        ((toy_stage("a"), toy_stage("a")), "same name"),
    ],
)
def test_a_table_of_stages_that_cannot_be_walked(stages: tuple[Stage, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        in_order(stages)


def test_this_machine_is_read_from_the_system() -> None:
    machine = this_machine()
    assert machine.cores == len(os.sched_getaffinity(0))
    assert 0 < resident_bytes() <= peak_resident_bytes() * 1.5 < machine.memory_bytes * 1.5
    assert library_versions(("pydantic", "no-such"))["no-such"] == "not installed"


def test_a_stage_that_is_asked_to_stop_stops_at_its_next_progress(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    stops: list[tuple[dict[str, Any], type[DanluError]]] = [
        ({"asked": "interrupted"}, Interrupted),
        ({"deadline": 1.0}, BudgetReached),
        ({"memory_bytes": 1}, BudgetReached),
    ]
    for change, error in stops:
        context.limits = Limits(**change)
        rows = context.track(range(5), "rows")
        assert next(rows) == 0
        with pytest.raises(error):
            next(rows)


class Part(Config):
    shown: int = Field(1, description="Seen by the stage.")


class Inner(Part):
    hidden: int = Field(2, description="Not seen by the stage.")


class Outer(Config):
    inner: Part = Field(Part(), description="A part of a section.")


class WholeOuter(Outer):
    inner: Inner = Field(Inner(), description="The whole section.")
    more: int = Field(3, description="Not seen by the stage.")


def test_a_view_is_the_part_that_the_base_class_declares() -> None:
    seen = view(Outer, WholeOuter(inner=Inner(shown=5, hidden=6), more=7))
    assert type(seen) is Outer
    assert seen.model_dump() == {"inner": {"shown": 5}}
    assert view(Outer, seen) == seen
