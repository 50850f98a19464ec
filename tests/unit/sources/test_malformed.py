"""Malformed inputs of every format: what is said of each, and how many rows it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from danlu.core.errors import DataError
from danlu.data.config import DataConfig
from danlu.plan.reading import look
from tests.unit.sources.malformed import Case
from tests.unit.sources.malformed_packed import PACKED_CASES
from tests.unit.sources.malformed_text import TEXT_CASES
from tests.unit.sources.reading import read

CASES = [*TEXT_CASES, *PACKED_CASES]


def test_there_are_enough_cases_and_each_has_its_own_name() -> None:
    assert len({case.id for case in CASES}) == len(CASES) >= 40


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_a_malformed_input_is_told_and_counted(case: Case, tmp_path: Path) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.data if isinstance(case.data, bytes) else case.data())

    def attempt() -> Any:
        return read(path, tmp_path / "out", label=case.label, max_bad_rows=case.most, **case.config)

    if case.message:
        with pytest.raises(DataError) as caught:
            attempt()
        assert case.message in str(caught.value)
        assert len(str(caught.value)) < 600
    else:
        found = attempt()
        assert len(found.rows) == case.kept
        reasons = {int(origin.rpartition(":")[2]): reason for origin, reason in found.reasons.items()}
        assert reasons.keys() == case.rejected.keys()
        for line, reason in case.rejected.items():
            assert reasons[line].startswith(reason)
        assert found.tally.rows == case.kept + len(case.rejected)
        assert found.tally.bad_rows == sum(reason.startswith("broken") for reason in case.rejected.values())
        assert any(case.warning in warning for warning in found.tally.warnings) == bool(case.warning)


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_the_plan_says_the_same_or_counts_the_same(case: Case, tmp_path: Path) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.data if isinstance(case.data, bytes) else case.data())
    config = DataConfig.model_validate({"sources": [{"path": str(path), **case.config}]})
    if case.id == "too-many-bad-rows":
        assert look(config, [path]).rows == 2  # the data stage is the one that counts bad rows
    elif case.message and case.id != "only-a-header":
        with pytest.raises(DataError) as caught:
            look(config, [path])
        assert case.message in str(caught.value)
    elif case.kept == 0:
        with pytest.raises(DataError, match=r"No row of|has no rows"):
            look(config, [path])
    elif case.label is None:
        assert look(config, [path]).rows == case.kept
