"""Two processes train what one does from the same batches; tests/crash/test_gang.py has what befalls one of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from danlu.train.config import ModelConfig, TrainConfig, check_training
from tests.unit.train.conftest import Attempt

#: Noise is drawn in each process by itself, so without it.
CALM: dict[str, Any] = {"regularize": {"dropout": 0.0}, "epochs": 1.0}


def facts(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "training.json").read_text())


def test_two_processes_train_what_one_trains(attempt: Attempt) -> None:
    """A step is 8 samples for both; the last one of an epoch has a single sample, so one process has none."""
    settings = CALM | {"max_samples": 89}
    one, two = attempt("one", "classify", **settings), attempt("two", "classify", **settings, processes=2)
    expected, found = load_file(one.out / "model.safetensors"), load_file(two.out / "model.safetensors")
    assert expected.keys() == found.keys()
    for name, weights in expected.items():
        np.testing.assert_allclose(found[name], weights, rtol=1e-5, atol=1e-5, err_msg=name)
    for name in ("steps", "samples", "tokens", "updates", "rows"):
        assert facts(two.out)[name] == facts(one.out)[name], name
    for row, other in zip(facts(two.out)["history"], facts(one.out)["history"], strict=True):
        assert row == pytest.approx(other, abs=1e-4)
    assert two.elsewhere_bytes > 1 << 20
    assert not (two.state / "gang").exists()


def test_what_cannot_be_divided_is_refused() -> None:
    model = {"scratch": {}}
    for task, train, said in (
        ("embed", {"processes": 2}, "compares each sample with the others"),
        ("classify", {"processes": 2, "batching": {"grow": True}}, "measures the noise of the gradient"),
    ):
        with pytest.raises(ValueError, match=said):
            check_training(task, ModelConfig.model_validate(model), TrainConfig.model_validate(train))  # type: ignore[arg-type]
