"""What holds for every test."""

from __future__ import annotations

import gc
from collections.abc import Generator

import pytest
from hypothesis import settings

# How long an example takes is the machine's business: a busy one must not fail a test.
settings.register_profile("danlu", deadline=None)
settings.load_profile("danlu")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one file share what they made and stay in one process; so do the files that ask for the same walk.

    The order stays: what takes long begins first, and no process waits long for another at the end.
    """
    for item in items:
        walked = {"classify", "generate"}.intersection(getattr(item, "fixturenames", ()))
        group = "walked" if walked and "e2e" in item.path.parts else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


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
