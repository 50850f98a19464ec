from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.engines import tiny


@pytest.fixture(scope="session")
def classify_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.export(tmp_path_factory, "classify")


@pytest.fixture(scope="session")
def generate_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.export(tmp_path_factory, "generate")


@pytest.fixture(scope="session")
def embed_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.export(tmp_path_factory, "embed")
