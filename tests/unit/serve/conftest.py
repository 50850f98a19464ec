"""The engine of these tests, in the table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from danlu.core.store import Workspace
from danlu.engines.table import ENGINES
from tests.unit.serve import toy


@pytest.fixture(autouse=True)
def _word_engine() -> Iterator[None]:
    toy.install()
    yield
    del ENGINES["words"]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "danlu").open()
