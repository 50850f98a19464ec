"""What holds for every test."""

from __future__ import annotations

import gc
from collections.abc import Generator

import pytest
from hypothesis import settings

# How long an example takes is the machine's business: a busy one must not fail a test.
settings.register_profile("danlu", deadline=None)
settings.load_profile("danlu")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What the imports leave stays to the end: the collector need not look through it again and again.

    There are millions of objects in torch, transformers and scikit-learn. What the tests make is collected as ever.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()
