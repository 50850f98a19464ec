from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from danlu.core.store import Workspace
from danlu.engines.table import ENGINES
from tests.unit.compare import world
from tests.unit.serve import toy


@pytest.fixture(autouse=True)
def _word_engine() -> Iterator[None]:
    toy.install()
    yield
    del ENGINES["words"]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A run `shop` with 60 test rows, and two versions of a model that was trained on its corpus."""
    made = Workspace(tmp_path / "danlu").open()
    parts = {"train": world.rows(200), "validation": world.rows(40, 200), "test": world.rows(60, 240)}
    corpus = world.write_corpus(made, parts)
    world.write_run(made, "shop", corpus)
    world.publish(made, "shop", world.WEAK, 1, corpus)
    world.publish(made, "shop", world.STRONG, 2, corpus)
    return made
